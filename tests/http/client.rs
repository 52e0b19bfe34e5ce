//! Talking to the service: as a well-behaved client, or byte by byte.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};
use ureq::{
    Agent, Body,
    http::{HeaderMap, Method, Request, Response},
};

use crate::service::{ORGANIZATION, wait_for};

/// Somebody who calls the service.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    address: String,
    token: Option<String>,
}

/// What the service answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body, which has to be JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body, when the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// A header, which has to be there.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
            .to_str()
            .unwrap()
    }

    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub(crate) fn new(address: &str, token: Option<&str>) -> Self {
        Self::keeping(address, token, 3)
    }

    /// Keeps so many connections for its next requests.
    fn keeping(address: &str, token: Option<&str>, connections: usize) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(connections)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_mins(1)))
            .build();
        Self {
            agent: config.into(),
            address: address.to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// The same with a new connection for each request: a kept one may be just being ended by a service that keeps none
    /// for long.
    pub(crate) fn without_kept_connections(&self) -> Self {
        Self::keeping(&self.address, self.token.as_deref(), 0)
    }

    /// The token that it shows.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    /// Any request.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let takes_a_body = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("X-Auth-Token", token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = if takes_a_body || !body.is_empty() {
            let request = self.agent.configure_request(request.body(body).unwrap());
            self.agent.run(request.allow_non_standard_methods(true).build())
        } else {
            self.agent.run(request.body(()).unwrap())
        };
        answer_of(response.unwrap())
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"")
    }

    #[track_caller]
    pub(crate) fn head(&self, path: &str) -> Answer {
        self.call("HEAD", path, &[], b"")
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], b"")
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body)
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, body)
    }

    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        self.call(method, path, &headers, body.to_string().as_bytes())
    }

    /// A new volume of zeros in [`ORGANIZATION`], as the API shows it.
    #[track_caller]
    pub(crate) fn make_volume(&self, size_bytes: u64) -> Value {
        let body = json!({
            "name": "vol simple snapshot",
            "organization": ORGANIZATION,
            "volume_type": "l_ssd",
            "size": size_bytes,
        });
        self.post("/volumes", &body).expect(201).json()["volume"].clone()
    }

    /// A new volume with these bytes; returns its id.
    #[track_caller]
    pub(crate) fn make_volume_of(&self, bytes: &[u8]) -> String {
        let size_bytes = u64::try_from(bytes.len().next_multiple_of(512)).unwrap();
        let id = id_of(&self.make_volume(size_bytes));
        self.write(&id, bytes).expect(200);
        id
    }

    /// Writes bytes into a volume.
    #[track_caller]
    pub(crate) fn write(&self, volume: &str, bytes: &[u8]) -> Answer {
        let headers = [("Content-Type", "application/octet-stream")];
        self.call("PUT", &format!("/volumes/{volume}/data"), &headers, bytes)
    }

    /// Asks for a snapshot of a volume of [`ORGANIZATION`].
    #[track_caller]
    pub(crate) fn snapshot(&self, volume: &str, name: &str) -> Answer {
        let body = json!({"name": name, "organization": ORGANIZATION, "volume_id": volume});
        self.post("/snapshots", &body)
    }

    /// A snapshot of a volume once it is whole, as the API shows it.
    #[track_caller]
    pub(crate) fn make_snapshot(&self, volume: &str, name: &str) -> Value {
        let id = id_of(&self.snapshot(volume, name).expect(200).json()["snapshot"]);
        self.wait_for_state("snapshot", &id, "available")
    }

    /// Asks until a snapshot or a volume is in a state.
    #[track_caller]
    pub(crate) fn wait_for_state(&self, kind: &str, id: &str, state: &str) -> Value {
        wait_for(&format!("{kind} {id} to be {state}"), || {
            let object = self.get(&format!("/{kind}s/{id}")).expect(200).json()[kind].clone();
            assert!(object["state"] != "error" || state == "error", "{object}");
            (object["state"] == state).then_some(object)
        })
    }

    /// Sends bytes as they are, and reads until the service closes the connection.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        // A connection that is reset was answered as well.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A connection on which nothing was sent yet.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// The head of a request with the client's token, for [`raw`](Self::raw).
    pub(crate) fn head_of(&self, method: &str, path: &str, headers: &str) -> String {
        let token = self.token.as_deref().unwrap_or_default();
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nX-Auth-Token: {token}\r\n{headers}\r\n")
    }
}

fn answer_of(response: Response<Body>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let body = body.with_config().limit(1 << 30).read_to_vec().unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    }
}

/// The id of a snapshot or a volume.
#[track_caller]
pub(crate) fn id_of(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

/// Bytes that look random, and are the same for the same seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
