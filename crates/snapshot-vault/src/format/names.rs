//! The names of objects.

use crate::blob::BlobKey;
use crate::id::{DomainId, ManifestId, PackId};
use uuid::Uuid;

pub(crate) const PACKS: &str = "packs/";
pub(crate) const MANIFESTS: &str = "manifests/";
pub(crate) const DOMAIN_KEYS: &str = "keys/";

pub(crate) fn config() -> BlobKey {
    BlobKey::from_valid("vault".to_owned())
}

pub(crate) fn domain_key(domain: DomainId) -> BlobKey {
    BlobKey::from_valid(format!("{DOMAIN_KEYS}{domain}"))
}

/// Packs are spread over 256 folders by the first byte of their id.
pub(crate) fn pack(pack: PackId) -> BlobKey {
    BlobKey::from_valid(format!("{PACKS}{:02x}/{pack}", pack.to_bytes()[0]))
}

pub(crate) fn manifests(domain: DomainId) -> String {
    format!("{MANIFESTS}{domain}/")
}

pub(crate) fn manifest(domain: DomainId, id: ManifestId) -> BlobKey {
    BlobKey::from_valid(format!("{}{id}", manifests(domain)))
}

/// The ids in the name of a manifest.
pub(crate) fn manifest_of(key: &BlobKey) -> Option<(DomainId, ManifestId)> {
    let (above, _) = key.as_str().strip_prefix(MANIFESTS)?.split_once('/')?;
    let ids = (
        DomainId::new(Uuid::try_parse(above).ok()?),
        ManifestId::new(uuid_of(key)?),
    );
    (manifest(ids.0, ids.1) == *key).then_some(ids)
}

/// The id in a name's last segment, when that is a UUID as this program writes it.
pub(crate) fn uuid_of(key: &BlobKey) -> Option<Uuid> {
    let segment = key.as_str().rsplit('/').next()?;
    let id = Uuid::try_parse(segment).ok()?;
    (id.hyphenated().to_string() == segment).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_packs_sort_like_their_ids_and_give_them_back() {
        let mut packs: Vec<PackId> = (0..200).map(|_| PackId::random()).collect();
        packs.sort();

        let names: Vec<BlobKey> = packs.iter().map(|id| pack(*id)).collect();

        assert!(names.is_sorted());
        assert!(
            names
                .iter()
                .zip(&packs)
                .all(|(name, id)| uuid_of(name) == Some(id.as_uuid()))
        );
    }

    #[test]
    fn other_names_give_no_id() {
        for name in ["packs/00/readme", "packs/00/67e5504410b1426f9247bb680e5fe0c8"] {
            assert_eq!(uuid_of(&BlobKey::parse(name).unwrap()), None);
        }
    }

    #[test]
    fn names_of_manifests_give_both_ids_back_and_others_none() {
        let (domain, id) = (DomainId::random(), ManifestId::random());

        assert_eq!(manifest_of(&manifest(domain, id)), Some((domain, id)));
        for name in [
            format!("manifests/{id}"),
            format!("manifests/{domain}/x/{id}"),
            format!("packs/{domain}/{id}"),
        ] {
            assert_eq!(manifest_of(&BlobKey::parse(&name).unwrap()), None, "{name}");
        }
    }
}
