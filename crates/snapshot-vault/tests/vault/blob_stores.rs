//! Every store keeps the promises of the port.

mod local {
    use snapshot_vault::LocalBlobs;

    snapshot_vault::blob_store_contract!({
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        (LocalBlobs::open(folder.path()).unwrap(), folder)
    });
}

mod memory {
    snapshot_vault::blob_store_contract!((snapshot_vault::testing::MemoryBlobs::default(), ()));
}

mod faulty_without_a_fault {
    snapshot_vault::blob_store_contract!((snapshot_vault::testing::FaultyBlobs::default(), ()));
}
