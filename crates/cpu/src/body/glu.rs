//! Gated linear unit over any stretch of values.

use dewdrop_backend::Activation;

use super::math::{gelu_tanh, map2, silu};
use crate::lanes::{Job, Lanes};

/// `out = activation(gate) * up`.
pub(crate) struct Glu<'a> {
    pub(crate) gate: &'a [f32],
    pub(crate) up: &'a [f32],
    pub(crate) activation: Activation,
    pub(crate) out: &'a mut [f32],
}

impl Job for Glu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        match self.activation {
            Activation::Silu => map2!(l, self.out, self.gate, self.up, |g, u| l.mul(silu(l, g), u)),
            Activation::GeluTanh => map2!(l, self.out, self.gate, self.up, |g, u| l.mul(gelu_tanh(l, g), u)),
        }
    }
}

/// `cap * tanh(x / cap)` in place.
pub(crate) struct Softcap<'a> {
    pub(crate) cap: f32,
    pub(crate) values: &'a mut [f32],
}

impl Job for Softcap<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let cap = l.splat(self.cap);
        let (whole, tail) = self.values.as_chunks_mut::<16>();
        for x in whole {
            let y = super::math::tanh(l, l.div(l.load(x), cap));
            l.store(l.mul(cap, y), x);
        }
        let mut last = super::math::padded(tail);
        let y = super::math::tanh(l, l.div(l.load(&last), cap));
        l.store(l.mul(cap, y), &mut last);
        tail.copy_from_slice(&last[..tail.len()]);
    }
}
