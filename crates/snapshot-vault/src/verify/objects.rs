//! The small objects: the vault's description, keys of domains, manifests.

use super::Check;
use crate::blob::{BlobEntry, BlobError, BlobKey};
use crate::domain::Domain;
use crate::error::VaultError;
use crate::format::{Flaw, config, domain_key, manifest, names};
use crate::id::{ChunkSize, DomainId, ManifestId};
use crate::key::DomainKeys;
use crate::read::{Lost, StoredCopy};
use crate::vault::{MAX_FIXED_OBJECT_BYTES, Vault};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// The domains of a vault, as far as their keys open.
pub(super) struct Domains {
    chunk_size: ChunkSize,
    /// The damage by which a domain's copies are lost, where its key does not open.
    domains: BTreeMap<DomainId, Result<Domain, usize>>,
}

impl Domains {
    pub(super) fn opened(&self, id: DomainId) -> Option<(&DomainKeys, ChunkSize)> {
        let domain = self.domains.get(&id)?.as_ref().ok()?;
        Some((&domain.core.keys, self.chunk_size))
    }
}

impl Check<'_> {
    /// Checks the objects beside the packs without any key.
    pub(super) fn stored_objects(&self, manifests: &[(DomainId, ManifestId)]) -> Result<(), VaultError> {
        match self.object(&names::config(), MAX_FIXED_OBJECT_BYTES)? {
            Some(bytes) => self.note(&names::config(), config::check_stored(&bytes)),
            None => return Err(VaultError::NotAVault),
        }
        for domain in self.list_keys(manifests)? {
            let name = names::domain_key(domain);
            if let Some(bytes) = self.object(&name, MAX_FIXED_OBJECT_BYTES)? {
                self.note(&name, domain_key::check_stored(&bytes, domain));
            } else if manifests.iter().any(|(owner, _)| *owner == domain) {
                self.note(&name, Err(Flaw::Bytes("it is gone, and its copies are still there")));
            }
        }
        for (domain, id) in manifests {
            let name = names::manifest(*domain, *id);
            if let Some(bytes) = self.object(&name, manifest::max_bytes(ChunkSize::MIN))? {
                self.note(&name, manifest::check_stored(&bytes, *domain, *id));
                self.findings().checked.copies += 1;
            }
        }
        Ok(())
    }

    /// Opens the keys of all domains.
    pub(super) fn domains(&self, vault: &Vault, manifests: &[(DomainId, ManifestId)]) -> Result<Domains, VaultError> {
        let mut domains = BTreeMap::new();
        for id in self.list_keys(manifests)? {
            let domain = match vault.existing_domain(id) {
                Ok(domain) => Ok(domain),
                Err(error) => {
                    let lost = Lost::by(error, 0..u64::MAX)?;
                    Err(self.findings().object(&lost.object, lost.reason))
                }
            };
            domains.insert(id, domain);
        }
        Ok(Domains {
            chunk_size: vault.chunk_size(),
            domains,
        })
    }

    /// Opens a copy; `None` when it is damaged or can't be read, which is noted, or gone by now.
    pub(super) fn open_copy(
        &self,
        domains: &Domains,
        domain: DomainId,
        id: ManifestId,
    ) -> Result<Option<StoredCopy>, VaultError> {
        let everything = 0..u64::MAX;
        self.findings().copy(domain, id);
        let opened = match domains.domains.get(&domain) {
            Some(Ok(opened)) => opened.open_manifest(id),
            Some(Err(damage)) => {
                self.findings().lost(*damage, domain, id, everything);
                return Ok(None);
            }
            None => return Ok(None),
        };
        self.findings().checked.copies += 1;
        match opened {
            Ok(copy) => Ok(Some(copy)),
            Err(VaultError::ManifestNotFound(_)) => {
                self.findings().checked.copies -= 1;
                self.findings().copy_is_gone(domain, id);
                Ok(None)
            }
            Err(error) => {
                let lost = Lost::by(error, everything)?;
                let mut findings = self.findings();
                let damage = findings.object(&lost.object, lost.reason);
                findings.lost(damage, domain, id, lost.range);
                Ok(None)
            }
        }
    }

    /// Domains that have a key, or should have one.
    fn list_keys(&self, manifests: &[(DomainId, ManifestId)]) -> Result<BTreeSet<DomainId>, VaultError> {
        let mut domains: BTreeSet<DomainId> = manifests.iter().map(|(domain, _)| *domain).collect();
        self.blobs.list(names::DOMAIN_KEYS, &mut |entry: BlobEntry| {
            domains.extend(names::uuid_of(&entry.key).map(DomainId::new));
            ControlFlow::Continue(())
        })?;
        Ok(domains)
    }

    /// An object's bytes, of which there are `most_bytes` at most; `None` when it is not there. What the disk does not give back is noted, and is nothing.
    fn object(&self, name: &BlobKey, most_bytes: u64) -> Result<Option<Vec<u8>>, VaultError> {
        let read = || {
            // What is longer is cut off there, and its checks then say that it is not whole.
            let size = self.blobs.size(name)?.min(most_bytes);
            let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
            self.blobs.read(name, 0, &mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(BlobError::NotFound { .. }) => Ok(None),
            // Its checks then say that it is too short.
            Err(BlobError::Short { .. } | BlobError::Io { .. }) => Ok(Some(Vec::new())),
            Err(error) => Err(error.into()),
        }
    }

    fn note(&self, object: &BlobKey, outcome: Result<(), Flaw>) {
        if let Err(flaw) = outcome {
            self.findings().object(object.as_str(), flaw.reason());
        }
    }
}
