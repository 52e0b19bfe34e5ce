//! Whenever the machine stops or the store fails: what was acknowledged reads back, what was not is absent or whole, and
//! the next attempt succeeds.

use crate::support::{CHUNK, PAGE, master, noise, open, options, read_all, try_copy};
use snapshot_vault::testing::{Fault, FaultyBlobs, MemoryBlobs, MemoryCatalog, MemoryIndex};
use snapshot_vault::{BlobStore, DomainId, LocalBlobs, ManifestId, RedbIndex, StoredCopy, Vault, VaultError};
use std::sync::Arc;

struct Machine {
    blobs: FaultyBlobs,
    catalog: MemoryCatalog,
    domain: DomainId,
}

impl Machine {
    fn new() -> Self {
        Self {
            blobs: FaultyBlobs::default(),
            catalog: MemoryCatalog::default(),
            domain: DomainId::random(),
        }
    }

    /// The service starts: with an index that knows nothing, which is the most that a crash can take from it.
    fn start(&self) -> Result<Vault, VaultError> {
        self.blobs.restart();
        let vault = open(Arc::new(self.blobs.clone()), &MemoryIndex::default(), &self.catalog)?;
        assert_eq!(vault.reconcile()?.damaged, []);
        Ok(vault)
    }

    fn copy(
        &self,
        vault: &Vault,
        id: ManifestId,
        content: &[u8],
        parent: Option<ManifestId>,
    ) -> Result<(), VaultError> {
        let domain = vault.domain(self.domain)?;
        let parent = parent.map(|id| domain.open_manifest(id)).transpose()?;
        try_copy(&domain, id, content, parent.as_ref(), 1, 0).map(drop)
    }

    fn open(&self, vault: &Vault, id: ManifestId) -> Result<StoredCopy, VaultError> {
        vault.domain(self.domain)?.open_manifest(id)
    }
}

/// A copy with several packs that shares data with an older one.
#[test]
fn a_copy_that_fails_at_any_operation_is_absent_or_whole_and_can_be_made_again() {
    let old = noise(1, 40 * CHUNK);
    let mut new = old.clone();
    new[10 * CHUNK..].copy_from_slice(&noise(2, 30 * CHUNK));
    // How many operations the copy takes when nothing goes wrong.
    let (operations, names_given) = {
        let machine = Machine::new();
        let vault = machine.start().unwrap();
        let old_id = ManifestId::random();
        machine.copy(&vault, old_id, &old, None).unwrap();
        let counts = || (machine.blobs.operations(), machine.blobs.names_given());
        let before = counts();
        machine.copy(&vault, ManifestId::random(), &new, Some(old_id)).unwrap();
        (counts().0 - before.0, counts().1 - before.1)
    };
    assert!(operations > 20 && names_given > 1, "{operations}, {names_given}");

    for (nth, fault) in Fault::everywhere(operations, names_given) {
        let machine = Machine::new();
        let (old_id, new_id) = (ManifestId::random(), ManifestId::random());
        let vault = machine.start().unwrap();
        machine.copy(&vault, old_id, &old, None).unwrap();

        machine.blobs.plan(nth, fault);
        let failed = machine.copy(&vault, new_id, &new, Some(old_id));

        assert!(failed.is_err(), "operation {nth}, {fault:?}");
        let vault = machine.start().unwrap();
        assert!(
            read_all(&machine.open(&vault, old_id).unwrap()).unwrap() == old,
            "operation {nth}, {fault:?}"
        );
        match machine.open(&vault, new_id) {
            Ok(copy) => assert!(read_all(&copy).unwrap() == new, "operation {nth}, {fault:?}"),
            Err(VaultError::ManifestNotFound(_) | VaultError::Damaged { .. }) => {
                machine.copy(&vault, new_id, &new, Some(old_id)).unwrap();
            }
            Err(error) => panic!("operation {nth}, {fault:?}: {error}"),
        }
        assert!(read_all(&machine.open(&vault, new_id).unwrap()).unwrap() == new);
    }
}

#[test]
fn a_vault_whose_making_fails_at_any_operation_can_be_made_again() {
    for (nth, fault) in Fault::everywhere(4, 3) {
        let machine = Machine::new();
        machine.blobs.plan(nth, fault);
        let first = open(
            Arc::new(machine.blobs.clone()),
            &MemoryIndex::default(),
            &machine.catalog,
        );
        let _may_have_failed = first.and_then(|vault| vault.domain(machine.domain));

        let vault = machine.start().unwrap();

        let id = ManifestId::random();
        machine.copy(&vault, id, b"content", None).unwrap();
        assert_eq!(read_all(&machine.open(&vault, id).unwrap()).unwrap(), b"content");
    }
}

#[test]
fn what_an_interrupted_copy_stored_is_not_stored_again() {
    let machine = Machine::new();
    let content = noise(1, 200 * CHUNK);
    let vault = machine.start().unwrap();
    machine.blobs.plan(150, Fault::CrashBefore);
    machine.copy(&vault, ManifestId::random(), &content, None).unwrap_err();

    let vault = machine.start().unwrap();
    let packs = |blobs: &MemoryBlobs| {
        blobs
            .keys()
            .iter()
            .filter(|key| key.as_str().starts_with("packs/"))
            .count()
    };
    assert!(packs(&machine.blobs.durable) >= 1);
    let domain = vault.domain(machine.domain).unwrap();
    let summary = try_copy(&domain, ManifestId::random(), &content, None, 1, 0).unwrap();

    assert!(summary.new_chunks < 150, "{} chunks", summary.new_chunks);
    assert!(read_all(&domain.open_manifest(summary.manifest).unwrap()).unwrap() == content);
}

#[test]
fn a_full_store_is_told_as_such_and_after_making_room_the_copy_succeeds() {
    let machine = Machine::new();
    let content = noise(1, 100 * CHUNK);
    let vault = machine.start().unwrap();
    let id = ManifestId::random();
    vault.domain(machine.domain).unwrap();
    machine.blobs.limit_room(Some(5 << 20));

    let error = machine.copy(&vault, id, &content, None).unwrap_err();

    assert!(error.is_no_space(), "{error}");
    machine.blobs.limit_room(None);
    machine.copy(&vault, id, &content, None).unwrap();
    assert!(read_all(&machine.open(&vault, id).unwrap()).unwrap() == content);
}

#[test]
fn a_pack_that_cannot_be_read_keeps_nobody_from_starting_and_counts_again_when_it_can() {
    let machine = Machine::new();
    let vault = machine.start().unwrap();
    let id = ManifestId::random();
    machine.copy(&vault, id, b"content", None).unwrap();
    let keys = machine.blobs.durable.keys();
    let pack = keys.iter().find(|key| key.as_str().starts_with("packs/")).unwrap();

    machine.blobs.make_unreadable(pack);
    let vault = open(
        Arc::new(machine.blobs.clone()),
        &MemoryIndex::default(),
        &machine.catalog,
    )
    .unwrap();

    assert_eq!(vault.reconcile().unwrap().damaged.len(), 1);
    let vault = machine.start().unwrap();
    assert_eq!(read_all(&machine.open(&vault, id).unwrap()).unwrap(), b"content");
}

#[test]
fn a_deleted_copy_stays_deleted_and_deleting_it_again_is_fine() {
    let machine = Machine::new();
    let vault = machine.start().unwrap();
    let id = ManifestId::random();
    machine.copy(&vault, id, b"content", None).unwrap();
    let domain = vault.domain(machine.domain).unwrap();

    domain.delete_manifest(id).unwrap();
    domain.delete_manifest(id).unwrap();

    let vault = machine.start().unwrap();
    assert!(matches!(machine.open(&vault, id), Err(VaultError::ManifestNotFound(_))));
}

#[test]
fn the_real_folder_and_index_keep_what_was_copied_over_a_restart() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (catalog, domain) = (MemoryCatalog::default(), DomainId::random());
    let start = || {
        let blobs: Arc<dyn BlobStore> = Arc::new(LocalBlobs::open(&folder.path().join("vault")).unwrap());
        let index = Arc::new(RedbIndex::open(&folder.path().join("chunks.redb")).unwrap());
        Vault::open(blobs, &master(), index, Arc::new(catalog.clone()), options()).unwrap()
    };
    let content = noise(5, PAGE + 100);
    let vault = start();
    let summary = try_copy(
        &vault.domain(domain).unwrap(),
        ManifestId::random(),
        &content,
        None,
        2,
        0,
    )
    .unwrap();
    drop(vault);

    let vault = start();
    let found = vault.reconcile().unwrap();

    assert_eq!((found.packs, found.indexed, found.adopted), (summary.new_packs, 0, 0));
    assert!(read_all(&vault.domain(domain).unwrap().open_manifest(summary.manifest).unwrap()).unwrap() == content);
}
