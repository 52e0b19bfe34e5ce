//! Two organizations that try everything on each other: ten thousand random requests, of which none may tell whether
//! something of the other's exists, what it is called or what is in it, and none may change it.
//!
//! Every request that names something of the other's is sent again with something that does not exist in its place: both
//! answers must be the same, byte for byte. `SNAPSHOT_TEST_SEED` chooses other requests.

use std::thread;

use serde_json::{Map, Value, json};

use crate::{
    client::{Answer, Client, id_of},
    service::{ORGANIZATION, Service, Setup, wait_for},
};

const REQUESTS: usize = 10_000;
const RESOURCES: usize = 3;

/// An organization with a token and some resources.
struct Tenant {
    client: Client,
    organization: String,
    snapshots: Vec<String>,
    volumes: Vec<String>,
    tasks: Vec<String>,
    /// What the other one must never see, unless it sent it itself.
    secrets: Vec<String>,
    name: String,
    tag: String,
    /// A key of a request that was answered.
    key: String,
    version: String,
}

impl Tenant {
    fn settle(client: Client, organization: &str, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut tenant = Self {
            client,
            organization: organization.to_owned(),
            snapshots: Vec::new(),
            volumes: Vec::new(),
            tasks: Vec::new(),
            secrets: vec![organization.to_owned()],
            name: random.word(),
            tag: random.word(),
            key: random.uuid(),
            version: "*".to_owned(),
        };
        for _ in 0..RESOURCES {
            tenant.add_volume_with_snapshot(&random.word().repeat(40));
        }
        tenant.secrets.extend([tenant.name.clone(), tenant.tag.clone()]);
        let ids = [&tenant.snapshots, &tenant.volumes, &tenant.tasks];
        tenant.secrets.extend(ids.into_iter().flatten().cloned());
        tenant
    }

    fn add_volume_with_snapshot(&mut self, bytes: &str) {
        let json = ("Content-Type", "application/json");
        let (client, organization) = (self.client.clone(), &self.organization);
        let body = json!({"name": self.name, "organization": organization, "size": 4096, "tags": [self.tag]});
        let volume = id_of(&client.post("/volumes", &body).expect(201).json()["volume"]);
        client.write(&volume, bytes.as_bytes()).expect(200);
        let body = json!({"name": self.name, "organization": organization, "volume_id": volume, "tags": [self.tag]});
        let path = "/instance/v1/zones/a/snapshots";
        let headers = [json, ("Idempotency-Key", &self.key)];
        let key_is_new = self.snapshots.is_empty();
        let headers = if key_is_new { &headers[..] } else { &headers[..1] };
        let begun = client
            .call("POST", path, headers, body.to_string().as_bytes())
            .expect(201)
            .json();
        let snapshot = id_of(&begun["snapshot"]);
        let shown = client.wait_for_state("snapshot", &snapshot, "available");
        let answer = client.get(&format!("/snapshots/{snapshot}"));
        if answer.has_header("etag") {
            answer.header("etag").clone_into(&mut self.version);
        }
        self.tasks.push(id_of(&begun["task"]));
        self.secrets.push(shown["digest"].as_str().unwrap().to_owned());
        // Some words of the bytes are as good as all.
        self.secrets.push(bytes[..32].to_owned());
        self.volumes.push(volume);
        self.snapshots.push(snapshot);
    }

    /// Waits until it is known what each snapshot takes for itself: a moment after the last one was made.
    fn wait_until_measured(&self) {
        for id in &self.snapshots {
            wait_for("the exclusive size", || {
                let shown = self.client.get(&format!("/snapshots/{id}")).expect(200).json();
                shown["snapshot"]["exclusive_size"].as_u64()
            });
        }
    }

    /// Everything that the tenant has, as it sees it.
    fn possessions(&self) -> Vec<(Value, String, Vec<u8>)> {
        let of = |kind: &str, id: &String| {
            let shown = self.client.get(&format!("/{kind}s/{id}")).expect(200);
            let version = if shown.has_header("etag") {
                shown.header("etag")
            } else {
                ""
            };
            let bytes = self.client.get(&format!("/{kind}s/{id}/data")).expect(200).body;
            (shown.json(), version.to_owned(), bytes)
        };
        let lists = ["/snapshots", "/volumes"]
            .map(|list| (self.client.get(list).expect(200).json(), String::new(), Vec::new()));
        let snapshots = self.snapshots.iter().map(|id| of("snapshot", id));
        let volumes = self.volumes.iter().map(|id| of("volume", id));
        snapshots.chain(volumes).chain(lists).collect()
    }
}

/// Random numbers that are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn one_of<'a, T: ?Sized>(&mut self, choice: &[&'a T]) -> &'a T {
        choice[self.below(choice.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn uuid(&mut self) -> String {
        let mut half = || u64::try_from(self.below(usize::MAX)).unwrap();
        let bytes = uuid::Uuid::from_u64_pair(half(), half()).into_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// A word of 24 letters.
    fn word(&mut self) -> String {
        (0..24)
            .map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap()))
            .collect()
    }
}

/// A request, and what in it is the other tenant's, each with something as long that does not exist.
#[derive(Debug, Default)]
struct Attempt {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    swaps: Vec<(String, String)>,
}

impl Attempt {
    fn random(random: &mut Random, own: &Tenant, other: &Tenant) -> Self {
        let mut attempt = Self {
            method: random.one_of(&[
                "GET", "GET", "GET", "HEAD", "PUT", "PUT", "PATCH", "POST", "POST", "DELETE", "OPTIONS",
            ]),
            ..Self::default()
        };
        let prefix = random.one_of(&["", "", "/instance/v1/zones/a", "/instance/v1/zones/fr-par-1"]);
        let path = attempt.path(random, own, other);
        let query = if random.chance(30) {
            attempt.query(random, own, other)
        } else {
            String::new()
        };
        attempt.target = format!("{prefix}{path}{query}");
        attempt.headers(random, other);
        attempt
    }

    /// Something of the other's.
    fn others(&mut self, random: &mut Random, value: &str) -> String {
        if !self.swaps.iter().any(|(known, _)| known == value) {
            let missing = if value.len() == 36 {
                random.uuid()
            } else {
                random.word()
            };
            self.swaps.push((value.to_owned(), missing));
        }
        value.to_owned()
    }

    fn path(&mut self, random: &mut Random, own: &Tenant, other: &Tenant) -> String {
        let (collection, ends): (&str, &[&str]) = match random.below(10) {
            0..4 => ("snapshots", &["", "", "/data", "/events", "/transfer"]),
            4..7 => ("volumes", &["", "", "/data"]),
            7 => ("tasks", &[""]),
            8 => ("transfers", &["", "/accept"]),
            _ => ("audit", &[""]),
        };
        let of = |tenant: &Tenant, kind: &str| match kind {
            "snapshots" => tenant.snapshots.clone(),
            "volumes" => tenant.volumes.clone(),
            "tasks" => tenant.tasks.clone(),
            _ => vec![tenant.organization.clone(), tenant.key.clone()],
        };
        let end = random.one_of(ends);
        let read = ["GET", "HEAD"].contains(&self.method);
        match random.below(20) {
            0..4 => {
                self.collection_body(random, own, other);
                format!("/{collection}")
            }
            // Their own: read, or offered to the other, which is refused.
            4 if read && end != "/events" => {
                format!("/{collection}/{}{end}", random.one_of(&refs(&of(own, collection))))
            }
            5 if self.method == "PUT" => {
                let organization = self.others(random, &other.organization);
                self.json(&json!({"name": "stolen", "organization": organization}));
                format!("/snapshots/{}", random.one_of(&refs(&own.snapshots)))
            }
            6 => format!("/{collection}/{}{end}", random.uuid()),
            kind => {
                let kind = match kind {
                    7 => "snapshots",
                    8 => "volumes",
                    9 => "tasks",
                    _ => collection,
                };
                let id = random.one_of(&refs(&of(other, kind))).to_owned();
                let id = self.others(random, &id);
                self.item_body(random, own, other, end);
                format!("/{collection}/{id}{end}")
            }
        }
    }

    /// What would make something, if the other's things could be used.
    fn collection_body(&mut self, random: &mut Random, own: &Tenant, other: &Tenant) {
        let mut body = Map::new();
        body.insert("name".to_owned(), json!("stolen"));
        let for_the_other = random.chance(40);
        let owner = if for_the_other {
            self.others(random, &other.organization)
        } else {
            own.organization.clone()
        };
        body.insert(
            random.one_of(&["organization", "organization", "project"]).to_owned(),
            json!(owner),
        );
        let volume = random.one_of(&refs(&other.volumes)).to_owned();
        let snapshot = random.one_of(&refs(&other.snapshots)).to_owned();
        let (volume, snapshot) = if for_the_other && random.chance(50) {
            (own.volumes[0].clone(), own.snapshots[0].clone())
        } else {
            (self.others(random, &volume), self.others(random, &snapshot))
        };
        body.insert("volume_id".to_owned(), json!(volume));
        body.insert("base_snapshot".to_owned(), json!(snapshot));
        if for_the_other && random.chance(30) {
            body.remove("base_snapshot");
            body.insert("size".to_owned(), json!(512));
        }
        self.json(&Value::Object(body));
    }

    fn item_body(&mut self, random: &mut Random, own: &Tenant, other: &Tenant, end: &str) {
        if end == "/data" && random.chance(80) {
            "overwritten".clone_into(&mut self.body);
            return;
        }
        let mut body = Map::new();
        if random.chance(70) {
            body.insert("name".to_owned(), json!("stolen"));
        }
        if random.chance(70) {
            let organization = if random.chance(50) {
                own.organization.clone()
            } else {
                self.others(random, &other.organization)
            };
            body.insert("organization".to_owned(), json!(organization));
        }
        if random.chance(30) {
            body.insert("tags".to_owned(), json!(["stolen"]));
        }
        if random.chance(30) {
            body.insert("secret".to_owned(), json!(random.uuid()));
        }
        if random.chance(10) {
            body.insert("size".to_owned(), json!("wrong"));
        }
        self.json(&Value::Object(body));
    }

    fn json(&mut self, body: &Value) {
        if ["PUT", "PATCH", "POST"].contains(&self.method) {
            self.body = body.to_string();
            self.headers.push(("Content-Type", "application/json".to_owned()));
        }
    }

    fn query(&mut self, random: &mut Random, own: &Tenant, other: &Tenant) -> String {
        let mut query = String::new();
        for _ in 0..=random.below(3) {
            let (key, value) = match random.below(11) {
                0 => ("organization", self.others(random, &other.organization)),
                1 => ("project", self.others(random, &other.organization)),
                2 => ("base_volume_id", self.others(random, &other.volumes[0])),
                3 => ("name", self.others(random, &other.name)),
                4 => ("tags", self.others(random, &other.tag)),
                5 => ("organization", own.organization.clone()),
                6 => (
                    "state",
                    random.one_of(&["available", "error", "snapshotting"]).to_owned(),
                ),
                7 => ("page", random.below(4).to_string()),
                8 => ("per_page", random.below(4).to_string()),
                9 => ("wait", "available&timeout=1".to_owned()),
                _ => ("resource_id", self.others(random, &other.snapshots[0])),
            };
            if !query.contains(&format!("{key}=")) {
                query.push(if query.is_empty() { '?' } else { '&' });
                query += key;
                query.push('=');
                query += &value;
            }
        }
        query
    }

    fn headers(&mut self, random: &mut Random, other: &Tenant) {
        self.headers.push(("X-Request-Id", random.uuid()));
        if random.chance(20) {
            let (first, last) = (random.below(5000), random.below(5000));
            self.headers.push(("Range", format!("bytes={first}-{last}")));
        }
        if random.chance(10) {
            let name = random.one_of(&["If-Match", "If-None-Match"]);
            self.headers.push((name, other.version.clone()));
        }
        // What is remembered of a key is its request's: so another one is no twin.
        if random.chance(10) && self.swaps.is_empty() {
            self.headers.push(("Idempotency-Key", other.key.clone()));
        }
    }

    /// The same with what does not exist in place of what is the other's.
    fn twin(&self) -> Self {
        let swapped = |text: &str| {
            let mut text = text.to_owned();
            for (value, missing) in &self.swaps {
                text = text.replace(value, missing);
            }
            text
        };
        Self {
            method: self.method,
            target: swapped(&self.target),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (*name, swapped(value)))
                .collect(),
            body: swapped(&self.body),
            swaps: Vec::new(),
        }
    }

    fn send(&self, client: &Client) -> Answer {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        client.call(self.method, &self.target, &headers, self.body.as_bytes())
    }

    /// What an answer says, without what the request itself said.
    fn told(&self, answer: &Answer) -> String {
        // The connection is closed when the answer comes before the body was read: that is a matter of packets.
        let by_chance = ["date", "connection"];
        let headers = answer
            .headers
            .iter()
            .filter(|(name, _)| !by_chance.contains(&name.as_str()));
        let mut headers: Vec<_> = headers
            .map(|(name, value)| [name.as_str(), value.to_str().unwrap()].join(": "))
            .collect();
        // The web server sends them in any order.
        headers.sort_unstable();
        let mut told = [answer.status.to_string(), headers.join("\n"), answer.text()].join("\n");
        for (value, missing) in &self.swaps {
            told = told.replace(value, "(sent)").replace(missing, "(sent)");
        }
        told
    }
}

fn refs(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

/// Sends random requests of one to what is the other's.
fn attack(own: &Tenant, other: &Tenant, seed: u64) {
    let mut random = Random(seed);
    for number in 0..REQUESTS / 2 {
        let attempt = Attempt::random(&mut random, own, other);
        let answer = attempt.send(&own.client);

        let told = attempt.told(&answer);
        let context = || format!("seed {seed}, request {number}: {attempt:?}\n{told}");
        assert!(answer.status < 500, "{}", context());
        // Its own trail tells a tenant which ids it tried itself, and nothing else of them.
        let is_trail = attempt.target.contains("/audit");
        let is_known = |secret: &str| is_trail && uuid::Uuid::try_parse(secret).is_ok();
        for secret in other.secrets.iter().filter(|secret| !is_known(secret)) {
            assert!(!told.contains(secret.as_str()), "{secret} got out: {}", context());
        }
        if !attempt.swaps.is_empty() && !is_trail {
            let twin = attempt.told(&attempt.twin().send(&own.client));
            assert!(told == twin, "{}\nbut of what does not exist:\n{twin}", context());
        }
    }
}

#[test]
fn ten_thousand_random_requests_find_out_nothing_about_another_organization() {
    let seed = std::env::var("SNAPSHOT_TEST_SEED").map_or(2026, |seed| seed.parse().unwrap());
    let service = Setup::new().set("SNAPSHOT__LIMITS__REQUESTS_PER_SECOND", "0").start();
    let (organization, client) = service.other_tenant();
    let ours = Tenant::settle(service.client(), ORGANIZATION, seed);
    let theirs = Tenant::settle(client, &organization, seed + 1);
    ours.wait_until_measured();
    theirs.wait_until_measured();
    let before = [ours.possessions(), theirs.possessions()];

    thread::scope(|scope| {
        scope.spawn(|| attack(&ours, &theirs, seed));
        scope.spawn(|| attack(&theirs, &ours, seed + 1));
    });

    assert!(
        [ours.possessions(), theirs.possessions()] == before,
        "something changed (seed {seed})"
    );
    assert!(!log_has_failures(&service));
}

fn log_has_failures(service: &Service) -> bool {
    service.log().contains(" ERROR ")
}
