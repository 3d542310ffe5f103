//! Products of a weight matrix with rows. `docs/arithmetic.md`, "Linear".

use dewdrop_format::{BlockType, Integers};

use crate::halves::{self, Halves};
use crate::quantize::Quantized;
use crate::{Arithmetic, Weight, math};

/// Inputs whose products are summed before they join the others.
pub const SPAN: usize = 1024;

/// `weight x` for each row: `x` is `[n_rows, n_in]`, the result `[n_rows, n_out]`.
pub fn linear(weight: &Weight, arithmetic: Arithmetic, x: &[f32]) -> Vec<f32> {
    assert!(x.len().is_multiple_of(weight.n_in), "rows of {} in {} values", weight.n_in, x.len());
    match (arithmetic, &weight.block_type.block().integers) {
        (Arithmetic::Exact, _) => decoded(weight, x),
        (Arithmetic::Quantized, Some(integers)) => quantized(weight, integers, x),
        (Arithmetic::Quantized, None) if weight.block_type == BlockType::BF16 => halves(weight, x),
        (Arithmetic::Quantized, None) => decoded(weight, x),
    }
}

/// `y = y + bias` for each row of `y`.
pub fn add_bias(y: &mut [f32], bias: &[f32]) {
    assert!(y.len().is_multiple_of(bias.len()), "bias of {} for {} values", bias.len(), y.len());
    for row in y.chunks_exact_mut(bias.len()) {
        for (y, bias) in row.iter_mut().zip(bias) {
            *y += bias;
        }
    }
}

/// One channel of a matrix as f32, as its format defines: `[n_in]`.
pub fn decode_channel(weight: &Weight, channel: usize) -> Vec<f32> {
    let mut values = vec![0.0; weight.n_in];
    (weight.block_type.block().decode)(channel_bytes(weight, channel), &mut values);
    values
}

fn channel_bytes(weight: &Weight, channel: usize) -> &[u8] {
    let n = weight.block_type.bytes_for(weight.n_in);
    &weight.blocks[channel * n..][..n]
}

fn decoded(weight: &Weight, x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len() / weight.n_in * weight.n_out];
    for channel in 0..weight.n_out {
        let w = decode_channel(weight, channel);
        for (x, y) in x.chunks_exact(weight.n_in).zip(y.chunks_exact_mut(weight.n_out)) {
            y[channel] = add_up(x.chunks(SPAN).zip(w.chunks(SPAN)).map(|(x, w)| math::dot(w, x)));
        }
    }
    y
}

fn halves(weight: &Weight, x: &[f32]) -> Vec<f32> {
    let x: Vec<Halves> = x.chunks_exact(weight.n_in).map(Halves::new).collect();
    let mut y = vec![0.0; x.len() * weight.n_out];
    for channel in 0..weight.n_out {
        let w: Vec<f32> = decode_channel(weight, channel).into_iter().map(halves::weight).collect();
        for (x, y) in x.iter().zip(y.chunks_exact_mut(weight.n_out)) {
            let spans = x.values.chunks(SPAN).zip(w.chunks(SPAN));
            y[channel] = add_up(spans.map(|(span, w)| pairs(w, span) * x.scale));
        }
    }
    y
}

/// Sum of products in pairs, the second of each pair first.
fn pairs(w: &[f32], x: &[f32]) -> f32 {
    let pairs = w.chunks(2).zip(x.chunks(2));
    pairs.fold(0.0, |acc, (w, x)| w.iter().zip(x).rev().fold(acc, |acc, (w, x)| w.mul_add(*x, acc)))
}

fn quantized(weight: &Weight, integers: &Integers, x: &[f32]) -> Vec<f32> {
    let x: Vec<Quantized> = x.chunks_exact(weight.n_in).map(Quantized::new).collect();
    let mut y = vec![0.0; x.len() * weight.n_out];
    for index in 0..weight.n_out {
        let channel = Channel::new(weight, integers, index);
        for (x, y) in x.iter().zip(y.chunks_exact_mut(weight.n_out)) {
            y[index] = channel.product(x);
        }
    }
    y
}

/// Span values one after another, starting with the first.
fn add_up(spans: impl Iterator<Item = f32>) -> f32 {
    spans.reduce(|y, span| y + span).expect("a channel has inputs")
}

/// A channel as integers with a scale, and perhaps a minimum, per group.
struct Channel {
    group: usize,
    quants: Vec<i8>,
    scales: Vec<f32>,
    /// Empty if the type has none.
    minima: Vec<f32>,
}

impl Channel {
    fn new(weight: &Weight, integers: &Integers, index: usize) -> Self {
        let (group, n_in, block) = (integers.group, weight.n_in, weight.block_type.block());
        let minima_per_block = if integers.has_minimum { block.len / group } else { 0 };
        let mut channel = Channel {
            group,
            quants: vec![0; n_in],
            scales: vec![0.0; n_in / group],
            minima: vec![0.0; n_in / block.len * minima_per_block],
        };
        for (i, bytes) in channel_bytes(weight, index).chunks_exact(block.bytes).enumerate() {
            (integers.unpack)(
                bytes,
                &mut channel.quants[i * block.len..][..block.len],
                &mut channel.scales[i * (block.len / group)..][..block.len / group],
                &mut channel.minima[i * minima_per_block..][..minima_per_block],
            );
        }
        channel
    }

    fn product(&self, x: &Quantized) -> f32 {
        let (n, per_span) = (self.scales.len(), SPAN / self.group);
        add_up((0..n).step_by(per_span).map(|first| self.span(x, first, n.min(first + per_span))))
    }

    /// The value of the span of groups `first .. end`.
    fn span(&self, x: &Quantized, first: usize, end: usize) -> f32 {
        let mut acc = 0f32;
        for g in first..end {
            let scale = self.scales[g] * x.scale(self.group, g);
            acc = (self.integer_sum(x, g) as f32).mul_add(scale, acc);
            if let Some(minimum) = self.minima.get(g) {
                acc = minimum.mul_add(x.group_sum(self.group, g), acc);
            }
        }
        acc
    }

    /// Exact sum of products of one group.
    fn integer_sum(&self, x: &Quantized, g: usize) -> i32 {
        let of_group = g * self.group..(g + 1) * self.group;
        let products = self.quants[of_group.clone()].iter().zip(&x.q[of_group]);
        products.map(|(&w, &x)| i32::from(w) * i32::from(x)).sum()
    }
}
