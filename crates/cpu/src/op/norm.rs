//! RMS norm, a task per row.

use dewdrop_backend::Register;

use crate::body::norm::Norm;
use crate::disjoint::Disjoint;
use crate::pass::Pass;

impl Pass {
    /// `out = norm(input) * weight`, or that added to it.
    pub(crate) fn norm(
        &mut self,
        input: Register,
        weight: Option<&[f32]>,
        eps: f32,
        out: Register,
        add: bool,
    ) {
        let width = self.registers.width(input);
        assert_eq!(width, self.registers.width(out), "widths of a norm's registers");
        let mut values = self.registers.take_spare(out);
        let target = Disjoint::new(&mut values);
        let (isa, x) = (self.isa, self.registers.get(input));
        let old = add.then(|| self.registers.get(out));
        self.pool.run(self.rows.len(), &|_, row| {
            let of_row = row * width..(row + 1) * width;
            let old = old.map(|old| &old[of_row.clone()]);
            // SAFETY: a row of the target is its task's alone.
            let out = unsafe { target.part(of_row.clone()) };
            isa.run(Norm { x: &x[of_row], weight, eps, old, out });
        });
        self.registers.put(out, values);
    }
}
