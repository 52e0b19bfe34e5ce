//! The size of a volume.

use std::fmt;

use thiserror::Error;

/// A volume's full (virtual) size in bytes: a multiple of 512, at least 512, at most 16 TiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeSize(u64);

/// Why a number of bytes is no [`VolumeSize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidSize {
    /// No bytes at all.
    #[error("must be at least {sector} bytes", sector = VolumeSize::SECTOR_BYTES)]
    Zero,
    /// Ends in the middle of a sector.
    #[error("must be a multiple of {sector} bytes", sector = VolumeSize::SECTOR_BYTES)]
    NotWholeSectors,
    /// More than [`VolumeSize::MAX`].
    #[error("must be at most {max} bytes (16 TiB)", max = VolumeSize::MAX.as_bytes())]
    TooLarge,
}

impl VolumeSize {
    /// The unit that sizes are multiples of, in bytes: the smallest sector that disks have.
    pub const SECTOR_BYTES: u64 = 512;
    /// The largest volume: 16 TiB.
    pub const MAX: Self = Self(16 << 40);

    /// Takes a number of bytes as a size.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`] says which rule the number breaks.
    pub const fn from_bytes(bytes: u64) -> Result<Self, InvalidSize> {
        if bytes == 0 {
            return Err(InvalidSize::Zero);
        }
        if !bytes.is_multiple_of(Self::SECTOR_BYTES) {
            return Err(InvalidSize::NotWholeSectors);
        }
        if bytes > Self::MAX.0 {
            return Err(InvalidSize::TooLarge);
        }
        Ok(Self(bytes))
    }

    /// The size in bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for VolumeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_sectors_up_to_16_tib() {
        assert_eq!(VolumeSize::from_bytes(0), Err(InvalidSize::Zero));
        assert_eq!(VolumeSize::from_bytes(511), Err(InvalidSize::NotWholeSectors));
        assert_eq!(VolumeSize::from_bytes(512).map(VolumeSize::as_bytes), Ok(512));
        assert_eq!(VolumeSize::from_bytes(16 << 40), Ok(VolumeSize::MAX));
        assert_eq!(VolumeSize::from_bytes((16 << 40) + 512), Err(InvalidSize::TooLarge));
    }
}
