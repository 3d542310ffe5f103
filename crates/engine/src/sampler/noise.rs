//! Noise that anyone can compute, in any order, on any device: a function of seed, position and token.
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011) turns a key and a counter
//! into four words. How they become noise is defined in `docs/arithmetic.md`, "Noise".

/// Stream tag of sampling, in the counter's third word.
pub const SAMPLING: u32 = 0;

/// Above this, no noise lies: that of the largest word, `-ln(-ln(1 - 2^-33))` is 22.87.
pub const LARGEST: f32 = 23.0;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// The golden ratio and the square root of 3 minus 1, as fractions of 2^32.
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const N_ROUNDS: usize = 10;

/// Four random words for a counter.
pub fn philox(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    for _ in 0..N_ROUNDS {
        let [a, b] = [0, 1].map(|i| u64::from(MULTIPLIERS[i]) * u64::from(counter[2 * i]));
        let (low, high) = (|x: u64| x as u32, |x: u64| (x >> 32) as u32);
        counter = [high(b) ^ counter[1] ^ key[0], low(b), high(a) ^ counter[3] ^ key[1], low(a)];
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    counter
}

/// The noise of one request's choices.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    key: [u32; 2],
}

impl Noise {
    /// Noise of a request's seed.
    pub fn new(seed: u64) -> Self {
        Noise { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// The 32 bits of token `id` at `position`.
    pub fn bits(self, id: u32, position: usize) -> u32 {
        let counter = [id / 4, position as u32, SAMPLING, 0];
        philox(self.key, counter)[(id % 4) as usize]
    }

    /// Gumbel noise of token `id` at `position`.
    pub fn gumbel(self, id: u32, position: usize) -> f32 {
        gumbel(self.bits(id, position))
    }
}

/// `-ln(-ln u)` with `u = (bits + 0.5) * 2^-32`.
///
/// The outer tail, u near 1, goes through `ln_1p`, so that no value of it is cut off.
pub fn gumbel(bits: u32) -> f32 {
    let u = (f64::from(bits) + 0.5) * (-32f64).exp2();
    let v = if u < 0.5 { -libm::log(u) } else { -libm::log1p(-(1.0 - u)) };
    -libm::log(v) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Random123's `kat_vectors`.
    #[test]
    fn philox_gives_the_known_answers() {
        assert_eq!(philox([0; 2], [0; 4]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox([!0; 2], [!0; 4]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let counter = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        let answer = [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1];
        assert_eq!(philox([0xa4093822, 0x299f31d0], counter), answer);
    }

    #[test]
    fn bits_come_from_seed_position_and_token() {
        let noise = Noise::new(0x299f31d0_a4093822);
        let words = philox([0xa4093822, 0x299f31d0], [25, 7, 0, 0]);
        assert_eq!([100, 101, 102, 103].map(|id| noise.bits(id, 7)), words);
    }

    #[test]
    fn both_tails_are_finite_and_within_bounds() {
        assert!((gumbel(0) + 3.129_994_6).abs() < 1e-6);
        assert!((gumbel(u32::MAX) - 22.873_857).abs() < 1e-5);
        assert!(gumbel(u32::MAX) < LARGEST);
        assert!(gumbel(u32::MAX - 1) < gumbel(u32::MAX), "neighbours in the upper tail differ");
    }

    #[test]
    fn mean_is_eulers_constant() {
        let noise = Noise::new(1);
        let n = 100_000;
        let sum: f64 = (0..n).map(|i| f64::from(noise.gumbel(i, 3))).sum();
        // Variance pi^2 / 6: the mean's standard error is 0.004.
        assert!((sum / f64::from(n) - 0.577_215_7).abs() < 0.016);
    }
}
