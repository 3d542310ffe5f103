//! The functions of [`dewdrop_backend::math`] on sixteen lanes, step for step, with the same constants.

use dewdrop_backend::math::{EXP, EXP_MAX, EXP_MIN, GELU_CUBIC, GELU_SCALE, LN2_HI, LN2_LO, LOG2_E};

use crate::lanes::Lanes;

#[inline(always)]
pub(crate) fn exp<L: Lanes>(l: L, x: L::F) -> L::F {
    // These keep `x` where it is NaN, which must pass through.
    let x = l.min(l.splat(EXP_MAX), l.max(l.splat(EXP_MIN), x));
    let n = l.round(l.mul(x, l.splat(LOG2_E)));
    let r = l.fma(n, l.splat(-LN2_HI), x);
    let r = l.fma(n, l.splat(-LN2_LO), r);
    let mut p = l.splat(EXP[6]);
    for i in (0..6).rev() {
        p = l.fma(p, r, l.splat(EXP[i]));
    }
    let n = l.to_int(n);
    let half = l.sar(n, 1);
    let p = l.mul(p, power_of_two(l, half));
    l.mul(p, power_of_two(l, l.sub_int(n, half)))
}

/// Magnitudes as bits, which order like them, with infinity and then NaN on top.
#[inline(always)]
pub(super) fn magnitude<L: Lanes>(l: L, x: L::F) -> L::I {
    l.and(l.bits(x), l.splat_int(i32::MAX))
}

#[inline(always)]
fn power_of_two<L: Lanes>(l: L, n: L::I) -> L::F {
    l.float(l.shl(l.add_int(n, l.splat_int(127)), 23))
}

#[inline(always)]
fn negate<L: Lanes>(l: L, x: L::F) -> L::F {
    l.float(l.xor(l.bits(x), l.splat_int(i32::MIN)))
}

#[inline(always)]
pub(crate) fn sigmoid<L: Lanes>(l: L, x: L::F) -> L::F {
    let one = l.splat(1.0);
    l.div(one, l.add(one, exp(l, negate(l, x))))
}

#[inline(always)]
pub(crate) fn silu<L: Lanes>(l: L, x: L::F) -> L::F {
    l.mul(x, sigmoid(l, x))
}

#[inline(always)]
pub(crate) fn gelu_tanh<L: Lanes>(l: L, x: L::F) -> L::F {
    let u = l.mul(x, x);
    let t = l.mul(l.fma(u, l.splat(GELU_CUBIC), l.splat(1.0)), x);
    l.mul(x, sigmoid(l, l.mul(l.splat(GELU_SCALE), t)))
}

#[inline(always)]
pub(crate) fn tanh<L: Lanes>(l: L, x: L::F) -> L::F {
    l.fma(l.splat(2.0), sigmoid(l, l.mul(l.splat(2.0), x)), l.splat(-1.0))
}

/// Sixteen floats from the start of `x`, zeros beyond its end.
#[inline(always)]
pub(crate) fn padded(x: &[f32]) -> [f32; 16] {
    let mut lanes = [0.0; 16];
    let n = x.len().min(16);
    lanes[..n].copy_from_slice(&x[..n]);
    lanes
}

/// `math::dot` of a vector with itself.
#[inline(always)]
pub(crate) fn squares<L: Lanes>(l: L, x: &[f32]) -> f32 {
    let (whole, tail) = x.as_chunks();
    let mut acc = l.splat(0.0);
    for x in whole {
        let x = l.load(x);
        acc = l.fma(x, x, acc);
    }
    if !tail.is_empty() {
        let x = l.load(&padded(tail));
        acc = l.fma(x, x, acc);
    }
    l.sum(acc)
}

/// Sets each of `out` to a function of the values at the same place in two inputs, sixteen at a time.
macro_rules! map2 {
    ($l:expr, $out:expr, $a:expr, $b:expr, |$x:ident, $y:ident| $value:expr) => {{
        let (l, out, a, b): (_, &mut [f32], &[f32], &[f32]) = ($l, $out, $a, $b);
        assert!(a.len() == out.len() && b.len() == out.len(), "{} and {} to {}", a.len(), b.len(), out.len());
        let (outs, out_tail) = out.as_chunks_mut::<16>();
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for ((out, a), b) in outs.iter_mut().zip(a).zip(b) {
            let ($x, $y) = (l.load(a), l.load(b));
            l.store($value, out);
        }
        if !out_tail.is_empty() {
            let ($x, $y) =
                (l.load(&$crate::body::math::padded(a_tail)), l.load(&$crate::body::math::padded(b_tail)));
            let mut last = [0.0; 16];
            l.store($value, &mut last);
            out_tail.copy_from_slice(&last[..out_tail.len()]);
        }
    }};
}
pub(crate) use map2;
