//! The job that gives back the space of what no snapshot needs.

use std::{
    ops::ControlFlow,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use snapshot_domain::ports::TaskQueue;
use snapshot_vault::{CatalogError, CollectOptions, Collection, CollectionEnd, ManifestId, RunningCopies, Waiting};

use super::{Premises, UnreadableObject, job::Job, promised::WholeSnapshots};
use crate::{content::manifest_of, error::MoveError};

/// How often it is looked whether copies still run that a collection waits for.
const LOOK: Duration = Duration::from_millis(200);

/// What a collection did, or in a dry run would do.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct CollectReport {
    /// Whether it only tells what would be done.
    pub dry_run: bool,
    /// Packs that were looked at.
    pub packs: u64,
    /// Packs that were removed.
    pub deleted_packs: u64,
    /// Of these, packs that held something in use, which was copied into new packs.
    pub rewritten_packs: u64,
    /// Packs that were chosen for removal, and are kept after all.
    pub released_packs: u64,
    /// How many bytes the vault is smaller by.
    pub freed_bytes: u64,
    /// Copies that ran and that it did not wait for any longer; the next collection goes on there. 0: it is complete.
    pub waiting_for: u64,
    /// What can't be read, and the manifests of `available` snapshots that are gone: while there is any, nothing is removed.
    pub unreadable: Vec<UnreadableObject>,
    /// Packs with something in use that can't be read, and that are kept.
    pub damaged_packs: Vec<String>,
}

pub(super) fn run(premises: &Premises, job: &Job, dry_run: bool) -> Result<CollectReport, MoveError> {
    let options = CollectOptions {
        dry_run,
        live_share: f64::from(premises.options.collect_live_percent) / 100.0,
    };
    let running = RunningCaptures(Arc::clone(&premises.tasks));
    let promised = WholeSnapshots {
        checks: Arc::clone(&premises.checks),
        snapshots: Arc::clone(&premises.snapshots),
    };
    let until = Instant::now() + premises.options.collect_patience;
    let mut patience = |waiting: Waiting| {
        job.wait_for(Some(format!(
            "it waits for copies that began before it, of which {} still run",
            waiting.copies
        )));
        thread::sleep(LOOK);
        if job.check().is_err() || Instant::now() >= until {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let stop = || job.check().is_err();
    let collection = premises
        .vault
        .collect(&running, &promised, &options, &mut patience, &stop);
    job.wait_for(None);
    job.check()?;
    let report = report(dry_run, collection?);
    log(&report);
    Ok(report)
}

fn log(report: &CollectReport) {
    for object in &report.unreadable {
        log::error!("nothing is collected: {}: {}", object.object, object.reason);
    }
    for pack in &report.damaged_packs {
        log::error!("pack {pack} is kept: something in use in it can't be read");
    }
    if !report.dry_run {
        log::info!(
            "{} of {} packs were removed, {} of them rewritten: {} bytes were freed",
            report.deleted_packs,
            report.packs,
            report.rewritten_packs,
            report.freed_bytes
        );
    }
}

fn report(dry_run: bool, collection: Collection) -> CollectReport {
    let waiting_for = match collection.end {
        CollectionEnd::Waiting { copies } => copies as u64,
        CollectionEnd::Done | CollectionEnd::Refused | CollectionEnd::Stopped => 0,
    };
    let mut damaged_packs: Vec<_> = collection.damaged.iter().map(|it| it.pack.to_string()).collect();
    damaged_packs.sort_unstable();
    damaged_packs.dedup();
    CollectReport {
        dry_run,
        packs: collection.packs,
        deleted_packs: collection.deleted,
        rewritten_packs: collection.rewritten,
        released_packs: collection.released,
        freed_bytes: collection.freed_bytes(),
        waiting_for,
        unreadable: collection.unreadable.into_iter().map(UnreadableObject::from).collect(),
        damaged_packs,
    }
}

/// Which copies run, as the queue of tasks tells. A task is claimed before its copy begins, and ended or put back only
/// after the copy's session is gone.
struct RunningCaptures(Arc<dyn TaskQueue>);

impl RunningCopies for RunningCaptures {
    fn running(&self) -> Result<Vec<ManifestId>, CatalogError> {
        let running = self.0.running_captures();
        let running = running.map_err(|error| CatalogError(Box::new(error)))?;
        Ok(running.into_iter().map(manifest_of).collect())
    }
}
