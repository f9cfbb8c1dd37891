//! A small random generator: the same seed gives the same run on every machine.

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// From `low` up to, but without, `high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % (high - low).max(1)
    }

    /// A place in something of this length.
    pub fn index(&mut self, len: usize) -> usize {
        let place = self.range(0, u64::try_from(len).unwrap_or(u64::MAX));
        usize::try_from(place).unwrap_or(0)
    }

    /// True in so many of 1000 cases.
    pub fn permille(&mut self, part: u64) -> bool {
        self.range(0, 1_000) < part
    }
}
