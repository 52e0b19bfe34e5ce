//! Naming the bytes of volumes without telling what the name is made of.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use snapshot_domain::VolumeId;

/// Makes entity tags of the versions of volumes' bytes. A version tells of the host: the number of a file counts what everybody
/// makes, other organizations too. So it goes out as a code under a key that no client has.
pub struct BytesTags(hmac::Key);

impl BytesTags {
    /// Tags that stay the same as long as the secret does.
    pub fn of(secret: &[u8]) -> Self {
        // A key of its own, so that the secret itself is not kept.
        let secret = hmac::Key::new(HMAC_SHA256, secret);
        let key = hmac::sign(&secret, b"entity tags of volumes' bytes");
        Self(hmac::Key::new(HMAC_SHA256, key.as_ref()))
    }

    /// The entity tag, without its quotes, of one version of a volume's bytes.
    pub(super) fn tag(&self, volume: VolumeId, version: &str) -> String {
        let code = hmac::sign(&self.0, format!("{volume} {version}").as_bytes());
        let half = code.as_ref().first_chunk().expect("a code of SHA-256 has 32 bytes");
        format!("{:032x}", u128::from_be_bytes(*half))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tag_follows_from_secret_volume_and_version() {
        let tag =
            |secret: &[u8], volume, version| BytesTags::of(secret).tag(VolumeId::new(Uuid::from_u128(volume)), version);

        assert_eq!(tag(b"a", 1, "v"), tag(b"a", 1, "v"));
        assert_eq!(tag(b"a", 1, "v").len(), 32);
        for other in [tag(b"b", 1, "v"), tag(b"a", 2, "v"), tag(b"a", 1, "w")] {
            assert_ne!(other, tag(b"a", 1, "v"));
        }
    }
}
