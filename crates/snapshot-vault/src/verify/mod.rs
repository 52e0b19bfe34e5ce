//! Checking that what is stored is still what was stored.
//!
//! It only reads, and needs nothing but the objects (and, to open them, the master key): no index, no catalog. It may run
//! beside a process that writes to the vault: objects never change, what comes after the beginning is not looked at, and
//! what is deleted meanwhile is no damage. Where something is missing, it looks again for what a collection has moved
//! into younger packs.
//!
//! A whole vault is checked pack by pack, each read once from beginning to end, however many copies need its chunks. What
//! the packs hold is then compared with what the copies need. The list of all chunks is longer than memory: it is gone
//! through in parts of the range of ids, each part as long as [`VerifyOptions::memory_bytes`] allows.

mod copies;
mod held;
mod in_turn;
mod objects;
mod one_copy;
mod pace;
mod packs;
mod report;
mod seen;
mod throttle;

pub use in_turn::{CheckedCopy, CopyChecks};
pub use pace::VerifyProgress;
pub(crate) use report::UNREADABLE;
pub use report::{CopyOutcome, Damage, Loss, Verification};

use crate::blob::BlobStore;
use crate::catalog::NoCatalog;
use crate::error::VaultError;
use crate::format::names;
use crate::found::FoundChunks;
use crate::id::{DomainId, ManifestId};
use crate::key::MasterKey;
use crate::vault::{Vault, list_copies};
use one_copy::OneCopy;
use pace::Pace;
use packs::StoredPack;
use report::Findings;
use std::collections::{BTreeSet, HashSet};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a verification uses the machine.
#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// How many threads read and check, each with some 5 MiB of buffers.
    pub threads: NonZero<usize>,
    /// How many bytes a second may be read from the packs; `None`: as many as can be. Where a single copy is checked, its
    /// own bytes count.
    pub bytes_per_second: Option<NonZero<u64>>,
    /// How much memory lists of chunks and pages may take. Less of it means more passes over the packs' footers.
    pub memory_bytes: usize,
}

/// More would only take memory: no disk known feeds them.
const MAX_DEFAULT_THREADS: NonZero<usize> = NonZero::new(16).expect("16 is not zero");

impl Default for VerifyOptions {
    /// Two threads per core, at most 16; as fast as can be; 32 MiB.
    fn default() -> Self {
        // A thread that reads from the disk waits for it. With one per core, a quarter of the processor was idle.
        let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Self {
            threads: cores.saturating_add(cores.get()).min(MAX_DEFAULT_THREADS),
            bytes_per_second: None,
            memory_bytes: 32 << 20,
        }
    }
}

/// Checks the stored bytes of every object, without any key: checksums, lengths, names. It finds every changed byte, but
/// can't tell whose bytes are lost by it, nor that a pack is missing.
///
/// `progress` is called often, by any thread.
///
/// # Errors
///
/// [`VaultError::NotAVault`], failures of the store. Damage is no error: it is in the [`Verification`].
pub fn verify_stored(
    blobs: Arc<dyn BlobStore>,
    options: &VerifyOptions,
    progress: &(dyn Fn(VerifyProgress) + Sync),
) -> Result<Verification, VaultError> {
    let check = Check::new(blobs, options, progress);
    let manifests = list_copies(&*check.blobs)?;
    check.stored_objects(&manifests)?;
    let packs = packs::list(&*check.blobs)?;
    check.packs(&packs, None)?;
    Ok(check.finish())
}

/// Checks everything: opens every chunk and index page of every pack, compares it with its name, and sees to it that
/// every copy has all its chunks and the digest that its manifest tells.
///
/// A vault of which the description is damaged can't be opened: then it is checked as by [`verify_stored`].
///
/// # Errors
///
/// [`VaultError::WrongMasterKey`]; otherwise as [`verify_stored`].
pub fn verify_vault(
    blobs: Arc<dyn BlobStore>,
    master: &MasterKey,
    options: &VerifyOptions,
    progress: &(dyn Fn(VerifyProgress) + Sync),
) -> Result<Verification, VaultError> {
    let found = Arc::new(FoundChunks::default());
    let vault = match Vault::open_read_only(blobs.clone(), master, found.clone(), Arc::default()) {
        Ok(vault) => vault,
        Err(VaultError::Damaged { .. } | VaultError::UnsupportedVersion { .. }) => {
            return verify_stored(blobs, options, progress);
        }
        Err(error) => return Err(error),
    };
    let check = Check::new(blobs, options, progress);
    // A manifest is older than none of its packs: listed in this order, none of them is missed.
    let manifests = list_copies(&*check.blobs)?;
    let domains = check.domains(&vault, &manifests)?;
    let mut checked: HashSet<StoredPack> = HashSet::new();
    let mut copies = manifests;
    for round in 0.. {
        let packs = packs::list(&*check.blobs)?;
        let younger: Vec<StoredPack> = packs.iter().filter(|pack| !checked.contains(pack)).copied().collect();
        check.packs(&younger, Some(&domains))?;
        let is_settled = round == MAX_ROUNDS || round > 0 && younger.is_empty();
        *check.suspects() = (!is_settled).then(BTreeSet::new);
        check.copies(&domains, &copies, &packs, &found)?;
        let suspects = check.suspects().take().unwrap_or_default();
        if suspects.is_empty() {
            break;
        }
        check.findings().checked.copies -= suspects.len() as u64;
        copies = suspects.into_iter().collect();
        checked.extend(younger);
    }
    Ok(check.finish())
}

/// Checks one copy: opens all its chunks and pages, and computes its digest. Packs of which the footers can't be read are
/// told, too, for what they hold can't be known.
///
/// # Errors
///
/// [`VaultError::ManifestNotFound`] when no domain has such a copy, [`VaultError::Damaged`] when the vault's description
/// is; otherwise as [`verify_vault`].
pub fn verify_copy(
    blobs: Arc<dyn BlobStore>,
    master: &MasterKey,
    copy: ManifestId,
    options: &VerifyOptions,
    progress: &(dyn Fn(VerifyProgress) + Sync),
) -> Result<Verification, VaultError> {
    let (found, catalog) = (Arc::new(FoundChunks::default()), Arc::new(NoCatalog::default()));
    let vault = Vault::open_read_only(blobs.clone(), master, found.clone(), catalog.clone())?;
    let check = Check::new(blobs, options, progress);
    let mut manifests = list_copies(&*check.blobs)?;
    manifests.retain(|(_, id)| *id == copy);
    if manifests.is_empty() {
        return Err(VaultError::ManifestNotFound(copy));
    }
    let domains = check.domains(&vault, &manifests)?;
    for (domain, id) in manifests {
        if let Some(copy) = check.open_copy(&domains, domain, id)? {
            let mut round = 0;
            let mut packs = packs::list(&*check.blobs)?;
            loop {
                let places = OneCopy {
                    packs: &packs,
                    found: &found,
                    damaged: &catalog,
                    is_last_round: round == MAX_ROUNDS,
                };
                let Some(now) = check.one_copy(&copy, &places)? else {
                    break;
                };
                packs = now;
                round += 1;
            }
        }
    }
    check.findings().checked.set_aside = catalog.met();
    Ok(check.finish())
}

/// A verification that runs.
struct Check<'a> {
    blobs: Arc<dyn BlobStore>,
    options: &'a VerifyOptions,
    pace: Pace<'a>,
    findings: Mutex<Findings>,
    /// Copies that miss something which a collection may have moved meanwhile. `None` when what is missing is lost.
    suspects: Mutex<Option<BTreeSet<(DomainId, ManifestId)>>>,
}

/// So often is looked again for what a collection may have moved meanwhile.
const MAX_ROUNDS: u32 = 5;

impl<'a> Check<'a> {
    fn new(
        blobs: Arc<dyn BlobStore>,
        options: &'a VerifyOptions,
        progress: &'a (dyn Fn(VerifyProgress) + Sync),
    ) -> Self {
        Self {
            blobs,
            options,
            pace: Pace::new(options.bytes_per_second, progress),
            findings: Mutex::default(),
            suspects: Mutex::default(),
        }
    }

    fn suspects(&self) -> MutexGuard<'_, Option<BTreeSet<(DomainId, ManifestId)>>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a copy is still there. What was deleted meanwhile has lost nothing.
    fn is_there(&self, domain: DomainId, id: ManifestId) -> Result<bool, VaultError> {
        match self.blobs.size(&names::manifest(domain, id)) {
            Ok(_) => Ok(true),
            Err(crate::BlobError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs the same work in several threads, and waits for all of them.
    fn in_parallel(&self, at_most: usize, work: impl Fn() -> Result<(), VaultError> + Sync) -> Result<(), VaultError> {
        let others = self.options.threads.get().min(at_most).saturating_sub(1);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..others).map(|_| scope.spawn(&work)).collect();
            let mine = work();
            threads.into_iter().fold(mine, |ends, thread| {
                ends.and(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        })
    }

    fn finish(self) -> Verification {
        self.findings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::Manifest;
    use crate::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex};
    use crate::vault::VaultOptions;

    #[test]
    fn a_copy_of_which_the_chunks_give_another_digest_is_found() {
        let (blobs, master) = (MemoryBlobs::default(), MasterKey::generate().unwrap());
        let (index, catalog) = (Arc::new(MemoryIndex::default()), Arc::new(MemoryCatalog::default()));
        let vault = Vault::open(
            Arc::new(blobs.clone()),
            &master,
            index,
            catalog,
            VaultOptions::default(),
        )
        .unwrap();
        let domain = vault.domain(DomainId::random()).unwrap();
        let session = domain.begin_copy(ManifestId::random(), 7, None).unwrap();
        let mut worker = session.worker().unwrap();
        worker.begin_page(0).unwrap();
        worker.push(b"content").unwrap();
        worker.finish_page().unwrap();
        worker.finish().unwrap();
        let id = session.commit(b"").unwrap().manifest;
        let (name, key) = (names::manifest(domain.id(), id), &domain.core.keys.manifests);
        let mut manifest = Manifest::decode(&blobs.get(&name).unwrap(), domain.id(), id, key).unwrap();
        manifest.digest[0] ^= 1;
        blobs.overwrite(&name, manifest.encode(domain.id(), id, key).unwrap());

        let options = VerifyOptions::default();
        let whole = verify_vault(Arc::new(blobs.clone()), &master, &options, &|_| {}).unwrap();
        let one = verify_copy(Arc::new(blobs), &master, id, &options, &|_| {}).unwrap();

        for found in [whole, one] {
            let [damage] = &found.damage[..] else {
                panic!("{found:?}")
            };
            assert_eq!(
                (damage.object.as_str(), damage.reason),
                (name.as_str(), copies::NO_DIGEST)
            );
            assert_eq!(damage.lost[0].range, 0..7);
        }
    }
}
