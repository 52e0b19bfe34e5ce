//! Giving back the space of what no copy needs any more, while copies are made, read and deleted.
//!
//! Packs without anything in use go; packs with little in use are rewritten. It relies on no clock and no age, and needs no
//! lock: what is removed is settled by the catalog, in these steps.
//!
//! 1. [`take_over`](crate::PackCatalog::take_over): what an interrupted collection has condemned or dropped becomes this
//!    one's. What is dropped is removed.
//! 2. A census finds packs that are worth removing, among those that were listed before it began. When a copy is promised
//!    and not there, nothing is: only its manifest told what it needs, and it may be put back. Packs that a crash has torn
//!    before they were recorded are removed, if every copy has all its chunks without them.
//! 3. They are condemned. *After that* it is read which copies run. A copy that is not among them reads what is condemned
//!    when it begins, and counts it as absent.
//! 4. Those copies end. Whoever drives the collection decides how long to wait; what is condemned stays so, and the next
//!    run goes on here.
//! 5. Another census: every copy that could rely on a condemned pack has ended, so what it does not find in use never will
//!    be. What it finds in use is copied into new packs, or the pack is kept after all.
//! 6. Packs are dropped, if they are still this collection's, and removed: from the index, from the store, from the
//!    catalog.
//!
//! A crash between any two steps is finished by the next run, or by [`Vault::reconcile`].

mod barrier;
pub(crate) mod removal;
mod rescue;
mod run;
mod torn;

use crate::catalog::{PromisedCopies, RunningCopies, SetAside};
use crate::census::Unreadable;
use crate::error::VaultError;
use crate::vault::Vault;
use std::ops::ControlFlow;

/// How a collection is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CollectOptions {
    /// Only tell what would be done. Nothing is written, not even to the catalog.
    pub dry_run: bool,
    /// A pack of which a smaller share (of the bytes of its records) is in use is rewritten: from 0, never, to 1, always.
    pub live_share: f64,
}

impl Default for CollectOptions {
    /// Packs that are used by less than half are rewritten.
    fn default() -> Self {
        Self {
            dry_run: false,
            live_share: 0.5,
        }
    }
}

/// What a collection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How many copies run that began before packs were condemned.
    pub copies: usize,
}

/// What a collection did, or in a dry run would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// How it ended.
    pub end: CollectionEnd,
    /// Packs that were looked at.
    pub packs: u64,
    /// Packs that it condemned, beside those that an earlier run had condemned.
    pub condemned: u64,
    /// Condemned packs that are kept after all.
    pub released: u64,
    /// Packs that were removed, torn ones too. In a dry run, those that would be.
    pub deleted: u64,
    /// Of these, packs that held something in use, which was copied into new packs.
    pub rewritten: u64,
    /// Bytes of the packs that were removed. In a dry run, of those that would be.
    pub deleted_bytes: u64,
    /// Bytes of the packs that were written. In a dry run, of the records that would be copied.
    pub written_bytes: u64,
    /// What can't be read, and copies that are promised and not there: while there is any, nothing is condemned or removed.
    pub unreadable: Vec<Unreadable>,
    /// Records in use that could not be copied, and were set aside. Their packs are kept.
    pub damaged: Vec<SetAside>,
}

impl Collection {
    /// How much smaller the vault has become.
    pub const fn freed_bytes(&self) -> u64 {
        self.deleted_bytes.saturating_sub(self.written_bytes)
    }
}

/// How a collection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CollectionEnd {
    /// There was nothing more to do.
    #[default]
    Done,
    /// Something that copies need can't be read, so nobody knows what is in use. Nothing was removed, and nothing is
    /// condemned any more.
    Refused,
    /// So many copies ran that began before, and nobody wanted to wait for them any longer. What is condemned stays so.
    Waiting {
        /// How many copies.
        copies: usize,
    },
    /// It was told to stop. What is condemned stays so.
    Stopped,
}

impl Vault {
    /// Removes packs that no copy needs, and rewrites those of which little is needed. Copies, restores and deletions go
    /// on meanwhile, and never wait for it. What it did not come to is done by the next run.
    ///
    /// `patience` is called again and again while copies run that began before; it shall take its time, and break when
    /// it has no more. `stop` is asked often, and ends the run soon when it says `true`.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotAVault`] when the store is away as a whole, failures of store, index and catalog. The next run goes
    /// on from there.
    pub fn collect(
        &self,
        running: &dyn RunningCopies,
        promised: &dyn PromisedCopies,
        options: &CollectOptions,
        patience: &mut dyn FnMut(Waiting) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Collection, VaultError> {
        run::collect(self, running, promised, options, patience, stop)
    }

    /// Notes damaged chunks: copies that begin from now on store them again when they meet the same data.
    ///
    /// # Errors
    ///
    /// Failures of the catalog.
    pub fn set_aside(&self, chunks: &[SetAside]) -> Result<(), VaultError> {
        Ok(self.0.catalog.set_aside(chunks)?)
    }
}
