//! Maintenance of the vault from the command line.
//!
//! Only one process may have the index open. So a command that finds a server on the folder asks that one, by a row, and
//! waits for its report; otherwise it takes the folder, and does the work itself.

use std::{
    cell::RefCell,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use snapshot_domain::{AskedBy, MaintenanceJob, MaintenanceRun, RunId, RunState, use_case::MaintenanceService};
use snapshot_mover::{CollectReport, SnapshotStat, StatReport, StatTotals, UnreadableObject};

use crate::{
    commands::Report,
    data_folder::{DataFolder, DataFolderError},
    settings::Settings,
    startup,
};

/// How often it is looked whether the server has done what it was asked for.
const LOOK: Duration = Duration::from_millis(100);

/// How often it is looked whether there is still a server.
const SERVER_LOOK: Duration = Duration::from_secs(2);

/// Gives back the space of what no snapshot needs. Whether nothing stood in the way.
///
/// # Errors
///
/// Whatever keeps it from being done.
pub(crate) fn collect(settings: &Settings, dry_run: bool) -> anyhow::Result<(Report, bool)> {
    let report: CollectReport = done(settings, MaintenanceJob::Collect { dry_run }, "the collection")?;
    Ok((
        collect_report(&report),
        report.unreadable.is_empty() && report.damaged_packs.is_empty(),
    ))
}

/// Counts what all snapshots need and share. Whether all of them can be read.
///
/// # Errors
///
/// Whatever keeps it from being done.
pub(crate) fn stat(settings: &Settings) -> anyhow::Result<(Report, bool)> {
    let report: StatReport = done(settings, MaintenanceJob::Stat, "counting")?;
    Ok((stat_report(&report), report.unreadable.is_empty()))
}

fn done<R: DeserializeOwned>(settings: &Settings, job: MaintenanceJob, what: &str) -> anyhow::Result<R> {
    match finished(settings, job)?.state {
        RunState::Succeeded { report, .. } => serde_json::from_str(&report).context("the report can't be read"),
        RunState::Failed { reason, .. } => bail!("{what} failed: {reason}"),
        RunState::Pending | RunState::Running { .. } => bail!("{what} did not come to its end"),
    }
}

fn finished(settings: &Settings, job: MaintenanceJob) -> anyhow::Result<MaintenanceRun> {
    let folder = DataFolder::with_vault(&settings.data_dir)?;
    let store = startup::open_store(settings, &folder)?;
    let runs = startup::maintenance(&store);
    let told = RefCell::new(String::new());
    let waits = |note: &str| {
        if *told.borrow() != note {
            log::info!("{note}");
            note.clone_into(&mut told.borrow_mut());
        }
    };
    let mut asked = None;
    loop {
        match folder.lock() {
            Ok(_lock) => {
                let premises = startup::premises(settings, &folder, &store)?;
                let id = asked.map_or_else(|| runs.ask(job, AskedBy::Command), Ok)?;
                return Ok(premises.complete(id, &waits)?);
            }
            Err(DataFolderError::InUse { process, .. }) => {
                let id = if let Some(id) = asked {
                    id
                } else {
                    log::info!("the server (process {process}) is asked to do it");
                    *asked.insert(runs.ask(job, AskedBy::Command)?)
                };
                if let Some(run) = ended_soon(&runs, id, &waits)? {
                    return Ok(run);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The run, if it ends before it is time to see whether there is still a server.
fn ended_soon(
    runs: &MaintenanceService,
    id: RunId,
    waits: &dyn Fn(&str),
) -> snapshot_domain::Result<Option<MaintenanceRun>> {
    let until = Instant::now() + SERVER_LOOK;
    while Instant::now() < until {
        let run = runs.get(id)?;
        if run.has_ended() {
            return Ok(Some(run));
        }
        if let RunState::Running { note: Some(note), .. } = &run.state {
            waits(note);
        }
        thread::sleep(LOOK);
    }
    Ok(None)
}

fn collect_report(report: &CollectReport) -> Report {
    let would = if report.dry_run { "would be " } else { "" };
    let mut lines = unreadable_lines(&report.unreadable);
    lines.extend(
        report
            .damaged_packs
            .iter()
            .map(|pack| format!("damaged: pack {pack}: something in use can't be read, so it is kept")),
    );
    if report.unreadable.is_empty() {
        lines.push(format!(
            "{would}freed: {} bytes; {would}removed: {} of {} packs, {} of them rewritten",
            report.freed_bytes, report.deleted_packs, report.packs, report.rewritten_packs
        ));
    } else {
        lines.push(
            "nothing was removed: as long as this can't be read, or is gone, nobody knows what is in use".to_owned(),
        );
    }
    if report.waiting_for > 0 {
        lines.push(format!(
            "not complete: {} copies that began before still run; the next collection goes on there",
            report.waiting_for
        ));
    }
    Report {
        lines,
        object: json!({"collection": {
            "dry_run": report.dry_run,
            "complete": report.waiting_for == 0 && report.unreadable.is_empty(),
            "packs": report.packs,
            "deleted_packs": report.deleted_packs,
            "rewritten_packs": report.rewritten_packs,
            "released_packs": report.released_packs,
            "freed_bytes": report.freed_bytes,
            "waiting_for": report.waiting_for,
            "unreadable": unreadable_objects(&report.unreadable),
            "damaged_packs": report.damaged_packs,
        }}),
    }
}

fn stat_report(report: &StatReport) -> Report {
    let totals = &report.totals;
    let mut lines = unreadable_lines(&report.unreadable);
    lines.push(format!(
        "{:36}  {:>16}  {:>16}  {:>16}",
        "snapshot", "size", "stored_size", "exclusive_size"
    ));
    lines.extend(report.snapshots.iter().map(|it| {
        format!(
            "{}  {:>16}  {:>16}  {:>16}",
            it.id, it.size, it.stored_size, it.exclusive_size
        )
    }));
    lines.push(format!(
        "{} snapshots of {} bytes, of which {} are not zeros, take {} bytes in {} packs; {} of these are not needed",
        totals.snapshots, totals.size, totals.referenced_size, totals.stored_size, totals.packs, totals.dead_size
    ));
    if let (Some(dedupe), Some(compression)) = (dedupe(totals), compression(totals)) {
        lines.push(format!(
            "deduplication {dedupe:.2} to 1, compression {compression:.2} to 1, both together {:.2} to 1",
            dedupe * compression
        ));
    }
    if !report.unreadable.is_empty() {
        lines.push("the numbers are those of what can be read".to_owned());
    }
    let snapshots: Vec<_> = report.snapshots.iter().map(snapshot_object).collect();
    Report {
        lines,
        object: json!({
            "snapshots": snapshots,
            "totals": {
                "snapshots": totals.snapshots,
                "packs": totals.packs,
                "size": totals.size,
                "referenced_size": totals.referenced_size,
                "unique_size": totals.unique_size,
                "unique_stored_size": totals.unique_stored_size,
                "stored_size": totals.stored_size,
                "live_size": totals.live_size,
                "dead_size": totals.dead_size,
                "dedupe_ratio": dedupe(totals),
                "compression_ratio": compression(totals),
            },
            "unreadable": unreadable_objects(&report.unreadable),
        }),
    }
}

fn snapshot_object(it: &SnapshotStat) -> Value {
    json!({
        "id": it.id.to_string(),
        "domain": it.domain.to_string(),
        "size": it.size,
        "referenced_size": it.referenced_size,
        "stored_size": it.stored_size,
        "exclusive_size": it.exclusive_size,
    })
}

/// How many times the unique chunks the snapshots are; nothing where there is nothing.
fn dedupe(totals: &StatTotals) -> Option<f64> {
    ratio(totals.referenced_size, totals.unique_size)
}

/// How many times what is stored of them the unique chunks are.
fn compression(totals: &StatTotals) -> Option<f64> {
    ratio(totals.unique_size, totals.unique_stored_size)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people to read")]
fn ratio(of: u64, to: u64) -> Option<f64> {
    (to > 0).then(|| of as f64 / to as f64)
}

fn unreadable_lines(unreadable: &[UnreadableObject]) -> Vec<String> {
    unreadable
        .iter()
        .map(|it| format!("can't be read: {}: {}", it.object, it.reason))
        .collect()
}

fn unreadable_objects(unreadable: &[UnreadableObject]) -> Vec<Value> {
    unreadable
        .iter()
        .map(|it| json!({"object": it.object, "reason": it.reason}))
        .collect()
}
