//! Rows of the embedding table.

use dewdrop_backend::{Register, Weight};

use crate::disjoint::Disjoint;
use crate::pass::Pass;

impl Pass {
    /// `out = scale * table[token]`.
    pub(crate) fn embed(&mut self, table: &Weight, scale: f32, out: Register) {
        let width = self.registers.width(out);
        assert_eq!(width, table.n_in, "embedding of {} into a register of {width}", table.n_in);
        let mut values = self.registers.take_spare(out);
        let target = Disjoint::new(&mut values);
        let rows = &self.rows;
        self.pool.run(rows.len(), &|_, row| {
            // SAFETY: a row of the target is its task's alone.
            let out = unsafe { target.part(row * width..(row + 1) * width) };
            let n_bytes = table.block_type.bytes_for(table.n_in);
            let bytes = &table.blocks[rows[row].token as usize * n_bytes..][..n_bytes];
            (table.block_type.block().decode)(bytes, out);
            if scale != 1.0 {
                out.iter_mut().for_each(|value| *value *= scale);
            }
        });
        self.registers.put(out, values);
    }
}
