//! `vault verify`: checking what is stored, and keeping what was found.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use snapshot_domain::{
    DamagedChunk, Finding, PackId, SnapshotId, Timestamp,
    ports::{CheckRepository as _, DueQuery, PackRepository, SnapshotRepository},
    use_case::CheckService,
};
use snapshot_mover::{Round, check_share, finding};
use snapshot_store::Store;
use snapshot_vault::{
    BlobStore, ByteRange, CopyChecks, CopyOutcome, Damage, Loss, ManifestId, SetAside, Verification, VerifyOptions,
    VerifyProgress, verify_copy, verify_stored, verify_vault,
};

use crate::{
    cli::Verify, commands::Report, data_folder::DataFolder, settings::Settings, startup, vault_commands::master_key,
};

/// How often the log tells how far a verification is.
const NEWS: Duration = Duration::from_secs(10);

/// How many rows are asked for at once.
const AT_ONCE: u32 = 1000;

/// Checks, keeps what was found, and returns it with whether all is whole.
///
/// # Errors
///
/// Whatever keeps it from its work. Damage that it finds is no error.
pub(crate) fn run(settings: &Settings, command: &Verify) -> anyhow::Result<(Report, bool)> {
    if command.level == 1 && (command.snapshot.is_some() || command.share.is_some()) {
        bail!(
            "which bytes belong to a snapshot is known only with the key: leave out --snapshot and --share, or ask for \
             --level 2"
        );
    }
    let folder = DataFolder::with_vault(&settings.data_dir)?;
    let blobs = startup::stored_objects(&folder)?;
    let defaults = VerifyOptions::default();
    let options = VerifyOptions {
        threads: command.threads.unwrap_or(defaults.threads),
        bytes_per_second: command.throughput,
        ..defaults
    };
    if let Some(percent) = command.share {
        return share(settings, &folder, blobs, &options, percent);
    }
    let told = Mutex::new(Instant::now());
    let progress = |progress: VerifyProgress| tell(&told, progress);
    let began_at = startup::now();
    let found = match (command.level, command.snapshot) {
        (1, _) => verify_stored(blobs.clone(), &options, &progress),
        (_, None) => verify_vault(blobs.clone(), &master_key(settings, &folder)?, &options, &progress),
        (_, Some(id)) => {
            let (copy, key) = (ManifestId::new(id), master_key(settings, &folder)?);
            verify_copy(blobs.clone(), &key, copy, &options, &progress)
        }
    };
    let found = found.context("checking the vault failed")?;
    // Without the vault's description nothing of it can be opened, and nothing is known of any snapshot.
    let is_opened = command.level == 2 && (found.copies == 0 || !found.outcomes.is_empty());
    let mut report = report(command, is_opened, &found);
    let is_all = command.snapshot.is_none() && is_opened;
    let kept = Keeper::open(settings, &folder).and_then(|keeper| match keeper {
        Some(keeper) => keeper.keep(&found, began_at, is_all).map(Some),
        None => Ok(None),
    });
    let is_kept = add_missing(&mut report, kept);
    Ok((report, found.damage.is_empty() && is_kept))
}

const ALL_WHOLE: &str = "all of it is as it was stored";

/// Adds to the report what was kept, and which snapshots have lost all of their bytes. Whether all is well.
fn add_missing(report: &mut Report, kept: anyhow::Result<Option<Vec<SnapshotId>>>) -> bool {
    let (missing, is_well) = match kept {
        Ok(Some(missing)) => (missing, true),
        Ok(None) => {
            let line = "the results are not kept: this is no folder of a server with its database";
            report.lines.push(line.to_owned());
            (Vec::new(), true)
        }
        Err(error) => {
            report.lines.push(format!("the results could not be kept: {error:#}"));
            (Vec::new(), false)
        }
    };
    let lines = missing
        .iter()
        .map(|id| format!("snapshot {id} is lost: it has no manifest"));
    report.lines.extend(lines);
    if !missing.is_empty() {
        report.lines.retain(|line| line != ALL_WHOLE);
        report.object["verification"]["whole"] = json!(false);
    }
    report.object["verification"]["kept"] = json!(is_well && report.object["verification"]["level"] == 2);
    report.object["verification"]["missing"] = missing.iter().map(ToString::to_string).collect();
    is_well && missing.is_empty()
}

/// Checks a share of the stored bytes.
fn share(
    settings: &Settings,
    folder: &DataFolder,
    blobs: Arc<dyn BlobStore>,
    options: &VerifyOptions,
    percent: u8,
) -> anyhow::Result<(Report, bool)> {
    let Some(keeper) = Keeper::open(settings, folder)? else {
        bail!("whose turn it is stands in the server's database, and this is no folder of a server with its database");
    };
    let never = || false;
    let copies = CopyChecks::beside(blobs, &master_key(settings, folder)?, options, &never);
    let copies = copies.context("opening the vault failed")?;
    let round = check_share(&copies, &keeper.checks(), percent).context("checking the vault failed")?;
    keeper.set_aside(&copies.met())?;
    Ok((share_report(&round), round.damaged.is_empty()))
}

/// Where results are kept.
struct Keeper(Store);

impl Keeper {
    /// `None` on a folder that no server runs on, like a copy of the vault: what is true of a copy's bytes is not true of
    /// those that the database is about.
    fn open(settings: &Settings, folder: &DataFolder) -> anyhow::Result<Option<Self>> {
        let has_database = settings.database.url.is_some() || folder.database().exists();
        if !folder.belongs_to_a_server() || !has_database {
            return Ok(None);
        }
        startup::open_store(settings, folder).map(|store| Some(Self(store)))
    }

    fn checks(&self) -> CheckService {
        startup::checks(&self.0)
    }

    /// Keeps what a verification found. Returns the snapshots that are there no more, when all were checked.
    fn keep(&self, found: &Verification, began_at: Timestamp, is_all: bool) -> anyhow::Result<Vec<SnapshotId>> {
        self.set_aside(&found.set_aside)?;
        let checks = self.checks();
        let mut checked = BTreeSet::new();
        for (_, copy, outcome) in &found.outcomes {
            let id = SnapshotId::new(copy.as_uuid());
            checked.insert(id);
            checks.record(id, began_at, finding(*outcome))?;
        }
        if !is_all {
            return Ok(Vec::new());
        }
        let mut missing = Vec::new();
        let mut query = DueQuery {
            before: began_at,
            only_damaged: false,
            after: None,
        };
        loop {
            let unchecked = self.0.due_checks(&query, AT_ONCE)?;
            let Some(last) = unchecked.last() else { break };
            query.after = Some(*last);
            for due in unchecked {
                // One that became available since the check began is no matter of it.
                let snapshot = SnapshotRepository::get(&self.0, due.snapshot);
                let is_older = snapshot.is_ok_and(|it| it.modified_at() < began_at && it.readable().is_ok());
                if is_older && !checked.contains(&due.snapshot) {
                    checks.record(due.snapshot, began_at, Finding::Damaged)?;
                    missing.push(due.snapshot);
                }
            }
        }
        Ok(missing)
    }

    fn set_aside(&self, chunks: &[SetAside]) -> anyhow::Result<()> {
        let chunks: Vec<_> = chunks
            .iter()
            .map(|chunk| DamagedChunk {
                pack: PackId::new(chunk.pack.as_uuid()),
                record_offset: chunk.offset,
                chunk: *chunk.chunk.as_bytes(),
            })
            .collect();
        if !chunks.is_empty() {
            PackRepository::set_aside(&self.0, &chunks).context("setting damaged chunks aside failed")?;
        }
        Ok(())
    }
}

fn tell(told: &Mutex<Instant>, progress: VerifyProgress) {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    if told.elapsed() >= NEWS {
        *told = Instant::now();
        log::info!("{} of {} bytes are checked", progress.done_bytes, progress.total_bytes);
    }
}

fn report(command: &Verify, is_opened: bool, found: &Verification) -> Report {
    let level = command.level;
    // Of a snapshot that could not be opened, or not wholly, it is not known what else it needs; nor of those that were not
    // asked for.
    let is_all_known = is_opened
        && command.snapshot.is_none()
        && found
            .outcomes
            .iter()
            .all(|(.., outcome)| matches!(outcome, CopyOutcome::Whole));
    let mut lines = Vec::new();
    for damage in &found.damage {
        lines.extend(damage_lines(damage));
        if is_all_known && damage.lost.is_empty() {
            lines.push(
                "    nothing is lost by it: no snapshot needs it, or what it held is known from elsewhere".to_owned(),
            );
        }
    }
    lines.push(format!(
        "checked: {} packs, {} chunks and index pages in them ({} bytes), {} snapshots",
        found.packs, found.records, found.stored_bytes, found.copies
    ));
    lines.push(match found.damage.len() {
        0 => ALL_WHOLE.to_owned(),
        1 => "1 damage was found".to_owned(),
        damages => format!("{damages} damages were found"),
    });
    if level == 1 && !found.damage.is_empty() {
        lines.push("which snapshots are lost by it, --level 2 tells".to_owned());
    }
    let object = json!({"verification": {
        "level": level,
        "whole": found.damage.is_empty(),
        "packs": found.packs,
        "records": found.records,
        "stored_bytes": found.stored_bytes,
        "snapshots": found.copies,
        "damage": found.damage.iter().map(damage_object).collect::<Vec<_>>(),
    }});
    Report { lines, object }
}

fn share_report(round: &Round) -> Report {
    let mut lines = Vec::new();
    let mut damage = Vec::new();
    for checked in &round.damaged {
        for lost in &checked.lost {
            let found = Damage {
                object: lost.object.clone(),
                place: None,
                reason: lost.reason,
                lost: vec![Loss {
                    domain: checked.domain,
                    copy: checked.copy,
                    range: lost.range.clone(),
                }],
            };
            lines.extend(damage_lines(&found));
            damage.push(damage_object(&found));
        }
        if checked.more_lost {
            lines.push(format!("    lost of snapshot {}: more than is listed", checked.copy));
        }
    }
    lines.push(format!(
        "checked: {} snapshots ({} bytes were read)",
        round.snapshots, round.read_bytes
    ));
    lines.push(match round.damaged.len() {
        0 => "all of them are as they were stored".to_owned(),
        damaged => format!("of {damaged} something can't be read"),
    });
    let object = json!({"verification": {
        "level": 2,
        "whole": round.damaged.is_empty(),
        "stored_bytes": round.read_bytes,
        "snapshots": round.snapshots,
        "damage": damage,
        "kept": true,
    }});
    Report { lines, object }
}

fn damage_lines(damage: &Damage) -> Vec<String> {
    let place = damage
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!(", {}", ByteRange(place)));
    let mut lines = vec![format!("damaged: {}{place}: {}", damage.object, damage.reason)];
    lines.extend(
        damage
            .lost
            .iter()
            .map(|loss| format!("    lost of snapshot {}: {}", loss.copy, ByteRange(&loss.range))),
    );
    lines
}

fn damage_object(damage: &Damage) -> Value {
    let end = |range: &Range<u64>| range.end.saturating_sub(1);
    let losses = damage.lost.iter().map(|loss| {
        json!({
            "snapshot": loss.copy.to_string(),
            "domain": loss.domain.to_string(),
            "first": if ByteRange(&loss.range).is_all() { Value::Null } else { json!(loss.range.start) },
            "last": if ByteRange(&loss.range).is_all() { Value::Null } else { json!(end(&loss.range)) },
        })
    });
    json!({
        "object": damage.object,
        "first": damage.place.as_ref().map(|place| place.start),
        "last": damage.place.as_ref().map(end),
        "reason": damage.reason,
        "lost": losses.collect::<Vec<_>>(),
    })
}
