//! The real binary, and everything that can go wrong around it: killed processes, damaged objects, full disks.

#![expect(clippy::unwrap_used, reason = "what prepares a test fails like the test itself")]

#[path = "../http/client.rs"]
#[expect(dead_code, reason = "the tests over HTTP use the rest")]
mod client;
#[path = "../http/service.rs"]
#[expect(dead_code, reason = "the tests over HTTP use the rest")]
mod service;

mod collection;
mod collection_kills;
mod damage;
mod full_disk;
mod healing;
mod kills;
mod story;
mod vault_commands;
mod vault_folder;
