//! RMS norm of one row.

use super::math::{map2, squares};
use crate::lanes::{Job, Lanes};

/// `out = x / rms(x) * weight`, plus `old` where there is one.
pub(crate) struct Norm<'a> {
    pub(crate) x: &'a [f32],
    /// None: one.
    pub(crate) weight: Option<&'a [f32]>,
    pub(crate) eps: f32,
    pub(crate) old: Option<&'a [f32]>,
    pub(crate) out: &'a mut [f32],
}

impl Job for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let r = l.splat(inverse_rms(l, self.x, self.eps));
        match self.weight {
            Some(weight) => map2!(l, self.out, self.x, weight, |x, w| l.mul(l.mul(x, r), w)),
            None => map2!(l, self.out, self.x, self.x, |x, _x| l.mul(x, r)),
        }
        if let Some(old) = self.old {
            for (out, old) in self.out.iter_mut().zip(old) {
                *out += old;
            }
        }
    }
}

#[inline(always)]
pub(crate) fn inverse_rms<L: Lanes>(l: L, x: &[f32], eps: f32) -> f32 {
    1.0 / (squares(l, x) / x.len() as f32 + eps).sqrt()
}
