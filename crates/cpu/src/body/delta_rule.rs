//! One value head of the gated delta rule: columns of the state are lanes.

use dewdrop_backend::oracle::delta_rule::L2_EPS;

use super::math::{map2, padded, silu, squares};
use super::norm::inverse_rms;
use crate::lanes::{Job, Lanes};

/// A query or key head scaled to length one, then by `scale` if there is one.
pub(crate) struct Unit<'a> {
    pub(crate) head: &'a [f32],
    pub(crate) scale: Option<f32>,
    pub(crate) out: &'a mut [f32],
}

impl Job for Unit<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let n = l.splat(1.0 / (squares(l, self.head) + L2_EPS).sqrt());
        match self.scale {
            None => map2!(l, self.out, self.head, self.head, |x, _x| l.mul(x, n)),
            Some(scale) => {
                let scale = l.splat(scale);
                map2!(l, self.out, self.head, self.head, |x, _x| l.mul(l.mul(x, n), scale));
            }
        }
    }
}

/// Advances a head's state by some rows and yields their outputs.
pub(crate) struct Advance<'a, 'r> {
    /// In order.
    pub(crate) rows: &'a mut [Step<'r>],
    /// `[key_dim, value_dim]`.
    pub(crate) state: &'a mut [f32],
    /// Weight of the gated norm, `[value_dim]`.
    pub(crate) norm: &'a [f32],
    pub(crate) eps: f32,
}

/// What a head has of a row.
pub(crate) struct Step<'a> {
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) v: &'a [f32],
    /// What remains of the state.
    pub(crate) g: f32,
    /// How much of the correction is written.
    pub(crate) beta: f32,
    /// Gate of the norm, `[value_dim]`.
    pub(crate) z: &'a [f32],
    /// `[value_dim]`.
    pub(crate) out: &'a mut [f32],
}

impl Job for Advance<'_, '_> {
    type Output = ();

    /// Columns do not see each other: a few of them go through all rows, and stay in the first cache meanwhile.
    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        let width = self.norm.len();
        let mut column = 0;
        while L::WIDE && column + 64 <= width {
            self.columns::<L, 4>(l, column);
            column += 64;
        }
        while column + 32 <= width {
            self.columns::<L, 2>(l, column);
            column += 32;
        }
        while column + 16 <= width {
            self.columns::<L, 1>(l, column);
            column += 16;
        }
        for row in &mut *self.rows {
            if column < width {
                row.last_columns(l, self.state, column);
            }
            row.finish(l, self.norm, self.eps);
        }
    }
}

impl Advance<'_, '_> {
    /// `16 * N` columns from `column` on, for all rows. The decayed state is computed twice rather than stored in between.
    #[inline(always)]
    fn columns<L: Lanes, const N: usize>(&mut self, l: L, column: usize) {
        let width = self.norm.len();
        for row in &mut *self.rows {
            let g = l.splat(row.g);
            let mut r = [l.splat(0.0); N];
            for (i, &k) in row.k.iter().enumerate() {
                let (state, _) = self.state[i * width + column..][..16 * N].as_chunks::<16>();
                for n in 0..N {
                    r[n] = l.fma(l.mul(l.load(&state[n]), g), l.splat(k), r[n]);
                }
            }
            let mut d = [l.splat(0.0); N];
            let (v, _) = row.v[column..][..16 * N].as_chunks::<16>();
            for n in 0..N {
                d[n] = l.mul(l.splat(row.beta), l.sub(l.load(&v[n]), r[n]));
            }
            let mut o = [l.splat(0.0); N];
            for (i, (&k, &q)) in row.k.iter().zip(row.q).enumerate() {
                let (state, _) = self.state[i * width + column..][..16 * N].as_chunks_mut::<16>();
                for n in 0..N {
                    let s = l.fma(l.splat(k), d[n], l.mul(l.load(&state[n]), g));
                    l.store(s, &mut state[n]);
                    o[n] = l.fma(s, l.splat(q), o[n]);
                }
            }
            let (out, _) = row.out[column..][..16 * N].as_chunks_mut::<16>();
            for n in 0..N {
                l.store(o[n], &mut out[n]);
            }
        }
    }
}

impl Step<'_> {
    /// Fewer than sixteen columns at the end of a row.
    #[inline(always)]
    fn last_columns<L: Lanes>(&mut self, l: L, state: &mut [f32], column: usize) {
        let (width, n, g) = (self.v.len(), self.v.len() - column, l.splat(self.g));
        let mut lanes = [0.0; 16];
        let mut r = l.splat(0.0);
        for (i, &k) in self.k.iter().enumerate() {
            let state = l.load(&padded(&state[i * width + column..][..n]));
            r = l.fma(l.mul(state, g), l.splat(k), r);
        }
        let d = l.mul(l.splat(self.beta), l.sub(l.load(&padded(&self.v[column..])), r));
        let mut o = l.splat(0.0);
        for (i, (&k, &q)) in self.k.iter().zip(self.q).enumerate() {
            let state = &mut state[i * width + column..][..n];
            let s = l.fma(l.splat(k), d, l.mul(l.load(&padded(state)), g));
            l.store(s, &mut lanes);
            state.copy_from_slice(&lanes[..n]);
            o = l.fma(s, l.splat(q), o);
        }
        l.store(o, &mut lanes);
        self.out[column..].copy_from_slice(&lanes[..n]);
    }

    /// The gated norm of what came out.
    #[inline(always)]
    fn finish<L: Lanes>(&mut self, l: L, norm: &[f32], eps: f32) {
        let r = l.splat(inverse_rms(l, self.out, eps));
        for ((out, w), z) in self.out.chunks_mut(16).zip(norm.chunks(16)).zip(self.z.chunks(16)) {
            let mut o = padded(out);
            let normed = l.mul(l.mul(l.load(&o), r), l.load(&padded(w)));
            l.store(l.mul(normed, silu(l, l.load(&padded(z)))), &mut o);
            out.copy_from_slice(&o[..out.len()]);
        }
    }
}
