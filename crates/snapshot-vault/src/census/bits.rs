//! A set of records.

/// A bit for each of a known number of records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    /// Adds a record. Whether it was not there.
    pub(crate) fn insert(&mut self, number: usize) -> bool {
        let (word, bit) = (&mut self.0[number / 64], 1 << (number % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_until_it_is_cleared() {
        let mut bits = Bits::new(130);
        for number in [0, 63, 64, 129] {
            assert!(bits.insert(number) && !bits.insert(number));
        }

        let held: Vec<usize> = (0..130).filter(|number| bits.contains(*number)).collect();

        assert_eq!(held, [0, 63, 64, 129]);
        bits.clear();
        assert!((0..130).all(|number| !bits.contains(number)));
    }
}
