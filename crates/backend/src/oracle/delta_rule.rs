//! Gated delta rule (Yang et al. 2024, "Gated Delta Networks") in recurrent order. `docs/arithmetic.md`, "DeltaRule".

use super::short_conv::causal_conv;
use crate::state::RecurrentState;
use crate::{DeltaRule, HeadOrder, math};

/// Added to the sum of squares when query and key heads are scaled to length one.
pub const L2_EPS: f32 = 1e-6;

/// Weights of one layer's delta rule.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// `[channels, kernel]`.
    pub conv: &'a [f32],
    /// `[n_value_heads]`.
    pub decay: &'a [f32],
    /// `[n_value_heads]`.
    pub dt_bias: &'a [f32],
    /// `[value_dim]`.
    pub norm: &'a [f32],
}

/// Inputs of one row.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Queries, keys, values before the convolution, `[channels]`.
    pub qkv: &'a [f32],
    /// `[n_value_heads * value_dim]`.
    pub z: &'a [f32],
    /// `[n_value_heads]`.
    pub beta: &'a [f32],
    /// `[n_value_heads]`.
    pub alpha: &'a [f32],
}

/// Advances the state by one row and yields its `[n_value_heads * value_dim]`.
pub fn delta_rule(
    spec: &DeltaRule,
    weights: Weights<'_>,
    inputs: Inputs<'_>,
    state: &mut RecurrentState,
) -> Vec<f32> {
    check(spec, weights, inputs);
    let (key_dim, value_dim, key_width) = (spec.key_dim, spec.value_dim, spec.n_key_heads * spec.key_dim);
    let mixed: Vec<f32> = causal_conv(state, weights.conv, inputs.qkv).into_iter().map(math::silu).collect();
    let (queries, rest) = mixed.split_at(key_width);
    let (keys, values) = rest.split_at(key_width);
    let q_scale = 1.0 / (key_dim as f32).sqrt();
    let queries: Vec<f32> = queries.chunks_exact(key_dim).flat_map(unit).map(|q| q * q_scale).collect();
    let keys: Vec<f32> = keys.chunks_exact(key_dim).flat_map(unit).collect();

    let mut out = Vec::with_capacity(values.len());
    for h in 0..spec.n_value_heads {
        let key_head = match spec.order {
            HeadOrder::Grouped => h / (spec.n_value_heads / spec.n_key_heads),
            HeadOrder::Tiled => h % spec.n_key_heads,
        };
        let of_key = key_head * key_dim..(key_head + 1) * key_dim;
        let of_value = h * value_dim..(h + 1) * value_dim;
        let beta = math::sigmoid(inputs.beta[h]);
        let g = math::exp(weights.decay[h] * math::softplus(inputs.alpha[h] + weights.dt_bias[h]));
        let step =
            Step { q: &queries[of_key.clone()], k: &keys[of_key], v: &values[of_value.clone()], g, beta };
        let o = step.advance(state.matrix_mut(h));
        out.extend(gated_norm(&o, weights.norm, &inputs.z[of_value], spec.norm_eps));
    }
    out
}

/// A head scaled to length one.
fn unit(head: &[f32]) -> Vec<f32> {
    let n = 1.0 / (math::dot(head, head) + L2_EPS).sqrt();
    head.iter().map(|x| x * n).collect()
}

/// One head's inputs for one row.
struct Step<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    /// What remains of the state.
    g: f32,
    /// How much of the correction is written.
    beta: f32,
}

impl Step<'_> {
    /// Decays the state `[key_dim, value_dim]`, writes the correction and reads the query's value.
    fn advance(&self, state: &mut [f32]) -> Vec<f32> {
        let value_dim = self.v.len();
        (0..value_dim)
            .map(|j| {
                let mut r = 0f32;
                for (i, k) in self.k.iter().enumerate() {
                    let s = &mut state[i * value_dim + j];
                    *s *= self.g;
                    r = s.mul_add(*k, r);
                }
                let d = self.beta * (self.v[j] - r);
                let mut o = 0f32;
                for (i, (k, q)) in self.k.iter().zip(self.q).enumerate() {
                    let s = &mut state[i * value_dim + j];
                    *s = k.mul_add(d, *s);
                    o = s.mul_add(*q, o);
                }
                o
            })
            .collect()
    }
}

fn gated_norm(o: &[f32], weight: &[f32], z: &[f32], eps: f32) -> Vec<f32> {
    let r = math::inverse_rms(o, eps);
    o.iter().zip(weight).zip(z).map(|((o, weight), z)| ((o * r) * weight) * math::silu(*z)).collect()
}

fn check(spec: &DeltaRule, weights: Weights<'_>, inputs: Inputs<'_>) {
    let (n_key_heads, n_value_heads) = (spec.n_key_heads, spec.n_value_heads);
    assert!(
        n_value_heads.is_multiple_of(n_key_heads),
        "{n_value_heads} value heads, {n_key_heads} key heads"
    );
    let channels = 2 * n_key_heads * spec.key_dim + n_value_heads * spec.value_dim;
    let found = (inputs.qkv.len(), inputs.z.len(), inputs.beta.len(), inputs.alpha.len());
    let want = (channels, n_value_heads * spec.value_dim, n_value_heads, n_value_heads);
    assert_eq!(found, want, "widths of qkv, z, beta, alpha");
    let found = (weights.conv.len(), weights.decay.len(), weights.dt_bias.len(), weights.norm.len());
    let want = (channels * spec.kernel, n_value_heads, n_value_heads, spec.value_dim);
    assert_eq!(found, want, "sizes of taps, decay, dt bias, norm");
}
