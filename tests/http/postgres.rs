//! The same service with its rows on Postgres. Needs `SNAPSHOT_TEST_POSTGRES_URL` (`.ci/postgres start` prints one) and
//! `psql`; says so when the first is missing.

use std::process::Command;

use serde_json::json;
use uuid::Uuid;

use crate::{
    client::{Client, id_of, noise},
    service::{ORGANIZATION, Setup, wait_for},
};

/// A database of a test's own. Removed when it is dropped.
struct Database {
    server: String,
    name: String,
}

impl Database {
    /// A new database; `None`, and a line on standard error, when there is no server to try.
    fn make() -> Option<Self> {
        let Ok(server) = std::env::var("SNAPSHOT_TEST_POSTGRES_URL") else {
            eprintln!("SKIPPED: SNAPSHOT_TEST_POSTGRES_URL names no PostgreSQL server");
            return None;
        };
        let name = format!("http_{}", Uuid::new_v4().simple());
        let database = Self { server, name };
        assert!(
            database.tell_server(&format!("CREATE DATABASE {}", database.name)),
            "psql can't make a database"
        );
        Some(database)
    }

    fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    /// What the database answers to a query, as a text.
    fn ask(&self, sql: &str) -> String {
        let psql = Command::new("psql")
            .args([&self.url(), "--quiet", "--tuples-only", "--no-align", "--command", sql])
            .output()
            .unwrap();
        assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
        String::from_utf8(psql.stdout).unwrap().trim().to_owned()
    }

    fn tell_server(&self, sql: &str) -> bool {
        let psql = Command::new("psql")
            .args([&self.server, "--quiet", "--command", sql])
            .status();
        psql.is_ok_and(|status| status.success())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.tell_server(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

#[test]
fn a_snapshot_and_its_restore_survive_restarts() {
    let Some(database) = Database::make() else {
        return;
    };
    let service = Setup::new().set("SNAPSHOT__DATABASE__URL", &database.url()).start();
    let client = service.client();
    let bytes = noise(3 << 20, 1);
    let volume = client.make_volume_of(&bytes);
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));
    client.delete(&format!("/volumes/{volume}")).expect(204);

    let service = service.restart();
    let client = service.client();
    let body = json!({"name": "restored", "organization": ORGANIZATION, "base_snapshot": snapshot});
    let restored = id_of(&client.post("/volumes", &body).expect(201).json()["volume"]);
    client.wait_for_state("volume", &restored, "available");

    assert!(client.get(&format!("/volumes/{restored}/data")).expect(200).body == bytes);
    let page = client.get("/snapshots?page=1&name=x&state=available").expect(200);
    assert_eq!(page.header("x-total-count"), "1");
    assert_eq!(page.json()["snapshots"][0]["id"], snapshot);
    assert!(!service.data().path().join("metadata.sqlite").exists());
    client.delete(&format!("/snapshots/{snapshot}")).expect(204);
    client.get(&format!("/snapshots/{snapshot}")).expect(404);
}

#[test]
fn an_answer_is_given_again_for_a_day_and_then_forgotten() {
    let Some(database) = Database::make() else {
        return;
    };
    let service = Setup::new().set("SNAPSHOT__DATABASE__URL", &database.url()).start();
    let make = |client: &Client| {
        let body = json!({"name": "v", "organization": ORGANIZATION, "volume_type": "l_ssd", "size": 512});
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")];
        let made = client.call("POST", "/volumes", &headers, body.to_string().as_bytes());
        id_of(&made.expect(201).json()["volume"])
    };
    let first = make(&service.client());
    assert_eq!(make(&service.client()), first);

    // A day passes, and some time more.
    assert_eq!(
        database.ask("UPDATE receipts SET kept_at = 0, expires_at = 1 RETURNING 1"),
        "1"
    );
    assert_ne!(make(&service.client()), first);
    database.ask("UPDATE receipts SET kept_at = 0, expires_at = 1");
    let copies = "INSERT INTO receipts SELECT decode(md5(n::text) || md5(n::text), 'hex'), fingerprint, answer, 0, 1 \
                  FROM receipts, generate_series(1, 1000) AS n";
    database.ask(copies);
    assert_eq!(database.ask("SELECT count(*) FROM receipts"), "1001");

    let service = service.restart();
    wait_for("old answers to be forgotten", || {
        (database.ask("SELECT count(*) FROM receipts") == "0").then_some(())
    });
    service.client().get("/volumes").expect(200);
}

#[test]
fn a_password_never_shows_when_the_server_can_not_be_reached() {
    let url = "postgres://snapshots:hunter2@127.0.0.1:1/snapshots";

    let refused = Setup::new().set("SNAPSHOT__DATABASE__URL", url).run();

    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("database"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
