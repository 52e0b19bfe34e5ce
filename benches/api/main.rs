//! What the API costs: `cargo bench -p snapshot-api --bench api`.
//!
//! Starts the service on a thousand and on a million stored snapshots, and compares, interleaved and in several rounds:
//!
//! - `constant`: a handler in the same server that answers as many bytes, within the same layers (request id, access log);
//! - `plain`: the same handler in a server of its own in the same process, without any layer;
//! - `database`: the statements of the call without HTTP, on a thread per core.
//!
//! Medians are printed as a table, and written as JSON where that is asked for. Ratios of one run hold; absolute numbers are
//! the machine's. `--rounds N` (3), `--ms N` (700 a measurement), `--rows N` (1000000), `--json FILE`, `--only WORDS` (of get,
//! list, post, whole, copies, between commas).

#![expect(clippy::print_stdout, reason = "it is a program that prints what it measured")]
#![expect(clippy::cast_precision_loss, reason = "rates and times need no 53 bits")]

#[path = "../../crates/snapshot-api/src/data_folder.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the binary's commands and its tests use the rest"
)]
mod data_folder;
#[path = "../../crates/snapshot-api/src/descriptors.rs"]
mod descriptors;
#[path = "../../crates/snapshot-api/src/environment.rs"]
mod environment;
#[path = "../../crates/snapshot-api/src/first_start.rs"]
mod first_start;
mod image;
mod load;
#[path = "../../crates/snapshot-api/src/logging.rs"]
mod logging;
mod measure;
mod report;
#[path = "../../crates/snapshot-api/src/retention.rs"]
mod retention;
mod rows;
#[path = "../../crates/snapshot-api/src/server.rs"]
mod server;
mod service;
#[path = "../../crates/snapshot-api/src/settings/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the binary's commands and its tests use the rest"
)]
mod settings;
#[path = "../../crates/snapshot-api/src/startup.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the binary's commands and its tests use the rest"
)]
mod startup;

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;

use crate::service::app;

/// How much is measured.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) duration: Duration,
    pub(crate) rows: u64,
    pub(crate) only: Option<String>,
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            rounds: 3,
            duration: Duration::from_millis(700),
            rows: 1_000_000,
            only: None,
            json: None,
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{name} has no value"))?;
            match name.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--ms" => options.duration = Duration::from_millis(value.parse()?),
                "--rows" => options.rows = value.parse()?,
                "--only" => options.only = Some(value),
                "--json" => options.json = Some(value.into()),
                _ => anyhow::bail!("there is no option {name}"),
            }
        }
        Ok(options)
    }

    /// Whether this part is asked for.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.split(',').any(|word| word == part))
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|argument| argument == "serve") {
        return service::serve();
    }
    measure::run(&Options::parse(arguments)?)
}
