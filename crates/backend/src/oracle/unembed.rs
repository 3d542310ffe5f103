//! Logits. `docs/arithmetic.md`, "Unembed".

use super::linear::linear;
use crate::{Arithmetic, Weight, math};

/// Logits of the rows in `x` (`[n_rows, width]`): `[n_rows, n]` for the tokens of `n` channels.
pub fn unembed(weight: &Weight, arithmetic: Arithmetic, x: &[f32], softcap: Option<f32>) -> Vec<f32> {
    let mut logits = linear(weight, arithmetic, x);
    if let Some(cap) = softcap {
        for logit in &mut logits {
            *logit = cap * math::tanh(*logit / cap);
        }
    }
    logits
}
