//! Reading the settings: the defaults, then a file, then the environment.

use std::{
    collections::BTreeSet,
    env,
    num::NonZero,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use config::{Config, ConfigError, Environment, File, FileFormat, Map, Source, Value, ValueKind};
use log::LevelFilter;
use serde::Deserialize;
use snapshot_domain::{OrganizationId, Token};
use snapshot_vault::{ChunkSize, MasterKey};
use thiserror::Error;
use uuid::Uuid;

use super::{Bootstrap, Database, Limits, Log, LogFormat, Secret, Server, Settings, Tasks, VaultSettings};

const DEFAULTS: &str = include_str!("../../../../config/default.toml");
const PREFIX: &str = "SNAPSHOT";
const SEPARATOR: &str = "__";

/// The settings can't be used. Never holds the value of a secret.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error("the settings can't be read: {0}")]
    Unreadable(#[from] ConfigError),
    #[error("there is no setting `{key}`, which comes from {origin}")]
    Unknown { key: String, origin: String },
    #[error("the setting `{key}` {problem}")]
    Unusable { key: &'static str, problem: String },
    #[error("the environment variable {variable} is no Unicode text")]
    NoText { variable: String },
}

/// Reads the settings: the compiled-in defaults, over them the file, over both the environment.
///
/// # Errors
///
/// [`SettingsError`] names the setting that is misspelt or of no use.
pub(crate) fn load(file: Option<&Path>) -> Result<Settings, SettingsError> {
    let mut variables = Map::new();
    for (variable, value) in env::vars_os() {
        let Some(variable) = variable.to_str().filter(|name| name.starts_with("SNAPSHOT__")) else {
            continue;
        };
        let Ok(value) = value.into_string() else {
            return Err(SettingsError::NoText {
                variable: variable.to_owned(),
            });
        };
        variables.insert(variable.to_owned(), value);
    }
    layered(file, variables)
}

fn layered(file: Option<&Path>, variables: Map<String, String>) -> Result<Settings, SettingsError> {
    let defaults = File::from_str(DEFAULTS, FileFormat::Toml);
    let known = keys(&defaults.collect()?);
    let environment = Environment::with_prefix(PREFIX)
        .prefix_separator(SEPARATOR)
        .separator(SEPARATOR)
        .ignore_empty(true)
        .source(Some(variables));
    let mut layers = Config::builder().add_source(defaults);
    if let Some(path) = file {
        let file = File::from(path).format(FileFormat::Toml).required(true);
        refuse_unknown(&known, &file.collect()?, |_| format!("the file {}", path.display()))?;
        layers = layers.add_source(file);
    }
    refuse_unknown(&known, &environment.collect()?, |key| {
        let variable = key.to_uppercase().replace('.', SEPARATOR);
        format!("the environment variable {PREFIX}{SEPARATOR}{variable}")
    })?;
    let raw: Raw = layers.add_source(environment).build()?.try_deserialize()?;
    raw.checked()
}

/// The dotted names of everything in a tree that is no table.
fn keys(tree: &Map<String, Value>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (key, value) in tree {
        match &value.kind {
            ValueKind::Table(inside) => names.extend(keys(inside).into_iter().map(|inner| format!("{key}.{inner}"))),
            _ => {
                names.insert(key.clone());
            }
        }
    }
    names
}

fn refuse_unknown(
    known: &BTreeSet<String>,
    tree: &Map<String, Value>,
    origin: impl Fn(&str) -> String,
) -> Result<(), SettingsError> {
    match keys(tree).into_iter().find(|key| !known.contains(key)) {
        None => Ok(()),
        Some(key) => Err(SettingsError::Unknown {
            origin: origin(&key),
            key,
        }),
    }
}

/// The settings as they are written.
#[derive(Deserialize)]
struct Raw {
    data_dir: PathBuf,
    zone: String,
    server: RawServer,
    limits: RawLimits,
    database: RawDatabase,
    vault: RawVault,
    tasks: RawTasks,
    bootstrap: RawBootstrap,
    log: RawLog,
}

#[derive(Deserialize)]
struct RawServer {
    bind: String,
    workers: usize,
    blocking_threads: usize,
    shutdown_ms: u64,
}

#[derive(Deserialize)]
struct RawLimits {
    connections: usize,
    json_body_bytes: usize,
    request_head_ms: u64,
    stalled_body_ms: u64,
    stalled_answer_ms: u32,
    keep_alive_ms: u64,
}

#[derive(Deserialize)]
struct RawDatabase {
    url: Secret,
    connections: u32,
}

#[derive(Deserialize)]
struct RawVault {
    chunk_size: u32,
    master_key: Secret,
    master_key_file: PathBuf,
}

#[derive(Deserialize)]
struct RawTasks {
    concurrency: usize,
    threads: usize,
    lease_ms: u32,
}

#[derive(Deserialize)]
struct RawBootstrap {
    token: Secret,
    organization: String,
}

#[derive(Deserialize)]
struct RawLog {
    level: String,
    format: String,
}

impl Raw {
    fn checked(self) -> Result<Settings, SettingsError> {
        Ok(Settings {
            data_dir: not_empty_path("data_dir", self.data_dir)?,
            zone: zone(self.zone)?,
            server: self.server.checked()?,
            limits: self.limits.checked()?,
            database: self.database.checked()?,
            vault: self.vault.checked()?,
            tasks: self.tasks.checked()?,
            bootstrap: self.bootstrap.checked()?,
            log: self.log.checked()?,
        })
    }
}

impl RawServer {
    fn checked(self) -> Result<Server, SettingsError> {
        let has_port = self
            .bind
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !has_port {
            let problem = format!(
                "must be an address and a port, like 127.0.0.1:8080, and is {:?}",
                self.bind
            );
            return Err(unusable("server.bind", problem));
        }
        if self.shutdown_ms > 60_000 {
            return Err(unusable("server.shutdown_ms", "must be at most 60000"));
        }
        Ok(Server {
            bind: self.bind,
            workers: or_one_per_core(self.workers),
            blocking_threads: at_least_one("server.blocking_threads", self.blocking_threads)?,
            shutdown: Duration::from_millis(self.shutdown_ms),
        })
    }
}

impl RawLimits {
    fn checked(self) -> Result<Limits, SettingsError> {
        Ok(Limits {
            connections: at_least_one("limits.connections", self.connections)?,
            json_body_bytes: at_least_one("limits.json_body_bytes", self.json_body_bytes)?.get(),
            request_head: some_time("limits.request_head_ms", self.request_head_ms)?,
            stalled_body: some_time("limits.stalled_body_ms", self.stalled_body_ms)?,
            stalled_answer_ms: some_time("limits.stalled_answer_ms", self.stalled_answer_ms.into())
                .map(|_| self.stalled_answer_ms)?,
            keep_alive: some_time("limits.keep_alive_ms", self.keep_alive_ms)?,
        })
    }
}

impl RawDatabase {
    fn checked(self) -> Result<Database, SettingsError> {
        if self.connections == 0 {
            return Err(unusable("database.connections", "must be at least 1"));
        }
        Ok(Database {
            url: Some(self.url).filter(|url| !url.expose().is_empty()),
            connections: self.connections,
        })
    }
}

impl RawVault {
    fn checked(self) -> Result<VaultSettings, SettingsError> {
        let chunk_size = ChunkSize::new(self.chunk_size)
            .map_err(|error| unusable("vault.chunk_size", format!("is wrong: {error}")))?;
        let master_key = match self.master_key.expose() {
            "" => None,
            digits => Some(
                MasterKey::from_hex(digits)
                    .map_err(|error| unusable("vault.master_key", format!("is wrong: {error}")))?,
            ),
        };
        let file = Some(self.master_key_file).filter(|path| !path.as_os_str().is_empty());
        if master_key.is_some() && file.is_some() {
            return Err(unusable(
                "vault.master_key_file",
                "must not be set together with `vault.master_key`",
            ));
        }
        Ok(VaultSettings {
            chunk_size,
            master_key,
            master_key_file: file,
        })
    }
}

impl RawTasks {
    fn checked(self) -> Result<Tasks, SettingsError> {
        // A lease is renewed about once a second: a much shorter one would be lost on a busy machine.
        if self.lease_ms < 5_000 {
            return Err(unusable("tasks.lease_ms", "must be at least 5000"));
        }
        Ok(Tasks {
            concurrency: at_least_one("tasks.concurrency", self.concurrency)?,
            threads: or_one_per_core(self.threads),
            lease_ms: self.lease_ms,
        })
    }
}

impl RawBootstrap {
    fn checked(self) -> Result<Option<Bootstrap>, SettingsError> {
        match (self.token.expose(), self.organization.as_str()) {
            ("", "") => Ok(None),
            ("", _) => Err(unusable(
                "bootstrap.token",
                "must be set, as `bootstrap.organization` is",
            )),
            (_, "") => Err(unusable(
                "bootstrap.organization",
                "must be set, as `bootstrap.token` is",
            )),
            (token, organization) => Ok(Some(Bootstrap {
                token: Token::parse(token)
                    .map_err(|error| unusable("bootstrap.token", format!("is wrong: {error}")))?,
                organization: Uuid::try_parse(organization)
                    .map(OrganizationId::new)
                    .map_err(|error| unusable("bootstrap.organization", format!("is no UUID: {error}")))?,
            })),
        }
    }
}

impl RawLog {
    fn checked(self) -> Result<Log, SettingsError> {
        let level: LevelFilter = self.level.parse().map_err(|_| {
            let problem = format!(
                "must be off, error, warn, info, debug or trace, and is {:?}",
                self.level
            );
            unusable("log.level", problem)
        })?;
        let format = match self.format.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => {
                return Err(unusable(
                    "log.format",
                    format!("must be text or json, and is {other:?}"),
                ));
            }
        };
        Ok(Log { level, format })
    }
}

fn unusable(key: &'static str, problem: impl Into<String>) -> SettingsError {
    SettingsError::Unusable {
        key,
        problem: problem.into(),
    }
}

fn at_least_one(key: &'static str, number: usize) -> Result<NonZero<usize>, SettingsError> {
    NonZero::new(number).ok_or_else(|| unusable(key, "must be at least 1"))
}

fn or_one_per_core(number: usize) -> NonZero<usize> {
    NonZero::new(number).unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN))
}

fn some_time(key: &'static str, milliseconds: u64) -> Result<Duration, SettingsError> {
    if milliseconds == 0 {
        return Err(unusable(key, "must be at least 1"));
    }
    Ok(Duration::from_millis(milliseconds))
}

fn not_empty_path(key: &'static str, path: PathBuf) -> Result<PathBuf, SettingsError> {
    if path.as_os_str().is_empty() {
        return Err(unusable(key, "must not be empty"));
    }
    Ok(path)
}

fn zone(zone: String) -> Result<String, SettingsError> {
    let is_word = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_word {
        Ok(zone)
    } else {
        Err(unusable(
            "zone",
            format!("must be of letters, digits and hyphens, and is {zone:?}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn from_environment(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let variables = variables
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        layered(None, variables)
    }

    fn refused(variables: &[(&str, &str)]) -> String {
        from_environment(variables).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_can_be_used_as_they_are() {
        let settings = from_environment(&[]).unwrap();

        assert_eq!(settings.server.bind, "127.0.0.1:8080");
        assert_eq!(settings.data_dir, PathBuf::from("./data"));
        assert_eq!(settings.zone, "local-1");
        assert_eq!(settings.vault.chunk_size.bytes(), 131_072);
        assert!(settings.bootstrap.is_none());
    }

    #[test]
    fn the_example_for_production_can_be_used_as_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/production.example.toml");

        let settings = layered(Some(Path::new(path)), Map::new()).unwrap();

        assert_eq!(settings.log.format, LogFormat::Json);
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        write!(
            file,
            "zone = \"from-file\"\n[server]\nbind = \"127.0.0.1:1\"\nworkers = 3\n"
        )
        .unwrap();
        let variables = [("SNAPSHOT__SERVER__BIND".to_owned(), "127.0.0.1:2".to_owned())];

        let settings = layered(Some(file.path()), variables.into_iter().collect()).unwrap();

        assert_eq!(settings.server.bind, "127.0.0.1:2");
        assert_eq!(settings.server.workers.get(), 3);
        assert_eq!(settings.zone, "from-file");
        assert_eq!(settings.log.level, LevelFilter::Info);
    }

    #[test]
    fn a_misspelt_setting_is_named_with_where_it_comes_from() {
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        write!(file, "[server]\nbnid = \"127.0.0.1:1\"\n").unwrap();

        let in_file = layered(Some(file.path()), Map::new()).unwrap_err().to_string();

        assert!(in_file.contains("`server.bnid`"), "{in_file}");
        assert!(in_file.contains(file.path().to_str().unwrap()), "{in_file}");
        assert_eq!(
            refused(&[("SNAPSHOT__LOG__LEVLE", "info")]),
            "there is no setting `log.levle`, which comes from the environment variable SNAPSHOT__LOG__LEVLE"
        );
        assert!(refused(&[("SNAPSHOT__SERVER", "x")]).contains("`server`"));
        assert!(refused(&[("SNAPSHOT__ZONE__NAME", "x")]).contains("`zone.name`"));
    }

    #[test]
    fn a_setting_of_no_use_is_named() {
        for (variable, value, named) in [
            ("SNAPSHOT__SERVER__BIND", "nowhere", "`server.bind`"),
            ("SNAPSHOT__SERVER__BIND", "127.0.0.1:99999", "`server.bind`"),
            ("SNAPSHOT__SERVER__WORKERS", "many", "`server.workers`"),
            ("SNAPSHOT__SERVER__BLOCKING_THREADS", "0", "`server.blocking_threads`"),
            ("SNAPSHOT__SERVER__SHUTDOWN_MS", "3600000", "`server.shutdown_ms`"),
            ("SNAPSHOT__LIMITS__CONNECTIONS", "-1", "`limits.connections`"),
            ("SNAPSHOT__LIMITS__JSON_BODY_BYTES", "0", "`limits.json_body_bytes`"),
            ("SNAPSHOT__DATABASE__CONNECTIONS", "0", "`database.connections`"),
            ("SNAPSHOT__VAULT__CHUNK_SIZE", "100000", "`vault.chunk_size`"),
            ("SNAPSHOT__TASKS__LEASE_MS", "1", "`tasks.lease_ms`"),
            ("SNAPSHOT__TASKS__CONCURRENCY", "0", "`tasks.concurrency`"),
            ("SNAPSHOT__ZONE", "a\"b", "`zone`"),
            ("SNAPSHOT__LOG__LEVEL", "loud", "`log.level`"),
            ("SNAPSHOT__LOG__FORMAT", "xml", "`log.format`"),
            ("SNAPSHOT__BOOTSTRAP__ORGANIZATION", "0", "`bootstrap.token`"),
        ] {
            let sentence = refused(&[(variable, value)]);
            assert!(sentence.contains(named), "{variable}={value}: {sentence}");
        }
    }

    #[test]
    fn a_wrong_secret_is_named_but_not_repeated() {
        let organization = (
            "SNAPSHOT__BOOTSTRAP__ORGANIZATION",
            "6f418e5f-b42d-4423-a0b5-349c74c454a4",
        );

        let key = refused(&[("SNAPSHOT__VAULT__MASTER_KEY", "hunter2")]);
        let token = refused(&[("SNAPSHOT__BOOTSTRAP__TOKEN", "hunter2"), organization]);

        assert!(key.contains("`vault.master_key`") && !key.contains("hunter2"), "{key}");
        assert!(
            token.contains("`bootstrap.token`") && !token.contains("hunter2"),
            "{token}"
        );
    }

    #[test]
    fn secrets_are_not_in_debug_output() {
        let digits = "12345678".repeat(8);
        let token = "6f418e5f-b42d-4423-a0b5-349c74c454a4";
        let settings = from_environment(&[
            ("SNAPSHOT__VAULT__MASTER_KEY", &digits),
            ("SNAPSHOT__DATABASE__URL", "postgres://me:hunter2@db/x"),
            ("SNAPSHOT__BOOTSTRAP__TOKEN", token),
            (
                "SNAPSHOT__BOOTSTRAP__ORGANIZATION",
                "c6ff5501-eb35-44b8-aa01-8777211a830b",
            ),
        ])
        .unwrap();

        let shown = format!("{settings:?}");

        assert!(
            settings.vault.master_key.is_some(),
            "a key of digits alone is still a text"
        );
        for secret in [digits.as_str(), "hunter2", token] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let settings = from_environment(&[("SNAPSHOT__ZONE", ""), ("SNAPSHOT__VAULT__MASTER_KEY", "")]).unwrap();

        assert_eq!(settings.zone, "local-1");
        assert!(settings.vault.master_key.is_none());
    }
}
