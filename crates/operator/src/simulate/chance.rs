//! Chance that is the same on every machine.

/// A small generator (xorshift64*): the same seed gives the same run.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// From `seed`; 0 would give zeros for ever.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    /// An exponentially distributed number of mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        // In (0, 1], so that the logarithm is finite.
        let uniform = (self.bits() as f64 + 1.0) / (1_u64 << 53) as f64;
        -uniform.ln()
    }

    /// An index below `count`; 0 for no items.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let bits = usize::try_from(self.bits() & 0xffff_ffff).unwrap_or(0);
        bits.checked_rem(count).unwrap_or(0)
    }
}
