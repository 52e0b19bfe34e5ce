//! What is copied reads back, whatever it is and however it is copied.

use crate::support::{CHUNK, PAGE, TestVault, copy, copy_with, noise, read_all};
use proptest::prelude::*;
use snapshot_vault::{ManifestId, ReadBuffers, StoredCopy, VaultError, digest_reader};

/// A change to a content.
#[derive(Clone, Debug)]
enum Edit {
    Noise { at: usize, len: usize, seed: u8 },
    Zeros { at: usize, len: usize },
    Resize(usize),
    CopyChunk { from: usize, to: usize },
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let at = 0..3 * PAGE;
    let edit = prop_oneof![
        4 => (at.clone(), 1..4 * CHUNK, any::<u8>()).prop_map(|(at, len, seed)| Edit::Noise { at, len, seed }),
        2 => (at.clone(), 1..PAGE).prop_map(|(at, len)| Edit::Zeros { at, len }),
        1 => (0..2 * PAGE + PAGE / 3).prop_map(Edit::Resize),
        1 => (0..3 * PAGE / CHUNK, 0..3 * PAGE / CHUNK).prop_map(|(from, to)| Edit::CopyChunk { from, to }),
    ];
    proptest::collection::vec(edit, 1..6)
}

fn apply(content: &mut Vec<u8>, edit: &Edit) {
    let clip = |at: usize, len: usize, size: usize| at.min(size)..(at + len).min(size);
    let size = content.len();
    match *edit {
        Edit::Noise { at, len, seed } => {
            let range = clip(at, len, size);
            let bytes = noise(u64::from(seed), range.len());
            content[range].copy_from_slice(&bytes);
        }
        Edit::Zeros { at, len } => content[clip(at, len, size)].fill(0),
        Edit::Resize(len) => content.resize(len, 0),
        Edit::CopyChunk { from, to } => {
            let (from, to) = (clip(from * CHUNK, CHUNK, size), clip(to * CHUNK, CHUNK, size));
            if from.len() == CHUNK && to.len() == CHUNK {
                content.copy_within(from, to.start);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_copy_of_a_changing_content_stays_what_it_was(
        rounds in proptest::collection::vec((edits(), 1_usize..4, any::<bool>(), any::<u64>()), 1..4),
    ) {
        let test = TestVault::new();
        let mut content = Vec::new();
        let mut copies: Vec<(StoredCopy, Vec<u8>)> = Vec::new();

        for (edits, workers, with_parent, order) in rounds {
            for edit in &edits {
                apply(&mut content, edit);
            }
            let parent = copies.last().filter(|_| with_parent).map(|(copy, _)| copy.clone());
            let summary = copy_with(&test.domain, &content, parent.as_ref(), workers, order);
            let (digest, _) = digest_reader(&content[..], test.vault.chunk_size()).unwrap();
            prop_assert_eq!(summary.digest, digest);
            copies.push((test.domain.open_manifest(summary.manifest).unwrap(), content.clone()));
        }

        for (copy, content) in &copies {
            prop_assert!(read_all(copy).unwrap() == *content);
        }
    }

    #[test]
    fn any_range_can_be_read(ranges in proptest::collection::vec((0_usize..2 * PAGE, 0_usize..PAGE), 1..20)) {
        let mut content = noise(1, 2 * PAGE - 777);
        content[CHUNK * 3..CHUNK * 9 + 5].fill(0);
        let test = TestVault::new();
        let stored = copy(&test.domain, &content, None);
        let mut buffers = ReadBuffers::default();

        for (at, len) in ranges {
            let (start, end) = (at.min(content.len()), (at + len).min(content.len()));
            let mut read = vec![0xee; end - start];
            stored.read_at(start as u64, &mut read, &mut buffers).unwrap();
            prop_assert!(read == content[start..end]);
        }
    }
}

#[test]
fn an_empty_content_and_one_byte_are_copied_too() {
    let test = TestVault::new();
    for content in [&b""[..], b"x", b"\0"] {
        let stored = copy(&test.domain, content, None);

        assert_eq!(read_all(&stored).unwrap(), content);
        assert_eq!(
            stored.digest(),
            digest_reader(content, test.vault.chunk_size()).unwrap().0
        );
    }
}

#[test]
fn the_manifest_carries_what_the_caller_gave_to_it() {
    let test = TestVault::new();
    let session = test.domain.begin_copy(ManifestId::random(), 5, None).unwrap();
    let summary = session.commit(b"{\"name\":\"daily\"}").unwrap();

    let stored = test.domain.open_manifest(summary.manifest).unwrap();

    assert_eq!(stored.metadata(), b"{\"name\":\"daily\"}");
    assert_eq!(stored.size_bytes(), 5);
    assert_eq!(stored.stored_bytes(), summary.stored_bytes);
    assert_eq!(stored.data_pages().count(), 0);
    assert_eq!(test.domain.manifests().unwrap(), [summary.manifest]);
}

#[test]
fn an_unchanged_copy_writes_nothing_but_its_manifest() {
    let test = TestVault::new();
    let content = noise(7, PAGE + 5 * CHUNK + 17);
    let parent = copy(&test.domain, &content, None);
    let before = test.blobs.keys().len();

    for parent in [Some(&parent), None] {
        let summary = copy_with(&test.domain, &content, parent, 2, 0);

        assert_eq!((summary.new_chunks, summary.new_pages, summary.new_packs), (0, 0, 0));
    }
    assert_eq!(test.blobs.keys().len(), before + 2);
}

#[test]
fn a_changed_chunk_costs_one_chunk_and_one_page() {
    let test = TestVault::new();
    let mut content = noise(7, 2 * PAGE);
    let parent = copy(&test.domain, &content, None);

    content[PAGE + 3 * CHUNK] ^= 1;
    let summary = copy_with(&test.domain, &content, Some(&parent), 2, 0);

    assert_eq!((summary.new_chunks, summary.new_pages, summary.new_packs), (1, 1, 1));
}

#[test]
fn equal_chunks_are_stored_once_whichever_workers_meet_them() {
    let test = TestVault::new();
    let content = noise(7, CHUNK).repeat(4 * PAGE / CHUNK);

    let summary = copy_with(&test.domain, &content, None, 3, 1);

    assert_eq!((summary.new_chunks, summary.new_pages), (1, 1));
    assert_eq!(
        read_all(&test.domain.open_manifest(summary.manifest).unwrap()).unwrap(),
        content
    );
}

#[test]
fn four_sparse_tebibytes_cost_nothing_but_a_small_manifest() {
    let test = TestVault::new();
    let session = test.domain.begin_copy(ManifestId::random(), 4 << 40, None).unwrap();
    let mut worker = session.worker().unwrap();
    let page = session.page_count() / 2;
    worker.begin_page(page).unwrap();
    worker.push(&noise(3, CHUNK)).unwrap();
    worker.push_zeros((PAGE - CHUNK) as u64).unwrap();
    worker.finish_page().unwrap();
    worker.finish().unwrap();

    let summary = session.commit(b"").unwrap();

    assert!(summary.stored_bytes < 70_000, "{} bytes", summary.stored_bytes);
    let stored = test.domain.open_manifest(summary.manifest).unwrap();
    let verifier = stored.verifier();
    for page in stored.data_pages() {
        verifier.page_read(
            &stored
                .read_page(page, &mut ReadBuffers::default(), &mut |_, _| Ok(()))
                .unwrap(),
        );
    }
    verifier.finish().unwrap();
}

#[test]
fn a_restore_that_left_a_page_out_is_noticed() {
    let test = TestVault::new();
    let stored = copy(&test.domain, &noise(1, PAGE + 1), None);

    let verifier = stored.verifier();
    verifier.page_read(
        &stored
            .read_page(1, &mut ReadBuffers::default(), &mut |_, _| Ok(()))
            .unwrap(),
    );

    assert!(matches!(verifier.finish(), Err(VaultError::DigestMismatch)));
}

#[test]
fn a_failing_receiver_stops_the_read_with_its_own_error() {
    let test = TestVault::new();
    let stored = copy(&test.domain, &noise(1, CHUNK), None);

    let error = stored
        .read_page(0, &mut ReadBuffers::default(), &mut |_, _| {
            Err(std::io::Error::other("disk full"))
        })
        .unwrap_err();

    assert!(matches!(error, VaultError::Sink(cause) if cause.to_string() == "disk full"));
}

#[test]
fn reading_past_the_end_is_refused() {
    let test = TestVault::new();
    let stored = copy(&test.domain, b"12345", None);

    let error = stored.read_at(3, &mut [0; 3], &mut ReadBuffers::default()).unwrap_err();

    assert!(matches!(error, VaultError::Misuse(_)));
}

#[test]
fn domains_share_nothing_and_cannot_read_each_other() {
    let test = TestVault::new();
    let other = test.vault.domain(snapshot_vault::DomainId::random()).unwrap();
    let content = noise(1, CHUNK);
    let stored = copy(&test.domain, &content, None);

    let summary = copy_with(&other, &content, Some(&stored), 1, 0);

    assert_eq!(summary.new_chunks, 1);
    assert!(matches!(
        other.open_manifest(stored.manifest_id()),
        Err(VaultError::ManifestNotFound(_))
    ));
    let mut domains = [test.domain.id(), other.id()];
    domains.sort();
    assert_eq!(test.vault.domains().unwrap(), domains);
}
