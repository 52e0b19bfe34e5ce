//! Fixed-size fields, little endian, one after another.

use super::{Flaw, VERSION};
use crate::seal::{CHECKSUM_BYTES, checksum};

/// Takes fields off the front of some bytes.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [u8]);

const TOO_SHORT: Flaw = Flaw::Bytes("too short");

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (array, rest) = self.0.split_first_chunk().ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Flaw> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Flaw> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Flaw> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Flaw> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Flaw> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes that are reserved, and zero.
    pub(crate) fn zeros<const N: usize>(&mut self) -> Result<(), Flaw> {
        if self.array::<N>()? == [0; N] {
            Ok(())
        } else {
            Err(Flaw::Bytes("reserved bytes are not zero"))
        }
    }

    /// The magic with which an object begins, its version, and two reserved bytes.
    pub(crate) fn magic_and_version(&mut self, magic: [u8; 8]) -> Result<(), Flaw> {
        if self.array()? != magic {
            return Err(Flaw::Bytes("it does not begin with the mark of its kind"));
        }
        match self.u16()? {
            VERSION => self.zeros::<2>(),
            version => Err(Flaw::Version(version)),
        }
    }

    pub(crate) fn end(self) -> Result<(), Flaw> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Flaw::Bytes("there are bytes after its end"))
        }
    }
}

/// Begins an object: magic, version, two reserved bytes.
pub(crate) fn begin(magic: [u8; 8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes
}

/// Ends an object with the checksum of all that it holds so far.
pub(crate) fn append_checksum(bytes: &mut Vec<u8>) {
    let sum = checksum(bytes);
    bytes.extend_from_slice(&sum);
}

/// The object without its checksum, which must be right. The magic and the version are looked at first, because an
/// object of another version may end otherwise.
pub(crate) fn checked(bytes: &[u8], magic: [u8; 8]) -> Result<Fields<'_>, Flaw> {
    let (content, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TOO_SHORT)?;
    let mut fields = Fields::new(content);
    let start = fields.magic_and_version(magic);
    if checksum(content) == *sum {
        start.map(|()| fields)
    } else if let Err(Flaw::Version(version)) = start {
        Err(Flaw::Version(version))
    } else {
        Err(Flaw::Bytes("its checksum is wrong"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_a_later_version_is_told_from_a_damaged_one() {
        let mut object = begin(*b"magic---");
        append_checksum(&mut object);
        let mut later = object.clone();
        later[8] = 2;
        let mut damaged = object.clone();
        damaged[3] ^= 1;

        assert!(checked(&object, *b"magic---").is_ok());
        assert_eq!(checked(&later, *b"magic---").err(), Some(Flaw::Version(2)));
        assert!(matches!(checked(&damaged, *b"magic---").err(), Some(Flaw::Bytes(_))));
        assert_eq!(
            checked(&object[..20], *b"magic---").err(),
            Some(Flaw::Bytes("its checksum is wrong"))
        );
        assert_eq!(
            checked(&object[..10], *b"magic---").err(),
            Some(Flaw::Bytes("too short"))
        );
    }
}
