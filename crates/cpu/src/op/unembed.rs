//! Logits of the rows that want them.

use dewdrop_backend::Register;

use super::linear::{self, Multiply, Rows, unpacker};
use crate::activations::Activations;
use crate::body::glu::Softcap;
use crate::body::integer_product::End;
use crate::disjoint::Disjoint;
use crate::loaded::Matrix;
use crate::pass::Pass;

/// Logits of a task of the cap.
const STRETCH: usize = 4096;

impl Pass {
    /// `logits = weight input`, capped.
    pub(crate) fn unembed(&mut self, input: Register, matrix: &Matrix, softcap: Option<f32>) {
        let width = self.registers.width(input);
        assert_eq!((matrix.n_out, matrix.n_in), (self.n_vocab, width), "shape of the head");
        let rows = self.rows.iter().zip(self.registers.get(input).chunks_exact(width));
        let x: Vec<f32> = rows.filter(|(row, _)| row.wants_logits).flat_map(|(_, x)| x).copied().collect();
        self.logits.resize(x.len() / width * self.n_vocab, 0.0);
        let mut activations = Activations::default();
        let rows = match unpacker(matrix, self.arithmetic) {
            Some(_) => {
                activations.fill(self.isa, &mut self.pool, &x, width);
                Rows::Integers(&activations)
            }
            None => Rows::Floats(&x),
        };
        let end = End { bias: None, old: None };
        let out = Disjoint::new(&mut self.logits);
        linear::run(&mut self.pool, &self.scratch, &[Multiply { isa: self.isa, matrix, rows, end, out }]);
        if let Some(cap) = softcap {
            self.cap(cap);
        }
    }

    fn cap(&mut self, cap: f32) {
        let (isa, n) = (self.isa, self.logits.len());
        let logits = Disjoint::new(&mut self.logits);
        self.pool.run(n.div_ceil(STRETCH), &|_, i| {
            // SAFETY: stretches of different tasks do not overlap.
            let values = unsafe { logits.part(i * STRETCH..n.min((i + 1) * STRETCH)) };
            isa.run(Softcap { cap, values });
        });
    }
}
