//! Checking snapshots' stored bytes: a share at a time, by itself or for whoever asks.

use std::{collections::VecDeque, io, num::NonZero, time::Duration};

use snapshot_domain::{DueCheck, Error as DomainError, Finding, SnapshotId, Timestamp, use_case::CheckService};
use snapshot_vault::{
    ByteRange, CheckedCopy, CopyChecks, CopyOutcome, DomainId, ManifestId, Vault, VaultError, VerifyOptions,
};
use thiserror::Error;

use crate::{
    background::Background,
    content::{domain_of, manifest_of},
    task::chain,
};

/// How long after a start the first round begins, at the latest.
const FIRST_WAIT: Duration = Duration::from_mins(10);

/// How often and how fast snapshots are checked.
#[derive(Clone, Copy, Debug)]
pub struct ScrubOptions {
    /// How long it is from the end of one round to the beginning of the next.
    pub interval: Duration,
    /// How much is checked in a round, in percent of all stored bytes; at least one snapshot, and each to its end.
    pub share_percent: u8,
    /// How many stored bytes are read in a second, at most.
    pub bytes_per_second: NonZero<u64>,
}

/// What a round of checks came to.
#[derive(Debug, Default)]
pub struct Round {
    /// How many snapshots were checked.
    pub snapshots: u64,
    /// How many stored bytes were read.
    pub read_bytes: u64,
    /// The snapshots of which something is lost or could not be read.
    pub damaged: Vec<CheckedCopy>,
}

/// A round of checks did not come to its end. What it found before is kept.
#[derive(Debug, Error)]
pub enum RoundError {
    /// The vault can't be read, or it was time to stop.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The rows can't be read or written.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

/// Checks a share of the stored bytes, those snapshots first whose turn it is, and keeps what is found snapshot by
/// snapshot: whatever ends it early loses only the one that is just being checked.
///
/// # Errors
///
/// [`RoundError`]; damage is none.
pub fn check_share(copies: &CopyChecks<'_>, checks: &CheckService, share_percent: u8) -> Result<Round, RoundError> {
    let wanted_bytes = wanted_bytes(copies, share_percent)?;
    let mut done = Round::default();
    let mut due = checks.round();
    while done.snapshots == 0 || copies.read_bytes() < wanted_bytes {
        let read_bytes = copies.read_bytes();
        // The damaged ones have half of the share at most: the others have their turn, however many are damaged.
        let skip_damaged = read_bytes >= wanted_bytes.div_ceil(2).max(1);
        let mut next = || due.next(skip_damaged);
        let Some(first) = next()? else { break };
        let mut batch = VecDeque::from([first]);
        if let Some(most_bytes) = copies.at_once(wanted_bytes - read_bytes.min(wanted_bytes)) {
            let mut bytes = size_of(copies, &first.0);
            while bytes < most_bytes
                && let Some(another) = next()?
            {
                bytes = bytes.saturating_add(size_of(copies, &another.0));
                batch.push_back(another);
            }
        }
        check_batch(copies, checks, &mut batch, &mut done)?;
    }
    done.read_bytes = copies.read_bytes();
    Ok(done)
}

fn wanted_bytes(copies: &CopyChecks<'_>, share_percent: u8) -> Result<u64, VaultError> {
    // Two threads may read the same record at once: all of it is no number of bytes.
    if share_percent >= 100 {
        return Ok(u64::MAX);
    }
    let share = u128::from(copies.stored_bytes()?) * u128::from(share_percent) / 100;
    Ok(u64::try_from(share).unwrap_or(u64::MAX))
}

fn check_batch(
    copies: &CopyChecks<'_>,
    checks: &CheckService,
    batch: &mut VecDeque<(DueCheck, Timestamp)>,
    done: &mut Round,
) -> Result<(), RoundError> {
    let names: Vec<_> = batch.iter().map(|(due, _)| name_of(due)).collect();
    for checked in copies.check(&names)? {
        let (due, began_at) = batch.pop_front().expect("each copy that is asked for is answered");
        let is_there = checks.record(due.snapshot, began_at, finding(checked.outcome()))?;
        done.snapshots += 1;
        if is_there && !checked.lost.is_empty() {
            tell(due.snapshot, &checked);
            done.damaged.push(checked);
        }
    }
    Ok(())
}

/// What a check of a copy says of its snapshot.
pub const fn finding(outcome: CopyOutcome) -> Finding {
    match outcome {
        CopyOutcome::Whole => Finding::Whole,
        CopyOutcome::Damaged => Finding::Damaged,
        CopyOutcome::Undecided => Finding::Undecided,
    }
}

fn name_of(due: &DueCheck) -> (DomainId, ManifestId) {
    (domain_of(due.domain), manifest_of(due.snapshot))
}

fn size_of(copies: &CopyChecks<'_>, due: &DueCheck) -> u64 {
    let (domain, copy) = name_of(due);
    copies.size_bytes(domain, copy).unwrap_or(0)
}

fn tell(snapshot: SnapshotId, checked: &CheckedCopy) {
    for lost in &checked.lost {
        log::error!(
            snapshot:% = snapshot;
            "{} can't be read: {}: {}", ByteRange(&lost.range), lost.object, lost.reason
        );
    }
}

/// Checks a share of all snapshots again and again, in a thread of its own, until it is shut down. It waits for nobody
/// and nobody waits for it: it only reads, at its own pace.
pub struct Scrub(Background);

impl Scrub {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(vault: Vault, checks: CheckService, options: ScrubOptions) -> io::Result<Self> {
        let background = Background::start("scrub", move |bell| {
            let (mut seen, mut wait) = (0, options.interval.min(FIRST_WAIT));
            while bell.wait(&mut seen, wait) {
                scrub(&vault, &checks, &options, &|| bell.is_closing());
                wait = options.interval;
            }
        });
        background.map(Self)
    }

    /// Ends the thread, and waits at most `patience` for that. Whether it has ended.
    pub fn shut_down(self, patience: Duration) -> bool {
        self.0.shut_down(patience)
    }
}

/// One round. What keeps it from its end is told in the log, and the next round begins anew.
fn scrub(vault: &Vault, checks: &CheckService, options: &ScrubOptions, stop: &(dyn Fn() -> bool + Sync)) {
    let verify = VerifyOptions {
        threads: NonZero::<usize>::MIN,
        bytes_per_second: Some(options.bytes_per_second),
        ..VerifyOptions::default()
    };
    let copies = CopyChecks::of(vault, &verify, stop);
    match check_share(&copies, checks, options.share_percent) {
        Ok(Round {
            snapshots,
            read_bytes,
            damaged,
        }) => log::info!(
            "{snapshots} snapshots were checked ({read_bytes} bytes were read); of {} something can't be read",
            damaged.len()
        ),
        Err(RoundError::Vault(VaultError::Stopped)) => {}
        Err(error) => log::error!("checking snapshots broke off: {}", chain(&error)),
    }
}
