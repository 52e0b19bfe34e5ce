//! What the vault itself knows of its snapshots: their manifests, read back.

use std::error::Error as StdError;

use chrono::DateTime;
use snapshot_domain::{
    ArchivedSnapshot, BaseVolume, Content, ContentDigest, Error, Name, OrganizationId, Resource, Result, SnapshotId,
    Tags, Timestamp, VolumeId, VolumeSize, VolumeType, ports::SnapshotArchive,
};
use snapshot_vault::{StoredCopy, Vault, VaultError};

use crate::{content::open_manifest, description::Description, error::domain_error};

const WHAT: &str = "manifest";

/// Reads the manifests of a vault.
pub struct VaultArchive(Vault);

impl VaultArchive {
    /// The manifests of this vault.
    pub const fn new(vault: Vault) -> Self {
        Self(vault)
    }
}

impl SnapshotArchive for VaultArchive {
    fn domains(&self) -> Result<Vec<OrganizationId>> {
        let domains = self.0.domains().map_err(unavailable)?;
        Ok(domains
            .into_iter()
            .map(|id| OrganizationId::new(id.as_uuid()))
            .collect())
    }

    fn list(&self) -> Result<Vec<(OrganizationId, SnapshotId)>> {
        let copies = self.0.copies().map_err(unavailable)?.into_iter();
        Ok(copies
            .map(|(domain, id)| (OrganizationId::new(domain.as_uuid()), SnapshotId::new(id.as_uuid())))
            .collect())
    }

    fn read(&self, domain: OrganizationId, snapshot: SnapshotId) -> Result<ArchivedSnapshot> {
        let copy = open_manifest(&self.0, domain, snapshot).map_err(|error| match error {
            VaultError::Damaged { object, reason, .. } => Error::corrupt(WHAT, format!("{object}: {reason}")),
            error @ VaultError::UnsupportedVersion { .. } => Error::corrupt(WHAT, error),
            VaultError::ManifestNotFound(_) => Error::NotFound {
                resource: Resource::Snapshot,
                id: snapshot.as_uuid(),
            },
            error => unavailable(error),
        })?;
        archived(domain, snapshot, &copy).map_err(|cause| Error::corrupt(WHAT, cause))
    }
}

fn unavailable(error: VaultError) -> Error {
    domain_error(error, 0)
}

fn archived(
    domain: OrganizationId,
    id: SnapshotId,
    copy: &StoredCopy,
) -> Result<ArchivedSnapshot, Box<dyn StdError + Send + Sync>> {
    let description: Description = serde_json::from_slice(copy.metadata())?;
    if description.id != id.as_uuid() {
        return Err(format!("it describes the snapshot {}", description.id).into());
    }
    Ok(ArchivedSnapshot {
        id,
        organization: OrganizationId::new(description.organization),
        domain,
        name: Name::parse(&description.name)?,
        tags: Tags::parse(&description.tags)?,
        base_volume: BaseVolume {
            id: VolumeId::new(description.base_volume.id),
            name: Name::parse(&description.base_volume.name)?,
        },
        size: VolumeSize::from_bytes(copy.size_bytes())?,
        volume_type: VolumeType::parse(&description.volume_type).ok_or("its volume is of an unknown type")?,
        created_at: Timestamp::new(DateTime::parse_from_rfc3339(&description.creation_date)?.to_utc()),
        content: Content {
            digest: ContentDigest::parse(&copy.digest().to_string())?,
            stored_bytes: copy.stored_bytes(),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use snapshot_domain::{
        Snapshot,
        testing::{InMemoryStore, a_snapshot, an_organization_id},
    };
    use snapshot_vault::{DomainId, LocalBlobs, MasterKey, RedbIndex, VaultOptions};

    use super::*;
    use crate::{VaultCatalog, content::manifest_of, description::describe};

    /// A vault with one copy of nothing, under this snapshot's name and with this description.
    fn a_vault(folder: &std::path::Path, snapshot: &Snapshot, description: &[u8]) -> Vault {
        let vault = Vault::open(
            Arc::new(LocalBlobs::open(&folder.join("vault")).unwrap()),
            &MasterKey::generate().unwrap(),
            Arc::new(RedbIndex::open(&folder.join("index")).unwrap()),
            Arc::new(VaultCatalog::new(Arc::new(InMemoryStore::default()))),
            VaultOptions::default(),
        )
        .unwrap();
        let domain = vault.domain(DomainId::new(snapshot.domain().as_uuid())).unwrap();
        let session = domain
            .begin_copy(manifest_of(snapshot.id()), snapshot.size().as_bytes(), None)
            .unwrap();
        session.commit(description).unwrap();
        vault
    }

    #[test]
    fn a_snapshot_is_read_back_as_it_was_described() {
        let folder = tempfile::tempdir().unwrap();
        let (owner, maker) = (an_organization_id(), an_organization_id());
        let described = a_snapshot(owner)
            .named("vor dem „Upgrade“ 🗄")
            .tagged(&["b", " a "])
            .sealed_for(maker)
            .build();
        let archive = VaultArchive::new(a_vault(folder.path(), &described, &describe(&described)));

        let listed = archive.list().unwrap();
        let read = Snapshot::from(archive.read(maker, described.id()).unwrap());

        assert_eq!(listed, [(maker, described.id())]);
        assert_eq!(archive.domains().unwrap(), [maker]);
        assert_eq!((read.organization(), read.domain()), (owner, maker));
        assert_eq!((read.name(), read.tags()), (described.name(), described.tags()));
        assert_eq!(read.base_volume(), described.base_volume());
        assert_eq!(
            (read.size(), read.volume_type(), read.created_at()),
            (described.size(), described.volume_type(), described.created_at())
        );
        assert!(
            read.readable()
                .unwrap()
                .content()
                .digest
                .as_str()
                .starts_with("blake3-")
        );
    }

    #[test]
    fn a_description_of_another_snapshot_or_of_nothing_is_corrupt() {
        let owner = an_organization_id();
        let (snapshot, other) = (a_snapshot(owner).build(), a_snapshot(owner).build());
        for description in [&describe(&other)[..], b"{}", b"", b"\xff"] {
            let folder = tempfile::tempdir().unwrap();
            let archive = VaultArchive::new(a_vault(folder.path(), &snapshot, description));

            let read = archive.read(owner, snapshot.id());

            assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
        }
    }

    #[test]
    fn a_description_with_fields_of_a_later_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = a_snapshot(an_organization_id()).build();
        let mut description: serde_json::Value = serde_json::from_slice(&describe(&snapshot)).unwrap();
        description["added later"] = serde_json::json!({"a": 1});
        let archive = VaultArchive::new(a_vault(folder.path(), &snapshot, description.to_string().as_bytes()));

        let read = archive.read(snapshot.domain(), snapshot.id()).unwrap();

        assert_eq!(read.name, *snapshot.name());
    }
}
