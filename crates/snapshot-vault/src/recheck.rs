//! Which chunks are opened again before they are stored.

/// The share of chunks, in percent, that a worker opens again and compares with what it read.
///
/// A bit that memory keeps getting wrong lies in buffers that are used for every chunk, and a processor or library that
/// fails at some data does so again and again: some chunks in a hundred find them within mebibytes. A single wrong bit
/// is found for sure only when every chunk is opened, which makes a first copy a quarter dearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecheckShare(u8);

impl RecheckShare {
    /// A share of 0 to 100 percent; `None` for more.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 { Some(Self(percent)) } else { None }
    }
}

impl Default for RecheckShare {
    /// One chunk in twenty.
    fn default() -> Self {
        Self(5)
    }
}

/// Picks one worker's chunks: the first, and then evenly as many as the share says.
#[derive(Debug)]
pub(crate) struct Recheck {
    share: RecheckShare,
    /// In hundredths of a chunk.
    due: u8,
}

impl Recheck {
    pub(crate) const fn new(share: RecheckShare) -> Self {
        Self {
            share,
            due: 100 - share.0,
        }
    }

    /// Whether the next chunk is one to open.
    pub(crate) const fn is_next(&mut self) -> bool {
        self.due += self.share.0;
        let is_due = self.share.0 > 0 && self.due >= 100;
        if is_due {
            self.due -= 100;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(percent: u8, chunks: usize) -> Vec<usize> {
        let mut recheck = Recheck::new(RecheckShare::new(percent).unwrap());
        (0..chunks).filter(|_| recheck.is_next()).collect()
    }

    #[test]
    fn the_first_chunk_is_opened_and_then_every_so_many() {
        assert_eq!(picked(5, 60), [0, 20, 40]);
        assert_eq!(picked(40, 10), [0, 3, 5, 8]);
    }

    #[test]
    fn all_are_opened_or_none() {
        assert_eq!(picked(100, 300).len(), 300);
        assert_eq!(picked(0, 300).len(), 0);
    }

    #[test]
    fn no_more_than_all_can_be_asked_for() {
        assert_eq!(RecheckShare::new(101), None);
    }
}
