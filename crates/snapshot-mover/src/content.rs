//! Reading snapshots straight out of the vault.

use snapshot_domain::{
    Error, OrganizationId, ReadableSnapshot, Result, SnapshotId,
    ports::{ReadAt, SnapshotBytes},
};
use snapshot_vault::{DomainId, ManifestId, ReadBuffers, StoredCopy, Vault, VaultError};

use crate::error::domain_error;

/// The bytes of snapshots, read from the vault and checked chunk by chunk.
pub struct VaultContent(Vault);

impl VaultContent {
    /// The snapshots of a vault.
    pub const fn new(vault: Vault) -> Self {
        Self(vault)
    }
}

/// A snapshot's manifest, opened.
pub(crate) fn open_manifest(
    vault: &Vault,
    domain: OrganizationId,
    snapshot: SnapshotId,
) -> std::result::Result<StoredCopy, VaultError> {
    vault.domain(domain_of(domain))?.open_manifest(manifest_of(snapshot))
}

/// The name of an organization's key in the vault.
pub(crate) const fn domain_of(organization: OrganizationId) -> DomainId {
    DomainId::new(organization.as_uuid())
}

/// The name of a snapshot's manifest in the vault.
pub(crate) const fn manifest_of(snapshot: SnapshotId) -> ManifestId {
    ManifestId::new(snapshot.as_uuid())
}

impl SnapshotBytes for VaultContent {
    fn open(&self, snapshot: ReadableSnapshot<'_>) -> Result<Box<dyn ReadAt>> {
        let size_bytes = snapshot.snapshot().size().as_bytes();
        let copy = open_manifest(&self.0, snapshot.snapshot().domain(), snapshot.snapshot().id())
            .map_err(|error| domain_error(error, size_bytes))?;
        if copy.digest().to_string() != snapshot.content().digest.as_str() || copy.size_bytes() != size_bytes {
            return Err(Error::corrupt(
                "snapshot",
                "its manifest tells of other bytes than its row",
            ));
        }
        Ok(Box::new(Reader {
            copy,
            buffers: ReadBuffers::default(),
        }))
    }
}

struct Reader {
    copy: StoredCopy,
    buffers: ReadBuffers,
}

impl ReadAt for Reader {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.copy
            .read_at(offset, buffer, &mut self.buffers)
            .map_err(|error| domain_error(error, self.copy.size_bytes()))
    }
}
