//! Rows of activations as int8.

use dewdrop_backend::quantize::{BLOCK, SUM};

use crate::body::quantize::Quantize;
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::pool::Pool;

/// Quantized rows, `[n_rows, n_in]`, with what products need of them.
#[derive(Default)]
pub(crate) struct Activations {
    n_in: usize,
    n_rows: usize,
    q: Vec<i8>,
    scales: Vec<f32>,
    sums16: Vec<i32>,
    sums32: Vec<i32>,
    scaled_sums16: Vec<f32>,
    scaled_sums32: Vec<f32>,
}

/// A stretch of one row.
#[derive(Clone, Copy)]
pub(crate) struct RowPart<'a> {
    pub(crate) q: &'a [[i8; 4]],
    /// One per 32.
    pub(crate) scales: &'a [f32],
    /// One per group.
    pub(crate) sums: &'a [i32],
    /// One per group: its sum times its scale, which minima are multiplied with.
    pub(crate) scaled_sums: &'a [f32],
}

impl Activations {
    /// Replaces the content by the rows of `x`, `[n_rows, n_in]`.
    pub(crate) fn fill(&mut self, isa: Isa, pool: &mut Pool, x: &[f32], n_in: usize) {
        assert!(n_in.is_multiple_of(BLOCK), "{n_in} inputs are no whole number of blocks of {BLOCK}");
        (self.n_in, self.n_rows) = (n_in, x.len() / n_in);
        self.q.resize(x.len(), 0);
        self.scales.resize(x.len() / BLOCK, 0.0);
        self.sums16.resize(x.len() / SUM, 0);
        self.sums32.resize(x.len() / BLOCK, 0);
        self.scaled_sums16.resize(x.len() / SUM, 0.0);
        self.scaled_sums32.resize(x.len() / BLOCK, 0.0);
        let (q, scales) = (Disjoint::new(&mut self.q), Disjoint::new(&mut self.scales));
        let (sums16, sums32) = (Disjoint::new(&mut self.sums16), Disjoint::new(&mut self.sums32));
        let scaled_sums16 = Disjoint::new(&mut self.scaled_sums16);
        let scaled_sums32 = Disjoint::new(&mut self.scaled_sums32);
        pool.run(self.n_rows, &|_, row| {
            let of_row = |unit: usize| row * n_in / unit..(row + 1) * n_in / unit;
            // SAFETY: a row's parts are this task's alone.
            let job = unsafe {
                Quantize {
                    x: &x[of_row(1)],
                    q: q.part(of_row(1)),
                    scales: scales.part(of_row(BLOCK)),
                    sums16: sums16.part(of_row(SUM)),
                    sums32: sums32.part(of_row(BLOCK)),
                    scaled_sums16: scaled_sums16.part(of_row(SUM)),
                    scaled_sums32: scaled_sums32.part(of_row(BLOCK)),
                }
            };
            isa.run(job);
        });
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub(crate) fn n_in(&self) -> usize {
        self.n_in
    }

    /// `n` inputs of a row from `first` on, a multiple of 32 both, with sums of each `group`.
    #[inline(always)]
    pub(crate) fn part(&self, row: usize, first: usize, n: usize, group: usize) -> RowPart<'_> {
        let at = row * self.n_in + first;
        let (sums, scaled_sums) = match group {
            SUM => (&self.sums16, &self.scaled_sums16),
            _ => (&self.sums32, &self.scaled_sums32),
        };
        RowPart {
            q: self.q[at..at + n].as_chunks().0,
            scales: &self.scales[at / BLOCK..(at + n) / BLOCK],
            sums: &sums[at / group..(at + n) / group],
            scaled_sums: &scaled_sums[at / group..(at + n) / group],
        }
    }
}
