//! Every index keeps the promises of the port.

mod redb {
    use snapshot_vault::RedbIndex;

    snapshot_vault::chunk_index_contract!({
        let folder = tempfile::tempdir().unwrap();
        (RedbIndex::open(&folder.path().join("chunks.redb")).unwrap(), folder)
    });
}

mod memory {
    snapshot_vault::chunk_index_contract!((snapshot_vault::testing::MemoryIndex::default(), ()));
}
