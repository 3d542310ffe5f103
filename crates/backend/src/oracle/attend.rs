//! Attention of one row over its sequence, in blocks of 64 keys that are merged like the online softmax's (Milakov and
//! Gimelshein 2018). `docs/arithmetic.md`, "Attend".

use std::ops::Range;

use super::norm::norm;
use crate::quantize::{BLOCK, Quantized, quantize_words};
use crate::rope::RopeTable;
use crate::state::{AttentionState, PAGE, Vector};
use crate::{Attention, KV_GROUP, KvType, math};

/// What heads meet before they attend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heads<'a> {
    /// RMS norm of query heads, `[head_dim]`.
    pub q_norm: Option<&'a [f32]>,
    /// RMS norm of key heads, `[head_dim]`.
    pub k_norm: Option<&'a [f32]>,
    /// Turns query and key heads; it reaches to the row's position.
    pub rope: Option<&'a RopeTable>,
}

/// Attention's inputs for one row.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// `[n_heads, head_dim]`, or `[n_heads, 2, head_dim]` with gates.
    pub q: &'a [f32],
    /// `[n_kv_heads, head_dim]`.
    pub k: &'a [f32],
    /// `[n_kv_heads, head_dim]`.
    pub v: &'a [f32],
}

/// Appends the row's key and value at `position` and attends: `[n_heads * head_dim]`.
pub fn attend(
    spec: &Attention,
    heads: Heads<'_>,
    inputs: Inputs<'_>,
    state: &mut AttentionState,
    position: usize,
) -> Vec<f32> {
    check(spec, inputs, state);
    let prepare = |head: &[f32], weight: Option<&[f32]>| {
        let mut head = if weight.is_some() { norm(head, weight, spec.norm_eps) } else { head.to_vec() };
        if let Some(rope) = heads.rope {
            rope.turn(&mut head, position);
        }
        head
    };
    let keys: Vec<f32> =
        inputs.k.chunks_exact(spec.head_dim).flat_map(|k| prepare(k, heads.k_norm)).collect();
    state.write(position, &keys, inputs.v);

    let mut out = Vec::with_capacity(spec.n_heads * spec.head_dim);
    let q_width = inputs.q.len() / spec.n_heads;
    for (h, q) in inputs.q.chunks_exact(q_width).enumerate() {
        let (q, gate) = q.split_at(spec.head_dim);
        let q: Vec<f32> = prepare(q, heads.q_norm).iter().map(|q| q * spec.scale).collect();
        let kv_head = h / (spec.n_heads / spec.n_kv_heads);
        let q = Query::new(q, state.types().keys);
        let mut head = attend_head(&q, state, kv_head, spec.window, position);
        for (out, gate) in head.iter_mut().zip(gate) {
            *out *= math::sigmoid(*gate);
        }
        out.extend(head);
    }
    out
}

/// One query head, already scaled, over all keys it sees.
fn attend_head(
    q: &Query,
    state: &AttentionState,
    kv_head: usize,
    window: Option<usize>,
    position: usize,
) -> Vec<f32> {
    let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
    let mut merged: Option<Partial> = None;
    for page in first / PAGE..=position / PAGE {
        let visible = first.max(page * PAGE)..(position + 1).min((page + 1) * PAGE);
        let next = attend_block(q, state, kv_head, visible);
        merged = Some(match merged {
            None => next,
            Some(merged) => merge(merged, next),
        });
    }
    let merged = merged.expect("a row sees its own key");
    let inverse = 1.0 / merged.sum;
    merged.out.iter().map(|out| out * inverse).collect()
}

/// Softmax over some keys, not yet divided by its sum.
struct Partial {
    max: f32,
    sum: f32,
    out: Vec<f32>,
}

/// The visible keys of one block of 64.
fn attend_block(q: &Query, state: &AttentionState, kv_head: usize, visible: Range<usize>) -> Partial {
    let scores: Vec<f32> = visible.clone().map(|position| q.score(&state.key(kv_head, position))).collect();
    let max = scores.iter().fold(f32::NEG_INFINITY, |max, &score| if score > max { score } else { max });
    let mut weights = [0.0; PAGE];
    for (position, score) in visible.clone().zip(scores) {
        weights[position % PAGE] = math::exp(score - max);
    }
    let values: Vec<Vector> = visible.clone().map(|position| state.value(kv_head, position)).collect();
    let out = match state.types().values {
        KvType::I16 => weigh_words(&weights, &values, visible.start % PAGE, state.head_dim()),
        KvType::Q8_0 => weigh_integers(&weights, &values, visible.start % PAGE, state.head_dim()),
        _ => weigh_floats(&weights[visible.start % PAGE..], &values, state.head_dim()),
    };
    Partial { max, sum: math::sum(&weights), out }
}

/// A query head, already scaled, as it meets keys of either kind.
struct Query {
    floats: Vec<f32>,
    /// Where keys are integers of 8 bits.
    quantized: Option<Quantized>,
    /// Where they are integers of 16 bits, and their scale.
    words: Option<(Vec<i16>, f32)>,
}

impl Query {
    fn new(floats: Vec<f32>, keys: KvType) -> Self {
        let quantized = (keys == KvType::Q8_0).then(|| Quantized::new(&floats));
        let words = (keys == KvType::I16).then(|| words(&floats));
        Query { floats, quantized, words }
    }

    fn score(&self, key: &Vector) -> f32 {
        match key {
            Vector::Floats(key) => self.floats.iter().zip(key).fold(0f32, |a, (q, k)| q.mul_add(*k, a)),
            Vector::Words { integers, scale } => {
                let (q, q_scale) = self.words.as_ref().expect("keys of a state are of its type");
                let groups = q.chunks(KV_GROUP).zip(integers.chunks(KV_GROUP));
                groups.fold(0f32, |a, (q, k)| a + dot(q, k) as f32) * (q_scale * scale)
            }
            Vector::Integers { integers, scales } => {
                let q = self.quantized.as_ref().expect("keys of a state are of its type");
                let groups = q.q.chunks_exact(KV_GROUP).zip(integers.chunks_exact(KV_GROUP));
                groups.zip(&q.scales).zip(scales).fold(0f32, |a, (((q, k), q_scale), k_scale)| {
                    (dot(q, k) as f32).mul_add(q_scale * k_scale, a)
                })
            }
        }
    }
}

/// Integers of 16 bits, and their scale.
fn words(x: &[f32]) -> (Vec<i16>, f32) {
    let mut q = vec![0; x.len()];
    let scale = quantize_words(x, &mut q);
    (q, scale)
}

/// The exact sum of products.
fn dot<T: Copy + Into<i32>>(a: &[T], b: &[T]) -> i32 {
    a.iter().zip(b).map(|(a, b)| (*a).into() * (*b).into()).sum()
}

/// Weighted sum of visible values.
fn weigh_floats(weights: &[f32], values: &[Vector], head_dim: usize) -> Vec<f32> {
    let mut out = vec![0f32; head_dim];
    for (weight, value) in weights.iter().zip(values) {
        let Vector::Floats(value) = value else { unreachable!("values of a state are of its type") };
        for (out, v) in out.iter_mut().zip(value) {
            *out = weight.mul_add(*v, *out);
        }
    }
    out
}

/// Weighted sum of visible values, the first of which lies at `first` in its block of 64: weights take up the values' scales
/// and become integers.
fn weigh_words(weights: &[f32; PAGE], values: &[Vector], first: usize, head_dim: usize) -> Vec<f32> {
    let (mut scaled, mut columns) = ([0.0; PAGE], vec![[0i16; PAGE]; head_dim]);
    for (j, value) in (first..).zip(values) {
        let Vector::Words { integers, scale } = value else {
            unreachable!("values of a state are of its type")
        };
        // A weight that is zero stays so, whatever the scale.
        scaled[j] = if weights[j] > 0.0 { weights[j] * scale } else { 0.0 };
        for (column, integer) in columns.iter_mut().zip(integers) {
            column[j] = *integer;
        }
    }
    let (p, scale) = words(&scaled);
    let groups = |column: &[i16; PAGE]| {
        p.chunks(KV_GROUP).zip(column.chunks(KV_GROUP)).fold(0f32, |o, (p, q)| o + dot(p, q) as f32)
    };
    columns.iter().map(|column| groups(column) * scale).collect()
}

/// Weighted sum of visible values, the first of which lies at `first` in its block of 64: for each group of dimensions,
/// weights take up the values' scales and become integers.
fn weigh_integers(weights: &[f32; PAGE], values: &[Vector], first: usize, head_dim: usize) -> Vec<f32> {
    let mut out = vec![0f32; head_dim];
    for (g, out) in out.chunks_exact_mut(KV_GROUP).enumerate() {
        let (mut scaled, mut columns) = ([0.0; PAGE], [[0i8; PAGE]; KV_GROUP]);
        for (j, value) in (first..).zip(values) {
            let Vector::Integers { integers, scales } = value else {
                unreachable!("values of a state are of its type")
            };
            // A weight that is zero stays so, whatever the scale.
            scaled[j] = if weights[j] > 0.0 { weights[j] * scales[g] } else { 0.0 };
            for (column, integer) in columns.iter_mut().zip(&integers[g * KV_GROUP..]) {
                column[j] = *integer;
            }
        }
        let p = Quantized::new(&scaled);
        for (out, column) in out.iter_mut().zip(&columns) {
            for (b, scale) in p.scales.iter().enumerate() {
                let block = b * BLOCK..(b + 1) * BLOCK;
                *out = (dot(&p.q[block.clone()], &column[block]) as f32).mul_add(*scale, *out);
            }
        }
    }
    out
}

fn merge(old: Partial, new: Partial) -> Partial {
    let max = if new.max > old.max { new.max } else { old.max };
    let a = math::exp(old.max - max);
    let b = math::exp(new.max - max);
    let merge = |old: f32, new: f32| old.mul_add(a, new * b);
    Partial {
        max,
        sum: merge(old.sum, new.sum),
        out: old.out.iter().zip(&new.out).map(|(old, new)| merge(*old, *new)).collect(),
    }
}

fn check(spec: &Attention, inputs: Inputs<'_>, state: &AttentionState) {
    let (n_heads, n_kv_heads, head_dim) = (spec.n_heads, spec.n_kv_heads, spec.head_dim);
    assert!(n_heads.is_multiple_of(n_kv_heads), "{n_heads} query heads over {n_kv_heads} key heads");
    let found = (inputs.q.len(), inputs.k.len(), inputs.v.len());
    let per_head = if spec.gated { 2 * head_dim } else { head_dim };
    let want = (n_heads * per_head, n_kv_heads * head_dim, n_kv_heads * head_dim);
    assert_eq!(found, want, "widths of queries, keys, values");
    assert_eq!(
        (state.n_kv_heads(), state.head_dim()),
        (n_kv_heads, head_dim),
        "heads of the attention state"
    );
}
