//! Elementary functions and sums whose bits are ours: fixed sequences of IEEE operations.
//!
//! Every function here is a straight line of operations that AVX2, AVX-512 and NEON have as well: add, multiply,
//! divide, square root, fused multiply-add, round to even, shifts, selects. Vector kernels follow the same lines with
//! the same constants and so give the same bits. Described in `docs/arithmetic.md`, "Functions" and "Lanes".
//!
//! Polynomials are minimax fits (Remez exchange, relative error) with coefficients rounded to binary32, lowest power
//! first; the two lowest coefficients of `exp` and the lowest of `ln` are fixed at their exact values.

/// Below this, [`exp`] is 0: half of the smallest denormal is `e^-103.97`.
pub const EXP_MIN: f32 = -104.0;
/// Above this, [`exp`] is infinite: the largest finite value is `e^88.72`.
pub const EXP_MAX: f32 = 89.0;
/// `1 / ln 2`.
pub const LOG2_E: f32 = f32::from_bits(0x3fb8_aa3b);
/// The upper 16 bits of `ln 2`: its product with any exponent is exact.
pub const LN2_HI: f32 = f32::from_bits(0x3f31_7200);
/// `ln 2 - LN2_HI`.
pub const LN2_LO: f32 = f32::from_bits(0x35bf_be8e);
/// Of `e^r`, `|r| <= ln 2 / 2`; error of the fit below `4e-9`.
pub const EXP: [f32; 7] = [
    1.0,
    1.0,
    f32::from_bits(0x3eff_fffe),
    f32::from_bits(0x3e2a_aa49),
    f32::from_bits(0x3d2a_ac78),
    f32::from_bits(0x3c09_1d0b),
    f32::from_bits(0x3ab5_146b),
];
/// Of `(ln(1 + f) - f) / f^2`, `sqrt(1/2) <= 1 + f < sqrt(2)`; error of the fit below `5e-9` of `ln(1 + f)`.
pub const LN: [f32; 9] = [
    f32::from_bits(0xbeff_fffc),
    f32::from_bits(0x3eaa_aaa8),
    f32::from_bits(0xbe80_0213),
    f32::from_bits(0x3e4c_d1f9),
    f32::from_bits(0xbe2a_13b7),
    f32::from_bits(0x3e11_38ce),
    f32::from_bits(0xbe07_9bb3),
    f32::from_bits(0x3e04_2432),
    f32::from_bits(0xbd9c_1811),
];
/// Bits of `sqrt(1/2)`, where [`ln`] cuts the binades.
pub const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
/// `2^23`, which brings denormals among the normal numbers.
pub const TWO_23: f32 = 8_388_608.0;
/// The cubic term of the tanh approximation of GELU (Hendrycks and Gimpel 2016).
pub const GELU_CUBIC: f32 = 0.044715;
/// `2 sqrt(2 / pi)`.
pub const GELU_SCALE: f32 = f32::from_bits(0x3fcc_422a);
/// From here on [`softplus`] is the identity.
pub const SOFTPLUS_MAX: f32 = 20.0;

/// `e^x`. Overflows to infinity and underflows through denormals to 0.
pub fn exp(x: f32) -> f32 {
    // Written as selects so that NaN passes through.
    let x = if x < EXP_MIN { EXP_MIN } else { x };
    let x = if x > EXP_MAX { EXP_MAX } else { x };
    let n = (x * LOG2_E).round_ties_even();
    let r = n.mul_add(-LN2_HI, x);
    let r = n.mul_add(-LN2_LO, r);
    let p = horner(&EXP, r);
    // One factor of 2^n may not exist. With two, the first product is exact and only the second can round.
    let n = n as i32;
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n - half)
}

/// Natural logarithm: `-inf` at zeros, NaN below.
pub fn ln(x: f32) -> f32 {
    let denormal = x < f32::MIN_POSITIVE;
    let scaled = if denormal { x * TWO_23 } else { x };
    let extra = if denormal { 23 } else { 0 };
    let bits = scaled.to_bits() as i32;
    let exponent = bits.wrapping_sub(SQRT_HALF_BITS as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub(exponent << 23) as u32);
    let e = (exponent - extra) as f32;
    let f = m - 1.0;
    let y = horner(&LN, f) * (f * f);
    let y = e.mul_add(LN2_LO, y);
    let y = e.mul_add(LN2_HI, f + y);
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    let y = if x < 0.0 { f32::NAN } else { y };
    if x < f32::INFINITY { y } else { x } // infinity and NaN
}

/// `ln(1 + x)`, accurate for small `x`: the rounding of `1 + x` is divided out (Kahan; Goldberg 1991, theorem 4).
pub fn ln_1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let y = ln(u) * (x / (u - 1.0));
    if u == 1.0 || u == f32::INFINITY { x } else { y }
}

/// `1 / (1 + e^-x)`; 0 below -88.7, where `e^-x` overflows.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x * sigmoid(x)`.
pub fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// GELU by its tanh approximation, with `0.5 (1 + tanh y) = sigmoid(2y)`.
pub fn gelu_tanh(x: f32) -> f32 {
    let u = x * x;
    let t = u.mul_add(GELU_CUBIC, 1.0) * x;
    x * sigmoid(GELU_SCALE * t)
}

/// `ln(1 + e^x)`.
pub fn softplus(x: f32) -> f32 {
    let y = ln_1p(exp(x));
    if x > SOFTPLUS_MAX { x } else { y }
}

/// `2 sigmoid(2x) - 1`: absolutely, not relatively, accurate around 0.
pub fn tanh(x: f32) -> f32 {
    2f32.mul_add(sigmoid(2.0 * x), -1.0)
}

/// Sum of products over 16 lanes. Lengths must agree.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "dot of {} with {} values", a.len(), b.len());
    let mut lanes = [0.0; 16];
    for i in 0..a.len().next_multiple_of(16) {
        let (a, b) = (a.get(i).unwrap_or(&0.0), b.get(i).unwrap_or(&0.0));
        lanes[i % 16] = a.mul_add(*b, lanes[i % 16]);
    }
    tree_sum(lanes)
}

/// Sum over 16 lanes.
pub fn sum(terms: &[f32]) -> f32 {
    let mut lanes = [0.0; 16];
    for i in 0..terms.len().next_multiple_of(16) {
        lanes[i % 16] += terms.get(i).unwrap_or(&0.0);
    }
    tree_sum(lanes)
}

/// The lanes' sum: halves onto each other, four times.
pub fn tree_sum(mut lanes: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        for j in 0..half {
            lanes[j] += lanes[j + half];
        }
    }
    lanes[0]
}

/// `1 / sqrt(mean of squares + eps)`, the factor of an RMS norm.
pub fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let mean = dot(x, x) / x.len() as f32;
    1.0 / (mean + eps).sqrt()
}

/// The largest magnitude, of bits: infinity and then NaN are on top.
pub(crate) fn largest_magnitude(x: &[f32]) -> f32 {
    f32::from_bits(x.iter().map(|x| x.abs().to_bits()).max().unwrap_or(0))
}

/// Polynomial with the lowest power's coefficient first.
fn horner(coefficients: &[f32], x: f32) -> f32 {
    coefficients.iter().copied().rev().reduce(|acc, c| acc.mul_add(x, c)).expect("at least one coefficient")
}

/// `2^n` for `-126 <= n <= 127`.
pub(crate) const fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) << 23) as u32)
}

#[cfg(test)]
mod tests;
