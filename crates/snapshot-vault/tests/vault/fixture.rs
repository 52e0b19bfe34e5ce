//! A vault that an earlier version wrote still reads. `tests/fixtures/v1` was written by version 1 of the format, with
//! the master key and the content below; it stays as it is when the program changes.

use crate::support::{CHUNK, PAGE, noise, read_all};
use snapshot_vault::testing::{MemoryCatalog, MemoryIndex};
use snapshot_vault::{BlobKey, BlobStore, DomainId, LocalBlobs, ManifestId, MasterKey, Vault, VaultOptions};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const DOMAIN: DomainId = DomainId::new(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
const MANIFEST: ManifestId = ManifestId::new(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002));

/// A page of zeros, a page of text with gaps, and a part of a page that ends in a short chunk that does not compress.
fn content() -> Vec<u8> {
    let mut content = vec![0; PAGE];
    for number in 0..256 + 5 {
        let line = format!("chunk {}\n", number % 50);
        let text = if number % 4 == 0 { vec![0] } else { line.into_bytes() };
        content.extend(text.iter().cycle().take(CHUNK));
    }
    content.extend(noise(1, 1234));
    content
}

/// Opens a copy of the fixture: opening a store cleans up in it.
fn open(folder: &Path) -> Vault {
    let blobs = LocalBlobs::open(folder).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1");
    copy_objects(&fixture, "", &blobs);
    let master = MasterKey::from_hex(MASTER_KEY).unwrap();
    let (index, catalog) = (Arc::new(MemoryIndex::default()), Arc::new(MemoryCatalog::default()));
    Vault::open(Arc::new(blobs), &master, index, catalog, VaultOptions::default()).unwrap()
}

fn copy_objects(fixture: &Path, above: &str, blobs: &LocalBlobs) {
    for entry in std::fs::read_dir(fixture.join(above)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{above}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            copy_objects(fixture, &format!("{name}/"), blobs);
        } else {
            blobs
                .put(&BlobKey::parse(&name).unwrap(), &std::fs::read(entry.path()).unwrap())
                .unwrap();
        }
    }
}

#[test]
fn a_vault_of_format_version_1_reads_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());

    let found = vault.reconcile().unwrap();
    let copy = vault.domain(DOMAIN).unwrap().open_manifest(MANIFEST).unwrap();

    assert_eq!((found.adopted, found.damaged.len()), (found.packs, 0));
    assert_eq!(vault.chunk_size().bytes(), 65_536);
    assert_eq!(copy.metadata(), b"{\"name\":\"fixture\"}");
    assert_eq!(
        copy.digest().to_string(),
        "blake3-65536:aca77bab830e100abd857981546143a50ced6f5ae4c9cdd0cf57febba6a9404d"
    );
    assert!(read_all(&copy).unwrap() == content());
}

#[test]
fn the_same_content_is_found_in_a_vault_of_format_version_1() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.reconcile().unwrap();

    let summary = crate::support::copy_with(&vault.domain(DOMAIN).unwrap(), &content(), None, 1, 0);

    assert_eq!(summary.new_packs, 0);
}
