//! What every [`BlobStore`] promises, a function per promise. [`blob_store_contract!`](crate::blob_store_contract) makes
//! a test of each.

use crate::blob::{BlobEntry, BlobError, BlobKey, BlobStore, Piece};
use std::ops::ControlFlow;

/// Makes a test of each promise; the expression makes an empty store, and whatever must live as long as it.
#[macro_export]
macro_rules! blob_store_contract {
    ($make:expr) => {
        $crate::blob_store_contract!(@each $make,
            gives_back_what_was_put,
            gives_back_what_was_written_in_pieces,
            shows_nothing_before_the_commit,
            discards_what_is_not_committed,
            never_writes_a_name_twice,
            lets_only_one_of_two_racing_writers_win,
            reads_long_pieces_from_anywhere,
            tells_a_missing_object_from_a_short_one,
            lists_all_objects_in_order,
            stops_a_listing_when_told_to,
            deletes_once_and_again,
        );
    };
    (@each $make:expr, $($promise:ident,)+) => {
        $(#[test]
        fn $promise() {
            let (store, _keep_alive) = $make;
            $crate::testing::blob_contract::$promise(&store);
        })+
    };
}

fn key(name: &str) -> BlobKey {
    BlobKey::parse(name).expect("a valid name")
}

fn listed(store: &impl BlobStore, prefix: &str) -> Vec<(String, u64)> {
    let mut names = Vec::new();
    store
        .list(prefix, &mut |BlobEntry { key, size_bytes }| {
            names.push((key.as_str().to_owned(), size_bytes));
            ControlFlow::Continue(())
        })
        .expect("the store can be listed");
    names
}

fn whole(store: &impl BlobStore, key: &BlobKey) -> Vec<u8> {
    let size = store.size(key).expect("the object is there");
    let mut bytes = vec![0; usize::try_from(size).expect("a small object")];
    store.read(key, 0, &mut bytes).expect("the object can be read");
    bytes
}

/// A small object, an empty one, and ranges of them.
///
/// # Panics
///
/// When the promise is broken; so do all functions here.
pub fn gives_back_what_was_put(store: &impl BlobStore) {
    store.put(&key("vault"), b"0123456789").expect("put");
    store.put(&key("a/b/empty"), b"").expect("put");

    let mut range = [0; 3];
    store.read(&key("vault"), 4, &mut range).expect("a range");
    assert_eq!(&range, b"456");
    assert_eq!(whole(store, &key("vault")), b"0123456789");
    assert_eq!(whole(store, &key("a/b/empty")), b"");
}

/// # Panics
///
/// When the promise is broken.
pub fn gives_back_what_was_written_in_pieces(store: &impl BlobStore) {
    let bytes: Vec<u8> = (0..9_000_000_u32).flat_map(u32::to_le_bytes).take(9_000_001).collect();
    let mut writer = store.create(&key("packs/00/big")).expect("create");
    for piece in bytes.chunks(777_777) {
        writer.write(piece).expect("write");
    }
    writer.commit().expect("commit");

    assert!(whole(store, &key("packs/00/big")) == bytes);
}

/// # Panics
///
/// When the promise is broken.
pub fn shows_nothing_before_the_commit(store: &impl BlobStore) {
    let mut writer = store.create(&key("packs/00/x")).expect("create");
    writer.write(&vec![1; 5_000_000]).expect("write");

    assert_eq!(listed(store, ""), []);
    assert!(matches!(
        store.size(&key("packs/00/x")),
        Err(BlobError::NotFound { .. })
    ));
    writer.commit().expect("commit");
    assert_eq!(listed(store, ""), [("packs/00/x".to_owned(), 5_000_000)]);
}

/// # Panics
///
/// When the promise is broken.
pub fn discards_what_is_not_committed(store: &impl BlobStore) {
    let mut writer = store.create(&key("packs/00/x")).expect("create");
    writer.write(&[1; 100]).expect("write");
    drop(writer);

    assert_eq!(listed(store, ""), []);
    store.put(&key("packs/00/x"), b"y").expect("the name is free");
}

/// # Panics
///
/// When the promise is broken.
pub fn never_writes_a_name_twice(store: &impl BlobStore) {
    store.put(&key("m/1"), b"first").expect("put");

    assert!(matches!(
        store.put(&key("m/1"), b"second"),
        Err(BlobError::AlreadyExists { .. })
    ));
    let writer = store.create(&key("m/1"));
    let refused = writer.and_then(|mut writer| {
        writer.write(b"third")?;
        writer.commit()
    });
    assert!(matches!(refused, Err(BlobError::AlreadyExists { .. })));
    assert_eq!(whole(store, &key("m/1")), b"first");
    assert_eq!(listed(store, "").len(), 1);
}

/// # Panics
///
/// When the promise is broken.
pub fn lets_only_one_of_two_racing_writers_win(store: &impl BlobStore) {
    for round in 0..20 {
        let name = key(&format!("race/{round}"));
        let put = |bytes: [u8; 1]| store.put(&name, &bytes).is_ok().then_some(bytes[0]);
        let winners: Vec<u8> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u8).map(|i| scope.spawn(move || put([i]))).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().expect("no panic"))
                .collect()
        });

        assert_eq!(winners, whole(store, &name));
    }
}

/// # Panics
///
/// When the promise is broken.
pub fn reads_long_pieces_from_anywhere(store: &impl BlobStore) {
    let bytes: Vec<u8> = (0..251).cycle().take((5 << 20) + 7).collect();
    store.put(&key("a/long"), &bytes).expect("put");
    let mut piece = Piece::default();

    for (offset, len) in [(0, bytes.len()), (0, 1), (4095, 4 << 20), (bytes.len() - 9, 9), (7, 0)] {
        store
            .read_piece(&key("a/long"), offset as u64, len, &mut piece)
            .expect("the piece is there");
        assert!(
            piece.bytes() == &bytes[offset..offset + len],
            "{len} bytes from {offset} on"
        );
    }
    let mut read = |name: &str, offset| store.read_piece(&key(name), offset, 10, &mut piece);
    assert!(matches!(read("a/long", 5 << 20), Err(BlobError::Short { .. })));
    assert!(matches!(read("a/c", 0), Err(BlobError::NotFound { .. })));
}

/// # Panics
///
/// When the promise is broken.
pub fn tells_a_missing_object_from_a_short_one(store: &impl BlobStore) {
    store.put(&key("a/b"), b"0123").expect("put");
    let read = |name: &str, offset, len: usize| store.read(&key(name), offset, &mut vec![0; len]);

    assert!(read("a/b", 0, 4).is_ok());
    assert!(matches!(read("a/b", 1, 4), Err(BlobError::Short { .. })));
    assert!(matches!(read("a/b", 99, 1), Err(BlobError::Short { .. })));
    assert!(matches!(read("a/c", 0, 1), Err(BlobError::NotFound { .. })));
    assert!(matches!(read("no/such/folder", 0, 1), Err(BlobError::NotFound { .. })));
    assert!(matches!(
        store.size(&key("no/such/folder")),
        Err(BlobError::NotFound { .. })
    ));
}

/// # Panics
///
/// When the promise is broken.
pub fn lists_all_objects_in_order(store: &impl BlobStore) {
    let mut names = vec![
        "vault".to_owned(),
        "packs-old".to_owned(),
        "packs/b".to_owned(),
        "packs/a/z".to_owned(),
    ];
    names.extend((0..300).map(|i| format!("packs/{:02x}/{i}", i % 7)));
    for name in &names {
        store.put(&key(name), b"12345").expect("put");
    }
    names.sort();
    let with_prefix = |prefix: &str| -> Vec<(String, u64)> {
        names
            .iter()
            .filter(|name| name.starts_with(prefix))
            .map(|name| (name.clone(), 5))
            .collect()
    };

    for prefix in [
        "",
        "packs",
        "packs/",
        "packs/0",
        "packs/03/",
        "packs/03/1",
        "vault",
        "nothing/",
        "w",
    ] {
        assert_eq!(listed(store, prefix), with_prefix(prefix), "prefix {prefix:?}");
    }
}

/// # Panics
///
/// When the promise is broken.
pub fn stops_a_listing_when_told_to(store: &impl BlobStore) {
    for name in ["a/1", "a/2", "b/1"] {
        store.put(&key(name), b"").expect("put");
    }
    let mut seen = 0;

    let listing = store.list("", &mut |_| {
        seen += 1;
        if seen == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });

    assert!(listing.is_ok());
    assert_eq!(seen, 2);
}

/// # Panics
///
/// When the promise is broken.
pub fn deletes_once_and_again(store: &impl BlobStore) {
    store.put(&key("a/1"), b"x").expect("put");
    store.put(&key("a/2"), b"y").expect("put");

    store.delete(&key("a/1")).expect("delete");
    store.delete(&key("a/1")).expect("delete again");
    store.delete(&key("no/such/folder")).expect("delete what never was");

    assert_eq!(listed(store, ""), [("a/2".to_owned(), 1)]);
    store.put(&key("a/1"), b"again").expect("the name is free");
}
