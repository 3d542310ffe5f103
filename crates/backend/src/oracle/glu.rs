//! Gated linear unit (Shazeer 2020). `docs/arithmetic.md`, "Glu".

use crate::{Activation, math};

/// `activation(gate) * up`.
pub fn glu(gate: &[f32], up: &[f32], activation: Activation) -> Vec<f32> {
    assert_eq!(gate.len(), up.len(), "glu of {} gates and {} values", gate.len(), up.len());
    let activate = match activation {
        Activation::Silu => math::silu,
        Activation::GeluTanh => math::gelu_tanh,
    };
    gate.iter().zip(up).map(|(gate, up)| activate(*gate) * up).collect()
}
