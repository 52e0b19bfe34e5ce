//! The objects that lie torn in the store.

use crate::content::Content;
use snapshot_vault::testing::MemoryBlobs;
use snapshot_vault::{BlobKey, ManifestId, PackId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The objects that lie torn in the store.
#[derive(Default)]
pub(crate) struct Torn {
    pub(crate) packs: BTreeSet<PackId>,
    pub(crate) manifests: BTreeSet<ManifestId>,
    /// What the copies should hold that were to be committed.
    pub(crate) contents: BTreeMap<ManifestId, Content>,
    /// The bytes of each, by which it is told from a whole one that was put later.
    bytes: HashMap<BlobKey, Vec<u8>>,
}

impl Torn {
    /// Notes an object that was just torn. Whether it is a manifest.
    pub(crate) fn note(&mut self, key: &BlobKey, blobs: &MemoryBlobs) -> bool {
        let id = id_of(key);
        let is_manifest = key.as_str().starts_with("manifests/");
        if is_manifest {
            self.manifests.insert(ManifestId::new(id));
        } else {
            self.packs.insert(PackId::new(id));
        }
        if let Some(bytes) = blobs.get(key) {
            self.bytes.insert(key.clone(), bytes);
        }
        is_manifest
    }

    /// Forgets what was removed, or put again.
    pub(crate) fn forget_gone(&mut self, blobs: &MemoryBlobs) {
        self.bytes.retain(|key, bytes| blobs.get(key).as_ref() == Some(bytes));
        let ids: BTreeSet<_> = self.bytes.keys().map(id_of).collect();
        self.packs.retain(|pack| ids.contains(&pack.as_uuid()));
        self.manifests.retain(|manifest| ids.contains(&manifest.as_uuid()));
    }

    /// A copy of which the manifest is torn, and what it should hold.
    pub(crate) fn copy(&self) -> Option<(ManifestId, Content)> {
        let id = *self.manifests.first()?;
        Some((id, self.contents[&id].clone()))
    }

    /// The names of all.
    pub(crate) fn keys(&self) -> BTreeSet<BlobKey> {
        self.bytes.keys().cloned().collect()
    }

    /// The names of the manifests.
    pub(crate) fn manifest_keys(&self) -> BTreeSet<BlobKey> {
        let mut keys = self.keys();
        keys.retain(|key| key.as_str().starts_with("manifests/"));
        keys
    }
}

fn id_of(key: &BlobKey) -> uuid::Uuid {
    let (_, id) = key.as_str().rsplit_once('/').unwrap();
    id.parse().unwrap()
}
