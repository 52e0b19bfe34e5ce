//! Reads volumes into the vault and back, and runs the tasks that do so.
//!
//! - [`VolumeFolder`] keeps the bytes of managed volumes as sparse raw files, and opens registered ones.
//! - [`VaultArchive`] tells what the vault itself knows of its snapshots.
//! - [`VaultContent`] reads snapshots straight out of the vault.
//! - [`Maintenance`] gives space back, and counts what takes it.
//! - [`Scrub`] checks that what is stored of snapshots is still what was stored.
//! - [`Runner`] claims tasks, keeps their leases, and ends them: copies, restores, and what is to be removed.
//!
//! # How a copy uses the machine
//!
//! A copy or restore has two workers per core: one works while the other waits for the disk. Each claims a page of the volume (256 chunks) and does everything with it: read, hash,
//! look up, compress, seal, append to a pack of its own. No stages, no queues: nobody waits for anybody, and the memory is
//! what the workers' buffers take, whatever the volume's size.

mod archive;
mod background;
mod capture;
mod catalog;
mod content;
mod description;
mod error;
mod maintenance;
mod priority;
mod restore;
mod scrub;
mod source;
mod sparse;
mod task;
mod volume_folder;
mod watch;

pub use archive::VaultArchive;
pub use catalog::VaultCatalog;
pub use content::VaultContent;
pub use maintenance::{
    CollectReport, Maintenance, MaintenanceOptions, Premises, SnapshotStat, StatReport, StatTotals, UnreadableObject,
    has_whole_snapshots,
};
pub use scrub::{Round, RoundError, Scrub, ScrubOptions, check_share, finding};
pub use source::{SourceError, measure};
pub use task::{Observer, Runner, RunnerOptions};
pub use volume_folder::VolumeFolder;
