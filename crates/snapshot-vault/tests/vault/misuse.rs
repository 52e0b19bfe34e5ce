//! A copy is committed only when every page is whole and every worker finished.

use crate::support::{CHUNK, PAGE, TestVault, copy, noise, open};
use snapshot_vault::testing::{Fault, FaultyBlobs, MemoryCatalog, MemoryIndex};
use snapshot_vault::{CopySession, DomainId, ManifestId, PageWriter, VaultError};
use std::sync::Arc;

fn session(test: &TestVault, size: usize) -> CopySession {
    test.domain.begin_copy(ManifestId::random(), size as u64, None).unwrap()
}

fn check_refused(size: usize, steps: impl FnOnce(&mut PageWriter<'_>) -> Result<(), VaultError>) {
    let test = TestVault::new();
    let session = session(&test, size);
    let mut worker = session.worker().unwrap();

    assert!(matches!(steps(&mut worker), Err(VaultError::Misuse(_))));

    assert!(matches!(worker.finish(), Err(VaultError::Incomplete)));
    assert!(matches!(session.commit(b""), Err(VaultError::Incomplete)));
    assert_eq!(test.domain.manifests().unwrap(), []);
}

#[test]
fn pushes_that_do_not_fit_the_page_are_refused() {
    check_refused(PAGE, |worker| worker.push(&vec![1; CHUNK]));
    check_refused(PAGE, |worker| worker.begin_page(1));
    check_refused(0, |worker| worker.begin_page(0));
    check_refused(2 * PAGE, |worker| {
        worker.begin_page(0).and_then(|()| worker.begin_page(1))
    });
    check_refused(PAGE, |worker| {
        worker.begin_page(0).and_then(|()| worker.push(&vec![1; CHUNK - 1]))
    });
    check_refused(2 * CHUNK + 5, |worker| {
        worker.begin_page(0).and_then(|()| worker.push(&vec![1; CHUNK + 5]))
    });
    check_refused(2 * CHUNK + 5, |worker| {
        worker.begin_page(0).and_then(|()| worker.push(&vec![1; 2 * CHUNK + 6]))
    });
    check_refused(PAGE, |worker| {
        worker.begin_page(0).and_then(|()| worker.push_zeros(PAGE as u64 + 1))
    });
    check_refused(PAGE, |worker| {
        worker.begin_page(0).and_then(|()| worker.push_zeros(u64::MAX))
    });
    check_refused(PAGE, |worker| worker.begin_page(0).and_then(|()| worker.finish_page()));
    check_refused(PAGE, |worker| worker.push_zeros(PAGE as u64));
}

#[test]
fn a_page_cannot_be_written_twice() {
    check_refused(CHUNK, |worker| {
        for _ in 0..2 {
            worker.begin_page(0)?;
            worker.push(&vec![1; CHUNK])?;
            worker.finish_page()?;
        }
        Ok(())
    });
}

#[test]
fn a_worker_that_was_dropped_unfinished_makes_the_commit_impossible() {
    let test = TestVault::new();
    let session = session(&test, PAGE);
    drop(session.worker().unwrap());

    assert!(matches!(session.commit(b""), Err(VaultError::Incomplete)));
}

#[test]
fn a_worker_with_an_open_page_cannot_finish() {
    let test = TestVault::new();
    let session = session(&test, PAGE);
    let mut worker = session.worker().unwrap();
    worker.begin_page(0).unwrap();

    assert!(matches!(worker.finish(), Err(VaultError::Misuse(_))));
    assert!(matches!(session.commit(b""), Err(VaultError::Incomplete)));
}

/// The second worker relied on a chunk in the first one's pack.
#[test]
fn a_pack_that_fails_takes_the_whole_copy_with_it() {
    let blobs = FaultyBlobs::default();
    let vault = open(
        Arc::new(blobs.clone()),
        &MemoryIndex::default(),
        &MemoryCatalog::default(),
    )
    .unwrap();
    let domain = vault.domain(DomainId::random()).unwrap();
    let session = domain.begin_copy(ManifestId::random(), 2 * PAGE as u64, None).unwrap();
    let content = noise(1, CHUNK).repeat(256);
    let mut workers = [session.worker().unwrap(), session.worker().unwrap()];
    for (page, worker) in workers.iter_mut().enumerate() {
        worker.begin_page(page as u64).unwrap();
        worker.push(&content).unwrap();
        worker.finish_page().unwrap();
    }

    let [first, second] = workers;
    second.finish().unwrap();
    // The footer is written, then the pack is committed.
    blobs.plan(1, Fault::FailBefore);
    first.finish().unwrap_err();

    assert!(matches!(session.commit(b""), Err(VaultError::Incomplete)));
    assert_eq!(domain.manifests().unwrap(), []);
}

#[test]
fn a_committed_copy_is_never_overwritten() {
    let test = TestVault::new();
    let stored = copy(&test.domain, b"first", None);
    let id = stored.manifest_id();
    let racing = test.domain.begin_copy(ManifestId::random(), 0, None).unwrap();
    let late = racing.manifest_id();
    test.domain
        .begin_copy(late, 0, None)
        .unwrap()
        .commit(b"winner")
        .unwrap();

    assert!(matches!(
        test.domain.begin_copy(id, 5, None),
        Err(VaultError::ManifestExists(_))
    ));
    assert!(matches!(racing.commit(b"loser"), Err(VaultError::ManifestExists(_))));
    assert_eq!(test.domain.open_manifest(late).unwrap().metadata(), b"winner");
}

#[test]
fn contents_and_metadata_beyond_the_limits_are_refused() {
    let test = TestVault::new();
    let too_large = test.domain.begin_copy(ManifestId::random(), (1 << 50) + 1, None);

    assert!(matches!(too_large, Err(VaultError::Misuse(_))));
    assert!(matches!(
        session(&test, 0).commit(&vec![0; (1 << 20) + 1]),
        Err(VaultError::Misuse(_))
    ));
    session(&test, 0).commit(&vec![0; 1 << 20]).unwrap();
}
