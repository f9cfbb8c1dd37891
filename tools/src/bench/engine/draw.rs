//! Which key comes next, and whether it is written or read.

use super::args::Distribution;
use crate::bench::workload::{Mix, Random};

/// Skew of the zipfian distribution.
const THETA: f64 = 0.99;

/// Draws operations; the same ones for the same seed.
#[derive(Debug, Clone)]
pub(super) struct Draw {
    random: Random,
    keys: u64,
    zipf: Option<Zipf>,
    set_percent: u64,
}

impl Draw {
    /// Operations on the first `keys` keys.
    pub(super) fn new(distribution: Distribution, keys: u64, mix: Mix, seed: u64) -> Self {
        let zipf = match distribution {
            Distribution::Uniform => None,
            Distribution::Zipfian => Some(Zipf::new(keys)),
        };
        let set_percent = u64::from(mix.set_percent());
        Self { random: Random::new(seed), keys, zipf, set_percent }
    }

    /// Writes of keys that are drawn evenly.
    pub(super) fn uniform(keys: u64, seed: u64) -> Self {
        Self::new(Distribution::Uniform, keys, Mix::SET, seed)
    }

    /// The next key's number.
    pub(super) fn key(&mut self) -> u64 {
        let random = self.random.next();
        match &self.zipf {
            None => random % self.keys,
            Some(zipf) => zipf.rank(random as f64 / (1_u64 << Random::BITS) as f64),
        }
    }

    /// Whether the next operation is a write.
    pub(super) fn is_write(&mut self) -> bool {
        self.set_percent == 100 || self.random.next() % 100 < self.set_percent
    }
}

/// Ranks from 0, each less frequent than the one before: Gray et al., "Quickly generating
/// billion-record synthetic databases", as YCSB has it. A rank is a key's number: keys of
/// neighbouring numbers are far apart already.
#[derive(Debug, Clone, Copy)]
struct Zipf {
    keys: u64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    fn new(keys: u64) -> Self {
        let zeta = zeta(keys);
        let two = (2.0 / keys as f64).powf(1.0 - THETA);
        let eta = (1.0 - two) / (1.0 - zeta_of_two() / zeta);
        Self { keys, zeta, alpha: 1.0 / (1.0 - THETA), eta }
    }

    /// The rank that belongs to an evenly drawn number of [0, 1).
    fn rank(&self, drawn: f64) -> u64 {
        let scaled = drawn * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < zeta_of_two() {
            return 1;
        }
        let share = (self.eta * drawn - self.eta + 1.0).powf(self.alpha);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of keys"
        )]
        let rank = (self.keys as f64 * share) as u64;
        rank.min(self.keys - 1)
    }
}

fn zeta(keys: u64) -> f64 {
    (1..=keys).map(|rank| (rank as f64).powf(-THETA)).sum()
}

fn zeta_of_two() -> f64 {
    1.0 + 0.5_f64.powf(THETA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_draws_reach_every_key_and_no_other() {
        let mut draw = Draw::uniform(100, 1);
        let mut counts = [0; 100];
        for _ in 0..100_000 {
            assert!(draw.is_write());
            counts[usize::try_from(draw.key()).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (700..1_300).contains(count)), "{counts:?}");
    }

    #[test]
    fn zipfian_draws_have_the_frequencies_of_their_ranks() {
        const DRAWS: u32 = 200_000;
        let mut draw = Draw::new(Distribution::Zipfian, 10_000, Mix::SET, 2);
        let mut counts = vec![0; 10_000];
        for _ in 0..DRAWS {
            counts[usize::try_from(draw.key()).unwrap()] += 1;
        }
        let zeta = zeta(10_000);
        // The method is exact for the first two and an approximation for those behind them.
        for (rank, tolerance) in [(1_u32, 0.05), (2, 0.07), (10, 0.25), (100, 0.4)] {
            let expected = f64::from(DRAWS) * f64::from(rank).powf(-THETA) / zeta;
            let found = f64::from(counts[rank as usize - 1]);
            assert!((found / expected - 1.0).abs() < tolerance, "{rank}: {found} not {expected}");
        }
        assert!(counts[5_000..].iter().sum::<i32>() > 0);
    }

    #[test]
    fn a_mix_has_its_share_of_writes() {
        let mix = "20%set".parse().unwrap();
        let mut draw = Draw::new(Distribution::Uniform, 10, mix, 3);
        let writes = (0..10_000).filter(|_| draw.is_write()).count();
        assert!((1_800..2_200).contains(&writes), "{writes}");
    }
}
