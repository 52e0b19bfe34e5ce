//! What is done with the vault from the command line: checking it, and getting the database back from it; for the rest
//! see [`maintenance_commands`].

use std::{
    ops::Range,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use snapshot_domain::use_case::{Recovery, RecoveryError};
use snapshot_vault::{
    Damage, Loss, ManifestId, MasterKey, Verification, VerifyOptions, VerifyProgress, verify_copy, verify_stored,
    verify_vault,
};

use crate::{
    cli::{Output, VaultCommand, Verify},
    commands::Report,
    data_folder::DataFolder,
    maintenance_commands,
    settings::Settings,
    startup,
};

/// How often the log tells how far a verification is.
const NEWS: Duration = Duration::from_secs(10);

/// Runs a command, and returns how the process is to end.
///
/// # Errors
///
/// Whatever keeps it from doing its work. Damage that it finds is no error, but ends the process with 1.
pub(crate) fn run(settings: &Settings, command: &VaultCommand, output: Output) -> anyhow::Result<ExitCode> {
    let (report, is_whole) = match command {
        VaultCommand::Verify(command) => verify(settings, command)?,
        VaultCommand::Recover => recover(settings)?,
        VaultCommand::Collect { dry_run } => maintenance_commands::collect(settings, *dry_run)?,
        VaultCommand::Stat => maintenance_commands::stat(settings)?,
    };
    report.print(output)?;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verify(settings: &Settings, command: &Verify) -> anyhow::Result<(Report, bool)> {
    if command.snapshot.is_some() && command.level == 1 {
        bail!(
            "which bytes belong to a snapshot is known only with the key: leave out --snapshot, or ask for --level 2"
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
    let told = Mutex::new(Instant::now());
    let progress = |progress: VerifyProgress| tell(&told, progress);
    let found = match (command.level, command.snapshot) {
        (1, _) => verify_stored(blobs, &options, &progress),
        (_, None) => verify_vault(blobs, &master_key(settings, &folder)?, &options, &progress),
        (_, Some(id)) => {
            let copy = ManifestId::new(id);
            verify_copy(blobs, &master_key(settings, &folder)?, copy, &options, &progress)
        }
    };
    let found = found.context("checking the vault failed")?;
    Ok((verify_report(command.level, &found), found.damage.is_empty()))
}

fn master_key(settings: &Settings, folder: &DataFolder) -> anyhow::Result<MasterKey> {
    match &settings.vault.master_key {
        Some(key) => Ok(key.clone()),
        None => Ok(folder.present_master_key(settings.vault.master_key_file.as_deref())?),
    }
}

fn tell(told: &Mutex<Instant>, progress: VerifyProgress) {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    if told.elapsed() >= NEWS {
        *told = Instant::now();
        log::info!("{} of {} bytes are checked", progress.done_bytes, progress.total_bytes);
    }
}

fn verify_report(level: u8, found: &Verification) -> Report {
    let mut lines: Vec<String> = found.damage.iter().flat_map(damage_lines).collect();
    lines.push(format!(
        "checked: {} packs, {} chunks and index pages in them ({} bytes), {} snapshots",
        found.packs, found.records, found.stored_bytes, found.copies
    ));
    lines.push(match found.damage.len() {
        0 => "all of it is as it was stored".to_owned(),
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

fn damage_lines(damage: &Damage) -> Vec<String> {
    let place = damage
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!(", {}", bytes(place)));
    let mut lines = vec![format!("damaged: {}{place}: {}", damage.object, damage.reason)];
    lines.extend(damage.lost.iter().map(|loss| {
        let lost = if is_all(loss) {
            "all of it".to_owned()
        } else {
            bytes(&loss.range)
        };
        format!("    lost of snapshot {}: {lost}", loss.copy)
    }));
    lines
}

fn bytes(range: &Range<u64>) -> String {
    format!("bytes {} to {}", range.start, range.end.saturating_sub(1))
}

const fn is_all(loss: &Loss) -> bool {
    loss.range.end == u64::MAX
}

fn damage_object(damage: &Damage) -> Value {
    let end = |range: &Range<u64>| range.end.saturating_sub(1);
    let losses = damage.lost.iter().map(|loss| {
        json!({
            "snapshot": loss.copy.to_string(),
            "domain": loss.domain.to_string(),
            "first": if is_all(loss) { Value::Null } else { json!(loss.range.start) },
            "last": if is_all(loss) { Value::Null } else { json!(end(&loss.range)) },
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

fn recover(settings: &Settings) -> anyhow::Result<(Report, bool)> {
    let folder = DataFolder::with_vault(&settings.data_dir)?;
    let _lock = folder.lock()?;
    let service = startup::recovery(settings, &folder, &master_key(settings, &folder)?)?;
    let recovery = service.recover().map_err(|error| match error {
        in_use @ RecoveryError::InUse { .. } => {
            anyhow::Error::new(in_use).context("nothing was recovered; move the database away first")
        }
        failed @ RecoveryError::Failed(_) => {
            anyhow::Error::new(failed).context("the recovery did not come to its end; run it again to complete it")
        }
    })?;
    Ok((recovery_report(&recovery), recovery.unreadable.is_empty()))
}

fn recovery_report(recovery: &Recovery) -> Report {
    let mut lines: Vec<String> = recovery
        .organizations
        .iter()
        .map(|id| format!("organization {id} is back, called by its id"))
        .collect();
    lines.push(format!(
        "snapshots that are back: {}; that were there already: {}",
        recovery.snapshots.len(),
        recovery.present
    ));
    let reasons: Vec<String> = recovery.unreadable.iter().map(|(_, error)| chain(error)).collect();
    for ((id, _), reason) in recovery.unreadable.iter().zip(&reasons) {
        lines.push(format!("snapshot {id} can't be read: {reason}"));
    }
    lines.extend(
        [
            "Names, tags and owners are those that snapshots had when they were taken: later renames and transfers are lost.",
            "Tokens and volumes are lost. Make a token for each organization, then start the server:",
            "    snapshot-api token create --name NAME --organization ID",
        ]
        .map(str::to_owned),
    );
    let object = json!({"recovery": {
        "organizations": recovery.organizations.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "snapshots": recovery.snapshots.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "present": recovery.present,
        "unreadable": recovery.unreadable.iter().zip(&reasons).map(|((id, _), reason)| {
            json!({"snapshot": id.to_string(), "reason": reason})
        }).collect::<Vec<_>>(),
    }});
    Report { lines, object }
}

/// An error with all its causes in one line.
fn chain(error: &snapshot_domain::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
