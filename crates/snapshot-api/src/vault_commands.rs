//! What is done with the vault from the command line: checking it, and getting the database back from it; for the rest
//! see [`maintenance_commands`].

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use snapshot_domain::use_case::{Recovery, RecoveryError};
use snapshot_vault::MasterKey;

use crate::{
    cli::{Output, VaultCommand},
    commands::Report,
    data_folder::DataFolder,
    maintenance_commands,
    settings::Settings,
    startup, verify_command,
};

/// Runs a command, and returns how the process is to end.
///
/// # Errors
///
/// Whatever keeps it from doing its work. Damage that it finds is no error, but ends the process with 1.
pub(crate) fn run(settings: &Settings, command: &VaultCommand, output: Output) -> anyhow::Result<ExitCode> {
    let (report, is_whole) = match command {
        VaultCommand::Verify(command) => verify_command::run(settings, command)?,
        VaultCommand::Recover => recover(settings)?,
        VaultCommand::Collect { dry_run } => maintenance_commands::collect(settings, *dry_run)?,
        VaultCommand::Stat => maintenance_commands::stat(settings)?,
    };
    report.print(output)?;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The vault's key, which must be there.
///
/// # Errors
///
/// When it is not, or is none.
pub(crate) fn master_key(settings: &Settings, folder: &DataFolder) -> anyhow::Result<MasterKey> {
    match &settings.vault.master_key {
        Some(key) => Ok(key.clone()),
        None => Ok(folder.present_master_key(settings.vault.master_key_file.as_deref())?),
    }
}

fn recover(settings: &Settings) -> anyhow::Result<(Report, bool)> {
    let folder = DataFolder::with_vault(&settings.data_dir)?;
    let _lock = folder.lock()?;
    let key = master_key(settings, &folder)?;
    let service = startup::recovery(settings, &folder, &key)?;
    let recovery = service.recover().map_err(|error| match error {
        in_use @ RecoveryError::InUse { .. } => {
            anyhow::Error::new(in_use).context("nothing was recovered; move the database away first")
        }
        failed @ RecoveryError::Failed(_) => {
            anyhow::Error::new(failed).context("the recovery did not come to its end; run it again to complete it")
        }
    })?;
    startup::list_packs(settings, &key)
        .context("all snapshots are back, but not the list of packs; the next start makes it")?;
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
