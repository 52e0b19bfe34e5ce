//! What is measured, in which order.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use snapshot_domain::{Token, Volume, ports::IdSource as _};
use snapshot_store::Store;
use uuid::Uuid;

use crate::{
    Options,
    environment::RandomIds,
    image,
    load::{self, Script, header},
    report::{Key, Report},
    rows::{self, Statements},
    service::{Server, ask, cpu_seconds},
};

const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// A pool that writes has so many connections.
const WRITERS: usize = 8;
/// Copies that run while requests are answered, two at a time.
const COPIES: u64 = 6;
const COPY_MEBIBYTES: u64 = 512;
/// The size of the volume that snapshots are asked of beside them.
const SMALL_VOLUME_BYTES: u64 = 1 << 20;

/// A service with so many snapshots.
struct House {
    folder: PathBuf,
    rows: u64,
    token: Uuid,
    organization: Uuid,
    store: Store,
    volume: Volume,
    server: Server,
}

/// Measures everything, and prints it.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut report = Report::default();
    let folder = tempfile::Builder::new().prefix("bench-api-").tempdir_in(scratch()?)?;
    let mut houses = Vec::new();
    for rows in [1_000, options.rows] {
        houses.push(House::build(&folder.path().join(rows.to_string()), rows)?);
        eprintln!("{rows} snapshots are stored ({:.0?})", begun.elapsed());
    }
    // What is copied in the end makes the service measure sizes anew, beside whatever is asked next: so reads come first.
    for round in 0..options.rounds {
        for house in &houses {
            if options.wants("get") {
                house.measure_get(options, &mut report)?;
            }
            if options.wants("list") {
                house.measure_lists(options, &mut report)?;
            }
        }
        eprintln!("reads, round {} is over ({:.0?})", round + 1, begun.elapsed());
    }
    if options.wants("post") {
        for round in 0..options.rounds {
            for house in &mut houses {
                house.measure_post(options, &mut report)?;
            }
            eprintln!("writes, round {} is over ({:.0?})", round + 1, begun.elapsed());
        }
    }
    let mut largest = houses.pop().context("there is no service")?;
    drop(houses);
    if options.wants("whole") {
        largest.restart()?;
        report.fact("whole list", largest.whole_list()?);
    }
    if options.wants("copies") {
        largest.measure_beside_copies(options, &mut report)?;
    }
    report.fact("generator CPU seconds", json!(cpu_seconds("/proc/self/stat")?));
    report.fact("seconds", json!(begun.elapsed().as_secs()));
    let json = report.print();
    if let Some(file) = &options.json {
        std::fs::write(file, format!("{json:#}\n")).context("writing the JSON failed")?;
    }
    Ok(())
}

/// A folder on the disk that the checkout is on: a folder for temporary files may be memory.
fn scratch() -> anyhow::Result<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::fs::create_dir_all(&target)?;
    Ok(target)
}

impl House {
    fn build(folder: &Path, rows: u64) -> anyhow::Result<Self> {
        let (token, organization) = (RandomIds.secret(), RandomIds.id());
        // The first start makes the tables and the organization.
        Server::start(folder, token, organization)?
            .wait_until_ready(token)?
            .kill()?;
        let database = database(folder);
        rows::fill(&database, organization, rows)?;
        let store = rows::open(&database)?;
        let image = folder.join("empty");
        image::write_empty(&image, SMALL_VOLUME_BYTES)?;
        let volume = rows::add_volume(&store, organization, &image)?;
        let server = Server::start(folder, token, organization)?.wait_until_ready(token)?;
        let folder = folder.to_path_buf();
        Ok(Self {
            folder,
            rows,
            token,
            organization,
            store,
            volume,
            server,
        })
    }

    /// The service anew, without what was asked of it and has not been done.
    fn restart(&mut self) -> anyhow::Result<()> {
        let (token, organization) = (self.token, self.organization);
        self.server.kill()?;
        rows::forget_unfinished(&database(&self.folder))?;
        self.server = Server::start(&self.folder, token, organization)?.wait_until_ready(token)?;
        Ok(())
    }

    fn request(&self, method: &str, target: &str, body: &str, into: &mut Vec<u8>) {
        let (token, length) = (self.token, body.len());
        let of_body = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
        };
        // Writing to memory can't fail.
        let _ = write!(
            into,
            "{method} {target} HTTP/1.1\r\nHost: bench\r\nX-Auth-Token: {token}\r\n{of_body}\r\n{body}"
        );
    }

    fn answer(&self, target: &str) -> anyhow::Result<(String, Vec<u8>)> {
        let mut request = Vec::new();
        self.request("GET", target, "", &mut request);
        ask(&self.server.address, &request)
    }

    /// Asks the API or one of its rivals.
    fn load(
        &self,
        report: &mut Report,
        options: &Options,
        (call, way, connections): (&'static str, &'static str, usize),
        script: &mut Script<'_>,
    ) -> anyhow::Result<()> {
        let address = if way == "plain" {
            &self.server.plain
        } else {
            &self.server.address
        };
        let before = self.server.cpu_seconds()?;
        let measured = load::run(address, connections, options.duration, script)
            .with_context(|| format!("{call}: {way} at {connections}"))?;
        let cpu_seconds = self.server.cpu_seconds()? - before;
        let requests = measured.rate * options.duration.as_secs_f64();
        let key = Key {
            call,
            rows: self.rows,
            connections,
            way,
        };
        report.add(key, measured, cpu_seconds / requests * 1e6);
        Ok(())
    }

    /// Rivals of a call: handlers that answer as many bytes.
    fn load_constants(
        &self,
        report: &mut Report,
        options: &Options,
        call: &'static str,
        connections: usize,
        bytes: usize,
    ) -> anyhow::Result<()> {
        let target = format!("/constant/{bytes}");
        for way in ["constant", "plain"] {
            self.load(report, options, (call, way, connections), &mut |_, into| {
                self.request("GET", &target, "", into);
            })?;
        }
        Ok(())
    }

    /// The statements without HTTP.
    fn load_database(
        &self,
        report: &mut Report,
        options: &Options,
        call: &'static str,
        connections: usize,
        statements: Statements,
    ) -> anyhow::Result<()> {
        let token = Token::parse(&self.token.to_string())?.hash();
        let threads = connections.min(thread::available_parallelism()?.get());
        let whose = (&token, self.organization, self.rows);
        let measured = rows::read(&self.store, whose, statements, threads, options.duration);
        report.add(
            Key {
                call,
                rows: self.rows,
                connections,
                way: "database",
            },
            measured,
            0.0,
        );
        Ok(())
    }

    fn measure_get(&self, options: &Options, report: &mut Report) -> anyhow::Result<()> {
        let (_, body) = self.answer(&format!("/snapshots/{}", rows::snapshot_id(1)))?;
        for connections in CONNECTIONS {
            let mut number = 0;
            self.load(report, options, ("GET one", "api", connections), &mut |_, into| {
                number = (number + 7919) % self.rows;
                self.request(
                    "GET",
                    &format!("/snapshots/{}", rows::snapshot_id(number + 1)),
                    "",
                    into,
                );
            })?;
            self.load_constants(report, options, "GET one", connections, body.len())?;
            self.load_database(report, options, "GET one", connections, Statements::One)?;
        }
        Ok(())
    }

    fn measure_lists(&self, options: &Options, report: &mut Report) -> anyhow::Result<()> {
        const FIRST: &str = "/snapshots?page=1&per_page=50";
        let (head, body) = self.answer(FIRST)?;
        let total: u64 = header(&head, "x-total-count").context("no total")?.parse()?;
        ensure!(total >= self.rows, "X-Total-Count is {total}");
        for connections in CONNECTIONS {
            self.load(
                report,
                options,
                ("list, first page", "api", connections),
                &mut |_, into| {
                    self.request("GET", FIRST, "", into);
                },
            )?;
            self.load(
                report,
                options,
                ("list, next pages", "api", connections),
                &mut |last, into| {
                    let target = last.and_then(next_page).unwrap_or(FIRST);
                    self.request("GET", target, "", into);
                },
            )?;
            self.load_constants(report, options, "list, first page", connections, body.len())?;
            self.load_constants(report, options, "list, next pages", connections, body.len())?;
            self.load_database(report, options, "list, first page", connections, Statements::Page)?;
        }
        Ok(())
    }

    fn new_snapshot(&self) -> String {
        let (organization, volume) = (self.organization, self.volume.id());
        json!({"name": "snapshot", "organization": organization, "volume_id": volume.to_string()}).to_string()
    }

    fn measure_post(&mut self, options: &Options, report: &mut Report) -> anyhow::Result<()> {
        const CALL: &str = "POST snapshot";
        let (_, body) = self.answer(&format!("/snapshots/{}", rows::snapshot_id(1)))?;
        let target = format!("/parse/{}", body.len());
        let new = self.new_snapshot();
        for connections in [16, 64] {
            self.load(report, options, (CALL, "api", connections), &mut |_, into| {
                self.request("POST", "/snapshots", &new, into);
            })?;
            self.restart()?;
            self.load(report, options, (CALL, "constant", connections), &mut |_, into| {
                self.request("POST", &target, &new, into);
            })?;
            // The service would work on what is written here.
            self.server.kill()?;
            let pool: Vec<Store> = (0..WRITERS)
                .map(|_| rows::open(&database(&self.folder)))
                .collect::<Result<_, _>>()?;
            for (way, stores) in [("database", &pool[..1]), ("pool", &pool[..])] {
                let measured = rows::write(stores, &self.volume, connections, options.duration);
                report.add(
                    Key {
                        call: CALL,
                        rows: self.rows,
                        connections,
                        way,
                    },
                    measured,
                    0.0,
                );
            }
            drop(pool);
            self.restart()?;
        }
        Ok(())
    }

    /// Reads the whole list, which is streamed.
    fn whole_list(&self) -> anyhow::Result<Value> {
        let (before, _) = self.server.memory_bytes()?;
        let mut request = Vec::new();
        self.request("GET", "/snapshots", "", &mut request);
        let mut stream = TcpStream::connect(&self.server.address)?;
        let begun = Instant::now();
        stream.write_all(&request)?;
        let mut piece = vec![0; 1 << 20];
        let mut read = stream.read(&mut piece)?;
        let first = begun.elapsed();
        let (mut bytes, mut end) = (0, [0; 8]);
        while read > 0 {
            bytes += read;
            let kept = piece[read.saturating_sub(8)..read].to_vec();
            end.rotate_left(kept.len());
            end[8 - kept.len()..].copy_from_slice(&kept);
            // The last chunk of all is empty.
            if end.ends_with(b"0\r\n\r\n") {
                break;
            }
            read = stream.read(&mut piece)?;
        }
        ensure!(end.ends_with(b"0\r\n\r\n"), "the list broke off after {bytes} bytes");
        let (_, most) = self.server.memory_bytes()?;
        Ok(json!({
            "rows": self.rows,
            "bytes": bytes,
            "seconds": begun.elapsed().as_secs_f64(),
            "first byte ms": first.as_secs_f64() * 1e3,
            "more memory MiB": most.saturating_sub(before) >> 20,
        }))
    }

    /// The same calls while two copies run, each with a thread per core.
    fn measure_beside_copies(&mut self, options: &Options, report: &mut Report) -> anyhow::Result<()> {
        let images: Vec<_> = (0..COPIES)
            .map(|number| self.folder.join(format!("image-{number}")))
            .collect();
        let mut copied = Vec::new();
        for (seed, path) in (1..).zip(&images) {
            image::write(path, COPY_MEBIBYTES, seed)?;
            copied.push(rows::add_volume(&self.store, self.organization, path)?);
        }
        self.restart()?;
        let mut asked = Vec::new();
        for volume in &copied {
            let body = json!({"name": "copy", "organization": self.organization, "volume_id": volume.id().to_string()});
            let mut request = Vec::new();
            self.request("POST", "/snapshots", &body.to_string(), &mut request);
            let (_, answer) = ask(&self.server.address, &request)?;
            let id = serde_json::from_slice::<Value>(&answer)?["snapshot"]["id"]
                .as_str()
                .context("no id")?
                .to_owned();
            asked.push(id);
        }
        let begun = Instant::now();
        let new = self.new_snapshot();
        let calls: [(&'static str, &'static str, String, &str); 3] = [
            (
                "beside copies: GET one",
                "GET",
                format!("/snapshots/{}", rows::snapshot_id(1)),
                "",
            ),
            (
                "beside copies: list, first page",
                "GET",
                "/snapshots?page=1&per_page=50".to_owned(),
                "",
            ),
            ("beside copies: POST snapshot", "POST", "/snapshots".to_owned(), &new),
        ];
        for (call, method, target, body) in &calls {
            self.load(report, options, (*call, "api", 64), &mut |_, into| {
                self.request(method, target, body, into);
            })?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let states: Vec<Value> = asked
            .iter()
            .map(|id| {
                let (_, answer) = self.answer(&format!("/snapshots/{id}"))?;
                Ok(serde_json::from_slice::<Value>(&answer)?["snapshot"]["state"].clone())
            })
            .collect::<anyhow::Result<_>>()?;
        let over = states.iter().filter(|state| **state == "available").count();
        let value = json!({
            "copies": COPIES, "MiB each": COPY_MEBIBYTES, "over at the end": over, "seconds": seconds,
            "still ran at the end": over + 2 <= asked.len(),
        });
        report.fact("beside copies", value);
        for path in &images {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn database(folder: &Path) -> PathBuf {
    folder.join("metadata.sqlite")
}

/// The next page, by the links of an answer.
fn next_page(head: &str) -> Option<&str> {
    let link = header(head, "link")?
        .split(',')
        .find(|link| link.ends_with("rel=\"next\""))?;
    link.strip_prefix('<')?.split_once('>').map(|(target, _)| target)
}

impl Server {
    /// Waits until the token is taken.
    fn wait_until_ready(self, token: Uuid) -> anyhow::Result<Self> {
        let deadline = Instant::now() + Duration::from_mins(1);
        let request = format!("GET /volumes?page=1 HTTP/1.1\r\nHost: bench\r\nX-Auth-Token: {token}\r\n\r\n");
        loop {
            match ask(&self.address, request.as_bytes()) {
                Ok((head, _)) if head.starts_with("HTTP/1.1 200") => return Ok(self),
                _ => ensure!(Instant::now() < deadline, "the service does not take its token"),
            }
            thread::park_timeout(Duration::from_millis(10));
        }
    }
}
