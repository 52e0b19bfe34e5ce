//! The settings as they are written, and what makes them of no use.

use std::{fmt::Display, num::NonZero, path::PathBuf, thread, time::Duration};

use chrono::TimeDelta;
use log::LevelFilter;
use serde::Deserialize;
use snapshot_api::Rate;
use snapshot_domain::{Limit, OrganizationId, Quota, Token};
use snapshot_mover::MaintenanceOptions;
use snapshot_mover::ScrubOptions;
use snapshot_vault::{ChunkSize, MasterKey, RecheckShare};
use uuid::Uuid;

use super::{
    Audit, Bootstrap, Database, Limits, Log, LogFormat, Secret, Server, Settings, SettingsError, Tasks, VaultSettings,
};

/// The settings as they are written.
#[derive(Deserialize)]
pub(super) struct Written {
    data_dir: PathBuf,
    zone: String,
    zones: String,
    server: WrittenServer,
    limits: WrittenLimits,
    database: WrittenDatabase,
    vault: WrittenVault,
    tasks: WrittenTasks,
    audit: WrittenAudit,
    maintenance: WrittenMaintenance,
    quotas: WrittenQuotas,
    bootstrap: WrittenBootstrap,
    log: WrittenLog,
}

#[derive(Deserialize)]
struct WrittenServer {
    bind: String,
    workers: usize,
    blocking_threads: usize,
    shutdown_ms: u64,
}

#[derive(Deserialize)]
struct WrittenLimits {
    connections: usize,
    transfers: usize,
    waiting: usize,
    heartbeat_ms: u64,
    requests_per_second: u32,
    requests_burst: u32,
    refused_per_second: u32,
    head_bytes: usize,
    json_body_bytes: usize,
    request_head_ms: u64,
    stalled_body_ms: u64,
    stalled_answer_ms: u32,
    keep_alive_ms: u64,
}

#[derive(Deserialize)]
struct WrittenDatabase {
    url: Secret,
    connections: u32,
}

#[derive(Deserialize)]
struct WrittenVault {
    chunk_size: u32,
    master_key: Secret,
    master_key_file: PathBuf,
    recheck_percent: u8,
}

#[derive(Deserialize)]
struct WrittenTasks {
    concurrency: usize,
    threads: usize,
    lease_ms: u32,
}

#[derive(Deserialize)]
struct WrittenQuotas {
    snapshots: u64,
    volume_bytes: u64,
    tasks: u64,
}

#[derive(Deserialize)]
struct WrittenMaintenance {
    collect_interval_ms: u32,
    collect_live_percent: u8,
    collect_patience_ms: u64,
    scrub_interval_ms: u64,
    scrub_share_percent: u8,
    scrub_bytes_per_second: u64,
}

#[derive(Deserialize)]
struct WrittenAudit {
    keep_days: u16,
}

#[derive(Deserialize)]
struct WrittenBootstrap {
    token: Secret,
    organization: String,
}

#[derive(Deserialize)]
struct WrittenLog {
    level: String,
    format: String,
}

impl Written {
    /// The settings as they are used.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Unusable`] for the first one that can't be.
    pub(super) fn checked(self) -> Result<Settings, SettingsError> {
        Ok(Settings {
            data_dir: not_empty_path("data_dir", self.data_dir)?,
            zone: zone("zone", self.zone)?,
            zones: zones(&self.zones)?,
            server: self.server.checked()?,
            limits: self.limits.checked()?,
            database: self.database.checked()?,
            vault: self.vault.checked()?,
            tasks: self.tasks.checked()?,
            scrub: self.maintenance.scrub()?,
            quotas: self.quotas.checked(),
            maintenance: self.maintenance.checked()?,
            audit: self.audit.checked(),
            bootstrap: self.bootstrap.checked()?,
            log: self.log.checked()?,
        })
    }
}

impl WrittenServer {
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
            workers: or_one_per_core(at_most("server.workers", self.workers, MOST_WORKERS)?),
            blocking_threads: some_threads("server.blocking_threads", self.blocking_threads)?,
            shutdown: Duration::from_millis(self.shutdown_ms),
        })
    }
}

impl WrittenLimits {
    fn checked(self) -> Result<Limits, SettingsError> {
        Ok(Limits {
            connections: at_least_one("limits.connections", self.connections)?,
            transfers: at_least_one("limits.transfers", self.transfers)?,
            waiting: at_least_one("limits.waiting", self.waiting)?,
            heartbeat: some_time("limits.heartbeat_ms", self.heartbeat_ms)?,
            by_token: rate(self.requests_per_second, self.requests_burst, "limits.requests_burst")?,
            refused_by_peer: rate(
                self.refused_per_second,
                self.refused_per_second,
                "limits.refused_per_second",
            )?,
            head_bytes: head_bytes(self.head_bytes)?,
            json_body_bytes: at_least_one("limits.json_body_bytes", self.json_body_bytes)?.get(),
            request_head: some_time("limits.request_head_ms", self.request_head_ms)?,
            stalled_body: some_time("limits.stalled_body_ms", self.stalled_body_ms)?,
            stalled_answer_ms: some_time("limits.stalled_answer_ms", self.stalled_answer_ms.into())
                .and_then(|_| at_most("limits.stalled_answer_ms", self.stalled_answer_ms, A_DAY_MS))?,
            keep_alive: some_time("limits.keep_alive_ms", self.keep_alive_ms)?,
        })
    }
}

impl WrittenDatabase {
    fn checked(self) -> Result<Database, SettingsError> {
        if self.connections == 0 {
            return Err(unusable("database.connections", "must be at least 1"));
        }
        Ok(Database {
            url: Some(self.url).filter(|url| !url.expose().is_empty()),
            connections: at_most("database.connections", self.connections, MOST_CONNECTIONS)?,
        })
    }
}

impl WrittenVault {
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
        let recheck = RecheckShare::new(self.recheck_percent)
            .ok_or_else(|| unusable("vault.recheck_percent", "must be at most 100"))?;
        Ok(VaultSettings {
            chunk_size,
            recheck,
            master_key,
            master_key_file: file,
        })
    }
}

impl WrittenTasks {
    fn checked(self) -> Result<Tasks, SettingsError> {
        // A lease is renewed about once a second: a much shorter one would be lost on a busy machine.
        if self.lease_ms < 5_000 {
            return Err(unusable("tasks.lease_ms", "must be at least 5000"));
        }
        Ok(Tasks {
            concurrency: some_threads("tasks.concurrency", self.concurrency)?,
            threads: or_some_per_core(at_most("tasks.threads", self.threads, MOST_THREADS)?),
            lease_ms: self.lease_ms,
        })
    }
}

impl WrittenQuotas {
    const fn checked(self) -> Quota {
        Quota {
            snapshots: Limit::from_number(self.snapshots),
            volume_bytes: Limit::from_number(self.volume_bytes),
            tasks: Limit::from_number(self.tasks),
        }
    }
}

impl WrittenMaintenance {
    fn checked(&self) -> Result<MaintenanceOptions, SettingsError> {
        if self.collect_live_percent > 100 {
            return Err(unusable("maintenance.collect_live_percent", "must be at most 100"));
        }
        Ok(MaintenanceOptions {
            collect_interval_ms: NonZero::new(self.collect_interval_ms),
            collect_live_percent: self.collect_live_percent,
            collect_patience: Duration::from_millis(self.collect_patience_ms),
        })
    }

    fn scrub(&self) -> Result<Option<ScrubOptions>, SettingsError> {
        if !(1..=100).contains(&self.scrub_share_percent) {
            return Err(unusable("maintenance.scrub_share_percent", "must be from 1 to 100"));
        }
        let bytes_per_second = NonZero::new(self.scrub_bytes_per_second)
            .ok_or_else(|| unusable("maintenance.scrub_bytes_per_second", "must be at least 1"))?;
        let options = ScrubOptions {
            interval: Duration::from_millis(self.scrub_interval_ms),
            share_percent: self.scrub_share_percent,
            bytes_per_second,
        };
        Ok(Some(options).filter(|_| self.scrub_interval_ms > 0))
    }
}

impl WrittenAudit {
    fn checked(self) -> Audit {
        Audit {
            keep: (self.keep_days > 0).then(|| TimeDelta::days(i64::from(self.keep_days))),
        }
    }
}

impl WrittenBootstrap {
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

impl WrittenLog {
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

/// The web server takes no more.
const MOST_WORKERS: usize = 512;
/// Of any kind: more would only wait for each other, and many more keep the process from starting.
const MOST_THREADS: usize = 4096;
/// Each has its memory and, where the database is a server, a process there.
const MOST_CONNECTIONS: u32 = 10_000;
/// The kernel takes no more than 24 days.
const A_DAY_MS: u32 = 86_400_000;

fn at_most<T: Copy + PartialOrd + Display>(key: &'static str, number: T, most: T) -> Result<T, SettingsError> {
    if number > most {
        return Err(unusable(key, format!("must be at most {most}")));
    }
    Ok(number)
}

fn some_threads(key: &'static str, number: usize) -> Result<NonZero<usize>, SettingsError> {
    at_most(key, number, MOST_THREADS).and_then(|number| at_least_one(key, number))
}

fn at_least_one(key: &'static str, number: usize) -> Result<NonZero<usize>, SettingsError> {
    NonZero::new(number).ok_or_else(|| unusable(key, "must be at least 1"))
}

fn or_one_per_core(number: usize) -> NonZero<usize> {
    NonZero::new(number).unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN))
}

fn rate(per_second: u32, burst: u32, burst_key: &'static str) -> Result<Option<Rate>, SettingsError> {
    let Some(per_second) = NonZero::new(per_second) else {
        return Ok(None);
    };
    let burst = NonZero::new(burst).ok_or_else(|| unusable(burst_key, "must be at least 1"))?;
    Ok(Some(Rate { per_second, burst }))
}

fn head_bytes(number: usize) -> Result<usize, SettingsError> {
    // The web server reads no more.
    if (1024..=131_072).contains(&number) {
        Ok(number)
    } else {
        Err(unusable("limits.head_bytes", "must be from 1024 to 131072"))
    }
}

/// While one thread waits for the disk, another one works. With more than this the disk is busy enough anyway.
const MOST_THREADS_THAT_WAIT: usize = 16;

fn or_some_per_core(number: usize) -> NonZero<usize> {
    let cores = or_one_per_core(0);
    let threads = cores.saturating_add(cores.get()).get().min(MOST_THREADS_THAT_WAIT);
    NonZero::new(number).unwrap_or(NonZero::new(threads).map_or(cores, |threads| threads.max(cores)))
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

fn zones(comma_separated: &str) -> Result<Vec<String>, SettingsError> {
    let names = comma_separated.split(',').map(str::trim);
    match comma_separated.trim() {
        "" => Ok(Vec::new()),
        _ => names.map(|name| zone("zones", name.to_owned())).collect(),
    }
}

fn zone(key: &'static str, zone: String) -> Result<String, SettingsError> {
    let is_word = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_word {
        Ok(zone)
    } else {
        Err(unusable(
            key,
            format!("must be of letters, digits and hyphens, and is {zone:?}"),
        ))
    }
}
