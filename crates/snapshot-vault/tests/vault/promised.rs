//! What a collection does when copies are missing that the database says are there.

use crate::collect::{Running, delete, manifest_key, objects, two_copies};
use crate::support::{TestVault, read_all};
use snapshot_vault::testing::Promises;
use snapshot_vault::{
    BlobKey, BlobStore, CatalogError, CollectOptions, Collection, CollectionEnd, CopyVisitor, DomainId, ManifestId,
    PackCatalog, PromisedCopies, StoredCopy, VaultError,
};
use std::ops::ControlFlow;
use std::sync::Mutex;

/// Collects, without waiting for anybody, in a vault that must hold what is promised.
fn collect_promised(test: &TestVault, running: &Running, promised: &Promises, dry_run: bool) -> Collection {
    let options = CollectOptions {
        dry_run,
        ..CollectOptions::default()
    };
    let impatient = &mut |_| ControlFlow::Break(());
    let done = test.vault.collect(running, promised, &options, impatient, &|| false);
    done.unwrap()
}

fn promises(copies: &[StoredCopy]) -> Promises {
    let promises = Promises::default();
    for copy in copies {
        promises.add(copy.domain_id(), copy.manifest_id());
    }
    promises
}

#[test]
fn nothing_is_removed_while_a_promised_copy_is_missing() {
    for with_domain_key in [true, false] {
        let (test, copies, content) = two_copies(0);
        let promised = promises(&copies);
        let gone: Vec<_> = [&copies[0], &copies[1]]
            .map(|copy| manifest_key(&test.blobs, copy))
            .into();
        let lost: Vec<_> = gone.iter().map(|key| (key, test.blobs.get(key).unwrap())).collect();
        for key in &gone {
            test.blobs.delete(key).unwrap();
        }
        let domain_key = BlobKey::parse(&format!("keys/{}", test.domain.id())).unwrap();
        let key = test.blobs.get(&domain_key).unwrap();
        if !with_domain_key {
            test.blobs.delete(&domain_key).unwrap();
        }
        let before = objects(&test);

        for dry_run in [true, false] {
            let refused = collect_promised(&test, &Running::default(), &promised, dry_run);

            assert_eq!(refused.end, CollectionEnd::Refused);
            let mut named: Vec<_> = refused.unreadable.iter().map(|it| it.object.as_str()).collect();
            named.sort_unstable();
            let mut expected: Vec<_> = gone.iter().map(BlobKey::as_str).collect();
            expected.sort_unstable();
            assert_eq!(named, expected);
        }
        assert!(objects(&test) == before, "no key is made, no pack removed");
        assert_eq!(test.catalog.distrusted().unwrap().packs, []);

        // One is put back, the other one is given up.
        test.blobs.overwrite(&domain_key, key);
        test.blobs.overwrite(lost[1].0, lost[1].1.clone());
        promised.remove(copies[0].domain_id(), copies[0].manifest_id());
        let done = collect_promised(&test, &Running::default(), &promised, false);

        assert_eq!((done.end, done.deleted), (CollectionEnd::Done, 1));
        assert_eq!(read_all(&copies[1]).unwrap(), content);
    }
}

#[test]
fn what_was_condemned_is_kept_again_when_a_promised_copy_is_missing_at_the_second_count() {
    let (test, [first, second], content) = two_copies(0);
    delete(&test, &first);
    let promised = promises(std::slice::from_ref(&second));
    let key = manifest_key(&test.blobs, &second);
    let bytes = test.blobs.get(&key).unwrap();
    let running = Running(Mutex::new(vec![ManifestId::random()]));
    let end_of_copy = &mut |_| {
        running.0.lock().unwrap().clear();
        test.blobs.delete(&key).unwrap();
        ControlFlow::Continue(())
    };

    let options = CollectOptions::default();
    let refused = test
        .vault
        .collect(&running, &promised, &options, end_of_copy, &|| false);

    let refused = refused.unwrap();
    assert_eq!((refused.end, refused.released), (CollectionEnd::Refused, 1));
    assert_eq!(refused.unreadable[0].object, key.as_str());
    test.blobs.overwrite(&key, bytes);
    let done = collect_promised(&test, &Running::default(), &promised, false);
    assert_eq!((done.end, done.deleted), (CollectionEnd::Done, 1));
    assert_eq!(read_all(&second).unwrap(), content);
}

/// Promises of which one is seen to be taken back or made good at the worst moment.
struct Moved<'a> {
    promised: &'a Promises,
    when_shown: &'a (dyn Fn() + Sync),
}

impl PromisedCopies for Moved<'_> {
    fn visit(&self, visit: CopyVisitor<'_>) -> Result<(), CatalogError> {
        self.promised.visit(&mut |copies| {
            (self.when_shown)();
            visit(copies)
        })
    }

    fn is_promised(&self, domain: DomainId, copy: ManifestId) -> Result<bool, CatalogError> {
        self.promised.is_promised(domain, copy)
    }
}

#[test]
fn a_copy_that_is_deleted_while_it_is_looked_for_is_not_missing() {
    let (test, copies, _) = two_copies(0);
    let promised = promises(&copies);
    delete(&test, &copies[0]);
    let moved = Moved {
        promised: &promised,
        when_shown: &|| promised.remove(copies[0].domain_id(), copies[0].manifest_id()),
    };

    let impatient = &mut |_| ControlFlow::Break(());
    let options = CollectOptions::default();
    let done = test
        .vault
        .collect(&Running::default(), &moved, &options, impatient, &|| false)
        .unwrap();

    assert_eq!((done.end, done.deleted), (CollectionEnd::Done, 1));
}

#[test]
fn a_copy_that_is_put_back_while_it_is_looked_for_is_counted() {
    let (test, copies, content) = two_copies(0);
    let promised = promises(&copies);
    let key = manifest_key(&test.blobs, &copies[1]);
    let bytes = test.blobs.get(&key).unwrap();
    test.blobs.delete(&key).unwrap();
    let moved = Moved {
        promised: &promised,
        when_shown: &|| test.blobs.overwrite(&key, bytes.clone()),
    };

    let impatient = &mut |_| ControlFlow::Break(());
    let options = CollectOptions::default();
    let done = test
        .vault
        .collect(&Running::default(), &moved, &options, impatient, &|| false)
        .unwrap();

    assert_eq!((done.end, done.condemned), (CollectionEnd::Done, 0));
    assert_eq!(read_all(&copies[1]).unwrap(), content);
}

#[test]
fn a_store_that_is_away_as_a_whole_fails_the_collection() {
    let (test, copies, _) = two_copies(0);
    for key in test.blobs.keys() {
        test.blobs.delete(&key).unwrap();
    }

    let impatient = &mut |_| ControlFlow::Break(());
    let (promised, options) = (promises(&copies), CollectOptions::default());
    let failed = test
        .vault
        .collect(&Running::default(), &promised, &options, impatient, &|| false);

    assert!(matches!(failed, Err(VaultError::NotAVault)), "{failed:?}");
}
