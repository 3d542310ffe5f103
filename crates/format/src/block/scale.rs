//! Choosing and storing scales, shared by the encoders.

use half::f16;

/// The largest number a half can hold: a scale beyond it would be stored as infinity.
const MAX_HALF: f32 = 65504.0;

/// The half at byte `at`.
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Stores `value` as the nearest half at byte `at` and returns it as it will be read.
pub(super) fn put_half(block: &mut [u8], at: usize, value: f32) -> f32 {
    let half = f16::from_f32(value.clamp(-MAX_HALF, MAX_HALF));
    block[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

/// The weight of largest magnitude, with its sign.
pub(super) fn extreme(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |most: f32, &weight| if weight.abs() > most.abs() { weight } else { most })
}

/// The least and the greatest weight.
pub(super) fn range(weights: &[f32]) -> (f32, f32) {
    weights.iter().fold((f32::MAX, f32::MIN), |(low, high), &weight| (low.min(weight), high.max(weight)))
}

/// What to multiply by instead of dividing by `scale`; 0 for 0.
pub(super) fn inverse(scale: f32) -> f32 {
    // A subnormal scale has no finite inverse; its weights are as good as zero.
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The whole number nearest to `x / scale`, held in `low..=high`, minus `low`: what is stored.
pub(super) fn code(x: f32, inverse: f32, low: f32, high: f32) -> u8 {
    ((x * inverse).round_ties_even().clamp(low, high) - low) as u8
}

/// Two levels of scales for a super-block whose quants are signed: `scale` times a small whole number per group.
pub(super) struct SignedScales<const GROUPS: usize> {
    /// The outer scale, as a half would hold it.
    pub(super) scale: f32,
    /// What it is multiplied by in each group.
    pub(super) factors: [i8; GROUPS],
}

impl<const GROUPS: usize> SignedScales<GROUPS> {
    /// Lets each group's weight of largest magnitude become `low_quant`, and the largest of these scales
    /// `low_factor`: the negative ends, since they reach one further than the positive ones.
    pub(super) fn choose(weights: &[f32], low_quant: f32, low_factor: f32) -> Self {
        let mut scales = [0.0; GROUPS];
        for (scale, group) in scales.iter_mut().zip(weights.chunks_exact(weights.len() / GROUPS)) {
            *scale = extreme(group) / low_quant;
        }
        let scale = put_half(&mut [0; 2], 0, extreme(&scales) / low_factor);
        let inverse = inverse(scale);
        let factors = scales
            .map(|scale| (scale * inverse).round_ties_even().clamp(low_factor, -low_factor - 1.0) as i8);
        Self { scale, factors }
    }
}

/// Two levels of scales and minima for a super-block whose quants count up from a minimum.
pub(super) struct AffineScales<const GROUPS: usize> {
    /// The outer scale, as a half would hold it.
    pub(super) scale: f32,
    /// The outer depth of the minima below zero, as a half would hold it.
    pub(super) depth: f32,
    /// What the scale is multiplied by in each group.
    pub(super) factors: [u8; GROUPS],
    /// What the depth is multiplied by in each group.
    pub(super) depths: [u8; GROUPS],
}

impl<const GROUPS: usize> AffineScales<GROUPS> {
    /// Lets quants `0..=top_quant` span each group's weights and zero, with inner scales `0..=top_factor`.
    pub(super) fn choose(weights: &[f32], top_quant: f32, top_factor: f32) -> Self {
        let (mut scales, mut depths) = ([0.0_f32; GROUPS], [0.0_f32; GROUPS]);
        for (i, group) in weights.chunks_exact(weights.len() / GROUPS).enumerate() {
            let (low, high) = range(group);
            // A minimum can only lie below zero in these types.
            depths[i] = (-low).max(0.0);
            scales[i] = (high / top_quant + depths[i] / top_quant).max(0.0);
        }
        let (scale, factors) = quantize_factors(&scales, top_factor);
        let (depth, depths) = quantize_factors(&depths, top_factor);
        Self { scale, depth, factors, depths }
    }

    /// The code of each weight, `0..=top_quant`.
    pub(super) fn codes(&self, weights: &[f32], top_quant: f32, codes: &mut [u8]) {
        let group = weights.len() / GROUPS;
        for (i, (weights, codes)) in
            weights.chunks_exact(group).zip(codes.chunks_exact_mut(group)).enumerate()
        {
            let inverse = inverse(self.scale * f32::from(self.factors[i]));
            let depth = self.depth * f32::from(self.depths[i]);
            for (code_out, &weight) in codes.iter_mut().zip(weights) {
                *code_out = code(weight + depth, inverse, 0.0, top_quant);
            }
        }
    }
}

fn quantize_factors<const GROUPS: usize>(values: &[f32; GROUPS], top: f32) -> (f32, [u8; GROUPS]) {
    let scale = put_half(&mut [0; 2], 0, extreme(values) / top);
    let inverse = inverse(scale);
    (scale, values.map(|value| code(value, inverse, 0.0, top)))
}
