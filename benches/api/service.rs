//! The service under load, as a process of its own: the binary's own wiring, with a few constant handlers beside the API.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use actix_web::{
    App, Error, HttpRequest, HttpResponse, HttpServer,
    body::BoxBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::header::ContentType,
    web::{self, Bytes, Data},
};
use anyhow::{Context as _, bail};
use serde_json::Value;
use snapshot_api::Api;
use uuid::Uuid;

/// Where a handler that knows nothing of the API listens, in the process of the service.
const PLAIN_ADDRESS: &str = "BENCH_PLAIN_ADDRESS";

/// Larger than every page of 50.
static BODY: [u8; 128 << 10] = [b'x'; 128 << 10];

/// The API, and within the same layers two handlers that do nothing.
pub(crate) fn app(
    api: Data<Api>,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>,
> {
    snapshot_api::app(api)
        .route("/constant/{bytes}", web::get().to(constant))
        .route("/parse/{bytes}", web::post().to(parse))
}

/// Answers so many bytes.
async fn constant(request: HttpRequest) -> HttpResponse {
    let bytes: usize = request.match_info().query("bytes").parse().unwrap_or(0);
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(Bytes::from_static(&BODY[..bytes.min(BODY.len())]))
}

/// Parses a body, and answers so many bytes.
async fn parse(request: HttpRequest, body: Bytes) -> HttpResponse {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let ids = ["organization", "volume_id"].map(|key| body[key].as_str().and_then(|id| Uuid::try_parse(id).ok()));
    if ids.contains(&None) || body["name"].as_str().is_none() {
        return HttpResponse::BadRequest().finish();
    }
    constant(request).await
}

/// What the process does: the service, and on a thread of its own the plainest server that there is.
pub(crate) fn serve() -> anyhow::Result<()> {
    let settings = crate::settings::load(None)?;
    crate::logging::start(&settings.log);
    let address = std::env::var(PLAIN_ADDRESS)?;
    let workers = settings.server.workers.get();
    thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let app = || App::new().route("/constant/{bytes}", web::get().to(constant));
            HttpServer::new(app).workers(workers).bind(address)?.run().await
        })
    });
    crate::startup::serve(&settings)
}

/// A running service.
pub(crate) struct Server {
    child: Child,
    /// `host:port` of the API.
    pub(crate) address: String,
    /// `host:port` of the plain server.
    pub(crate) plain: String,
}

impl Server {
    /// Starts one on a data folder, and waits until it answers.
    pub(crate) fn start(folder: &Path, token: Uuid, organization: Uuid) -> anyhow::Result<Self> {
        let (address, plain) = (free_address()?, free_address()?);
        let log = fs::File::create("/dev/null")?;
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .env("SNAPSHOT__DATA_DIR", folder)
            .env("SNAPSHOT__SERVER__BIND", &address)
            .env("SNAPSHOT__BOOTSTRAP__TOKEN", token.to_string())
            .env("SNAPSHOT__BOOTSTRAP__ORGANIZATION", organization.to_string())
            .env("SNAPSHOT__LIMITS__REQUESTS_PER_SECOND", "0")
            .env(PLAIN_ADDRESS, &plain)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut server = Self { child, address, plain };
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(&server.address).is_err() || TcpStream::connect(&server.plain).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server did not start: {status}");
            }
            anyhow::ensure!(Instant::now() < deadline, "the server does not listen");
            thread::park_timeout(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// What its memory is now, and what it was at the most, in bytes.
    pub(crate) fn memory_bytes(&self) -> anyhow::Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.context("no such field")?.trim().trim_end_matches(" kB");
            Ok(text.parse::<u64>()? << 10)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// Processor seconds that it has used.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(&format!("/proc/{}/stat", self.child.id()))
    }

    /// Ends it without ceremony, and waits for that.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// Processor seconds of a process, by its `stat` file.
pub(crate) fn cpu_seconds(stat: &str) -> anyhow::Result<f64> {
    let text = fs::read_to_string(PathBuf::from(stat))?;
    let (_, fields) = text.rsplit_once(')').context("no name")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |at: usize| -> anyhow::Result<f64> { Ok(fields.get(at).context("too short")?.parse()?) };
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok((ticks(11)? + ticks(12)?) / per_second)
}

fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// The head and the body of an answer.
pub(crate) fn ask(address: &str, request: &[u8]) -> anyhow::Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let read = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..read]);
        let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            anyhow::ensure!(read > 0, "the connection was closed");
            continue;
        };
        let head = String::from_utf8(answer[..end].to_vec())?;
        let length: usize = crate::load::header(&head, "content-length")
            .context("no length")?
            .parse()?;
        if answer.len() >= end + 4 + length {
            return Ok((head, answer.split_off(end + 4)));
        }
        anyhow::ensure!(read > 0, "the connection was closed");
    }
}
