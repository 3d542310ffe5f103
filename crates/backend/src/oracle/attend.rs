//! Attention of one row over its sequence, in blocks of 64 keys that are merged like the online softmax's (Milakov and
//! Gimelshein 2018). `docs/arithmetic.md`, "Attend".

use super::norm::norm;
use crate::rope::RopeTable;
use crate::state::{AttentionState, PAGE};
use crate::{Attention, math};

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
    q: &[f32],
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
fn attend_block(
    q: &[f32],
    state: &AttentionState,
    kv_head: usize,
    visible: std::ops::Range<usize>,
) -> Partial {
    let mut vector = vec![0.0; q.len()];
    let mut scores = Vec::with_capacity(PAGE);
    for position in visible.clone() {
        state.read_key(kv_head, position, &mut vector);
        scores.push(q.iter().zip(&vector).fold(0f32, |a, (q, k)| q.mul_add(*k, a)));
    }
    let max = scores.iter().fold(f32::NEG_INFINITY, |max, &score| if score > max { score } else { max });

    let mut weights = [0.0; PAGE];
    let mut out = vec![0f32; q.len()];
    for (position, score) in visible.zip(scores) {
        let e = math::exp(score - max);
        weights[position % PAGE] = e;
        state.read_value(kv_head, position, &mut vector);
        for (out, v) in out.iter_mut().zip(&vector) {
            *out = e.mul_add(*v, *out);
        }
    }
    Partial { max, sum: math::sum(&weights), out }
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
