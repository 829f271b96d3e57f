//! A Zipf law over a fixed number of ranks, by the method of Gray et al., "Quickly generating
//! billion-record synthetic databases" (SIGMOD 1994), as YCSB uses it.

use crate::seeded::SplitMix64;

const EXPONENT: f64 = 0.99;

/// Draws ranks in `0..ranks`, rank 0 the hottest.
#[derive(Debug, Clone)]
pub struct Zipf {
    ranks: u64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    /// Takes time linear in `ranks`: about 0.1 s for four million.
    pub fn new(ranks: u64) -> Self {
        let zeta_of = |n: u64| -> f64 { (1..=n).map(|i| (i as f64).powf(-EXPONENT)).sum() };
        let zeta = zeta_of(ranks);
        let eta = (1.0 - (2.0 / ranks as f64).powf(1.0 - EXPONENT)) / (1.0 - zeta_of(2) / zeta);
        Self { ranks, zeta, eta }
    }

    /// The next rank.
    pub fn draw(&self, random: &mut SplitMix64) -> u64 {
        let unit = random.unit();
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(EXPONENT) {
            return 1.min(self.ranks - 1);
        }
        let spread = (self.eta * unit - self.eta + 1.0).powf(1.0 / (1.0 - EXPONENT));
        ((self.ranks as f64 * spread) as u64).min(self.ranks - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_ranks_take_most_draws() {
        let zipf = Zipf::new(10_000);
        let mut random = SplitMix64::new(3);
        let draws: Vec<u64> = (0..10_000).map(|_| zipf.draw(&mut random)).collect();
        let hot = draws.iter().filter(|&&rank| rank < 100).count();
        assert!((4_000..7_000).contains(&hot), "{hot}");
        assert!(draws.iter().any(|&rank| rank > 5_000));
    }
}
