//! Gated delta rule: convolution a task per row, then recurrence a task per sequence and value head.

use dewdrop_backend::{DeltaRule, HeadOrder, Register, math};

use super::short_conv::Histories;
use crate::body::conv::{Conv, Finish};
use crate::body::delta_rule::{Advance, Step, Unit};
use crate::disjoint::Disjoint;
use crate::pass::Pass;

/// Registers that are read.
#[derive(Clone, Copy)]
pub(crate) struct Inputs {
    pub(crate) qkv: Register,
    pub(crate) z: Register,
    pub(crate) beta: Register,
    pub(crate) alpha: Register,
}

/// Weights of one layer.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    /// `[kernel, channels]`.
    pub(crate) taps: &'a [f32],
    pub(crate) decay: &'a [f32],
    pub(crate) dt_bias: &'a [f32],
    pub(crate) norm: &'a [f32],
}

impl Pass {
    /// Advances the sequences' states by their rows.
    pub(crate) fn delta_rule(
        &mut self,
        spec: &DeltaRule,
        weights: Weights<'_>,
        inputs: Inputs,
        out: Register,
        state: u16,
    ) {
        let mut values = self.registers.take_spare(out);
        let mixed = self.mix(spec, weights.taps, inputs.qkv, state);
        self.recur(spec, weights, inputs, &mixed, state, &mut values);
        self.registers.put(out, values);
    }

    /// Convolution, SiLU, and queries and keys scaled to length one: `[n_rows, channels]`.
    fn mix(&mut self, spec: &DeltaRule, taps: &[f32], qkv: Register, state: u16) -> Vec<f32> {
        let (key_dim, key_width) = (spec.key_dim, spec.n_key_heads * spec.key_dim);
        let channels = 2 * key_width + spec.n_value_heads * spec.value_dim;
        assert_eq!(self.registers.width(qkv), channels, "width of the delta rule's inputs");
        let x = self.registers.get(qkv);
        let histories = Histories::new(self, state, x, channels);
        let mut mixed = vec![0.0; x.len()];
        let (isa, target) = (self.isa, Disjoint::new(&mut mixed));
        let q_scale = 1.0 / (key_dim as f32).sqrt();
        self.pool.run(self.rows.len(), &|_, row| {
            // SAFETY: a row of the target is its task's alone.
            let out = unsafe { target.part(row * channels..(row + 1) * channels) };
            let inputs = &histories.inputs(row, x);
            isa.run(Conv { inputs, taps, channels, first: 0, finish: Finish::Silu, out });
            for (h, out) in out[..2 * key_width].chunks_exact_mut(key_dim).enumerate() {
                let scale = (h < spec.n_key_heads).then_some(q_scale);
                let head = &out.to_vec();
                isa.run(Unit { head, scale, out });
            }
        });
        let x = x.to_vec();
        histories.advance(self, state, &x);
        mixed
    }

    fn recur(
        &mut self,
        spec: &DeltaRule,
        weights: Weights<'_>,
        inputs: Inputs,
        mixed: &[f32],
        state: u16,
        out: &mut [f32],
    ) {
        let (n_heads, value_dim, key_dim) = (spec.n_value_heads, spec.value_dim, spec.key_dim);
        let (key_width, width) = (spec.n_key_heads * key_dim, n_heads * value_dim);
        let channels = 2 * key_width + width;
        let [z, beta, alpha] =
            [inputs.z, inputs.beta, inputs.alpha].map(|register| self.registers.get(register));
        let (isa, out) = (self.isa, Disjoint::new(out));
        for (id, rows) in &self.by_sequence {
            let recurrent = self.sequences.get_mut(*id).recurrent_mut(state.into());
            let matrices = Disjoint::new(recurrent.parts_mut().1);
            self.pool.run(n_heads, &|_, h| {
                let size = key_dim * value_dim;
                // SAFETY: a head's matrix is its task's alone.
                let matrix = unsafe { matrices.part(h * size..(h + 1) * size) };
                let key_head = match spec.order {
                    HeadOrder::Grouped => h / (n_heads / spec.n_key_heads),
                    HeadOrder::Tiled => h % spec.n_key_heads,
                };
                let step = |&row: &usize| {
                    let mixed = &mixed[row * channels..][..channels];
                    let of_value = row * width + h * value_dim..row * width + (h + 1) * value_dim;
                    let alpha = alpha[row * n_heads + h] + weights.dt_bias[h];
                    Step {
                        q: &mixed[key_head * key_dim..][..key_dim],
                        k: &mixed[key_width + key_head * key_dim..][..key_dim],
                        v: &mixed[2 * key_width + h * value_dim..][..value_dim],
                        g: math::exp(weights.decay[h] * math::softplus(alpha)),
                        beta: math::sigmoid(beta[row * n_heads + h]),
                        z: &z[of_value.clone()],
                        // SAFETY: a head's values are its task's alone.
                        out: unsafe { out.part(of_value) },
                    }
                };
                let mut steps: Vec<Step<'_>> = rows.iter().map(step).collect();
                isa.run(Advance { rows: &mut steps, state: matrix, norm: weights.norm, eps: spec.norm_eps });
            });
        }
    }
}
