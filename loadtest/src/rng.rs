//! Numbers that are random enough and the same for the same seed.

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Starts from a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for `name`, so that what one part draws changes nothing for another.
    pub(crate) fn of(seed: u64, name: &str) -> Self {
        Self(seed ^ crate::wire::hash(name))
    }

    /// The next 64 bits.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `count - 1`; `count` is positive.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        debug_assert!(count > 0, "nothing to choose from");
        (self.next() % count as u64) as usize
    }

    /// From 0 up to 1.
    pub(crate) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From `from` up to `to`.
    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.part()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        let mut rng = Rng::of(7, "bounds");
        for _ in 0..1_000 {
            assert!(rng.below(3) < 3);
            assert!((0.5..5.0).contains(&rng.between(0.5, 5.0)));
        }
        assert_ne!(Rng::of(7, "a").next(), Rng::of(7, "b").next());
    }
}
