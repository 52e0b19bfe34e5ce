//! A content-addressed, sealed, crash-safe store of chunks. It knows no volumes and no rows.
//!
//! A [`Vault`] keeps copies of byte ranges ("contents") as fixed-size chunks. Equal chunks of one [`Domain`] are stored
//! once, compressed and sealed, inside packs; a manifest, written last, makes a copy exist. The bytes are described in
//! `docs/format.md`, precisely enough to write a reader from it.
//!
//! ```
//! use std::sync::Arc;
//! use snapshot_vault::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex};
//! use snapshot_vault::{DomainId, ManifestId, MasterKey, ReadBuffers, Vault, VaultOptions};
//!
//! let (blobs, index, catalog) = (MemoryBlobs::default(), MemoryIndex::default(), MemoryCatalog::default());
//! let vault = Vault::open(
//!     Arc::new(blobs),
//!     &MasterKey::generate()?,
//!     Arc::new(index),
//!     Arc::new(catalog),
//!     VaultOptions::default(),
//! )?;
//! let domain = vault.domain(DomainId::random())?;
//!
//! let content = b"all of a very small volume";
//! let session = domain.begin_copy(ManifestId::random(), content.len() as u64, None)?;
//! let mut worker = session.worker()?;
//! worker.begin_page(0)?;
//! worker.push(content)?;
//! worker.finish_page()?;
//! worker.finish()?;
//! let summary = session.commit(b"a description")?;
//!
//! let copy = domain.open_manifest(summary.manifest)?;
//! let mut read_back = vec![0; content.len()];
//! copy.read_at(0, &mut read_back, &mut ReadBuffers::default())?;
//! assert_eq!(read_back, content);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blob;
mod catalog;
mod census;
mod checked;
mod codec;
mod collect;
mod copy;
mod digest;
mod domain;
mod elsewhere;
mod error;
mod essentials;
mod format;
mod found;
mod geometry;
mod hash;
mod hex;
mod id;
mod index;
mod key;
mod listing;
mod memory;
mod pack;
mod read;
mod recheck;
mod reconcile;
mod seal;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod vault;
mod verify;

pub use blob::local::LocalBlobs;
pub use blob::{BlobEntry, BlobError, BlobKey, BlobStore, BlobWriter, InvalidBlobKey, Piece};
pub use catalog::{
    CatalogError, CopyVisitor, Distrusted, PackCatalog, PackStanding, PackSummary, PromisedCopies, RunningCopies,
    SetAside,
};
pub use census::{CopyUsage, Totals, Unreadable, Usage};
pub use collect::{CollectOptions, Collection, CollectionEnd, Waiting};
pub use copy::{CopySession, CopySummary, PageWriter};
pub use digest::{Digest, Digester, InvalidDigest, PageRead, digest_reader};
pub use domain::Domain;
pub use error::{ByteRange, VaultError};
pub use hash::{ChunkHash, ChunkId};
pub use id::{ChunkSize, CollectionId, DomainId, InvalidChunkSize, ManifestId, PackId, VaultId};
pub use index::redb::RedbIndex;
pub use index::{ChunkIndex, IndexEntry, IndexError, Location};
pub use key::{InvalidMasterKey, MasterKey};
pub use memory::{ALIGNMENT, AlignedBuffer};
pub use read::{Lost, ReadBuffers, StoredCopy, Verifier};
pub use recheck::RecheckShare;
pub use reconcile::{DamagedPack, Reconciliation};
pub use vault::{Vault, VaultOptions};
pub use verify::{
    CheckedCopy, CopyChecks, CopyOutcome, Damage, Loss, Verification, VerifyOptions, VerifyProgress, verify_copy,
    verify_stored, verify_vault,
};

/// How many chunks an index page covers.
pub const PAGE_CHUNKS: u64 = geometry::PAGE_ENTRIES as u64;
