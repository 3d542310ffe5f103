//! Logits of the rows that want them.

use dewdrop_backend::Register;

use super::linear::{self, Multiply};
use crate::body::glu::Softcap;
use crate::body::target::End;
use crate::disjoint::Disjoint;
use crate::loaded::Matrix;
use crate::pass::Pass;
use crate::rows::{Kind, Rounded};

/// Logits of a task of the cap.
const STRETCH: usize = 4096;

impl Pass {
    /// `logits = weight input`, capped, of the tokens from `first` on.
    pub(crate) fn unembed(&mut self, input: Register, matrix: &Matrix, first: usize, softcap: Option<f32>) {
        let (width, n_vocab, n_out) = (self.registers.width(input), self.n_vocab, matrix.n_out);
        assert_eq!(matrix.n_in, width, "inputs of the head");
        assert!(first + n_out <= n_vocab, "logits {first} to {} of {n_vocab}", first + n_out);
        let rows = self.rows.iter().zip(self.registers.get(input).chunks_exact(width));
        let x: Vec<f32> = rows.filter(|(row, _)| row.wants_logits).flat_map(|(_, x)| x).copied().collect();
        let n_rows = x.len() / width;
        if n_rows == 0 {
            // Most rows of a prompt: the head need not be read.
            return;
        }
        let mut all = std::mem::take(&mut self.logits);
        let logits = &mut all[self.n_wanted_before * n_vocab..][..n_rows * n_vocab];
        let (kind, mut rounded) = (Kind::of(matrix.block_type, self.arithmetic), Rounded::default());
        rounded.prepare(&kind, self.isa, &mut self.pool, &x, width);
        let (rows, end) = (rounded.rows(&kind, &x), End { bias: None, old: None });
        let out = Disjoint::new(logits);
        let product = Multiply { isa: self.isa, matrix, rows, end, out, width: n_vocab, first };
        linear::run(&mut self.pool, &self.scratch, &[product]);
        if let Some(cap) = softcap {
            for row in logits.chunks_exact_mut(n_vocab) {
                self.cap(cap, &mut row[first..][..n_out]);
            }
        }
        self.logits = all;
    }

    fn cap(&mut self, cap: f32, logits: &mut [f32]) {
        let (isa, n) = (self.isa, logits.len());
        let logits = Disjoint::new(logits);
        self.pool.run(n.div_ceil(STRETCH), &|_, i| {
            // SAFETY: stretches of different tasks do not overlap.
            let values = unsafe { logits.part(i * STRETCH..n.min((i + 1) * STRETCH)) };
            isa.run(Softcap { cap, values });
        });
    }
}
