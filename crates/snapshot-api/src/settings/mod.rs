//! What can be configured: every key of `config/default.toml`, read and checked.

mod load;
mod secret;
mod written;

use std::{num::NonZero, path::PathBuf, time::Duration};

use chrono::TimeDelta;
use config::ConfigError;
use log::LevelFilter;
use snapshot_api::Rate;
use snapshot_domain::{OrganizationId, Quota, Token};
use snapshot_mover::MaintenanceOptions;
use snapshot_mover::ScrubOptions;
use snapshot_vault::{ChunkSize, MasterKey, RecheckShare};
use thiserror::Error;

pub(crate) use self::load::load;
use self::secret::Secret;

/// All settings, checked: whatever is here can be used.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) zone: String,
    /// Empty for any.
    pub(crate) zones: Vec<String>,
    pub(crate) server: Server,
    pub(crate) limits: Limits,
    pub(crate) database: Database,
    pub(crate) vault: VaultSettings,
    pub(crate) tasks: Tasks,
    /// `None` when nothing is checked by itself.
    pub(crate) scrub: Option<ScrubOptions>,
    pub(crate) quotas: Quota,
    pub(crate) maintenance: MaintenanceOptions,
    pub(crate) audit: Audit,
    pub(crate) bootstrap: Option<Bootstrap>,
    pub(crate) log: Log,
}

#[derive(Debug)]
pub(crate) struct Server {
    /// `host:port`, as it is resolved when the server starts.
    pub(crate) bind: String,
    pub(crate) workers: NonZero<usize>,
    pub(crate) blocking_threads: NonZero<usize>,
    pub(crate) shutdown: Duration,
}

#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) connections: NonZero<usize>,
    pub(crate) transfers: NonZero<usize>,
    pub(crate) waiting: NonZero<usize>,
    pub(crate) heartbeat: Duration,
    /// `None` for any.
    pub(crate) by_token: Option<Rate>,
    /// `None` for any.
    pub(crate) refused_by_peer: Option<Rate>,
    pub(crate) head_bytes: usize,
    pub(crate) json_body_bytes: usize,
    pub(crate) request_head: Duration,
    pub(crate) stalled_body: Duration,
    pub(crate) stalled_answer_ms: u32,
    pub(crate) keep_alive: Duration,
}

#[derive(Debug)]
pub(crate) struct Database {
    /// `None` for the file in the data folder. May hold a password.
    pub(crate) url: Option<Secret>,
    pub(crate) connections: u32,
}

#[derive(Debug)]
pub(crate) struct VaultSettings {
    pub(crate) chunk_size: ChunkSize,
    pub(crate) recheck: RecheckShare,
    pub(crate) master_key: Option<MasterKey>,
    pub(crate) master_key_file: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) concurrency: NonZero<usize>,
    pub(crate) threads: NonZero<usize>,
    pub(crate) lease_ms: u32,
}

#[derive(Debug)]
pub(crate) struct Audit {
    /// `None` for ever.
    pub(crate) keep: Option<TimeDelta>,
}

/// The token and the organization that the first start shall use instead of making some.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    pub(crate) token: Token,
    pub(crate) organization: OrganizationId,
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) level: LevelFilter,
    pub(crate) format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// A JSON object per line, for programs.
    Json,
}

/// The settings can't be used. Never holds the value of a secret.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Unreadable(#[from] ConfigError),
    #[error("{place} in the file {file}")]
    Malformed { file: String, place: String },
    #[error("there is no setting `{key}`, which comes from {origin}")]
    Unknown { key: String, origin: String },
    #[error("the setting `{key}` {problem}")]
    Unusable { key: &'static str, problem: String },
    #[error("the setting `{key}` {problem}; it comes from {origin}")]
    WrongKind {
        key: String,
        problem: &'static str,
        origin: String,
    },
    #[error("the environment variable {variable} is no Unicode text")]
    NoText { variable: String },
}
