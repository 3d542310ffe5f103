//! Gated linear unit, a task per stretch of values.

use dewdrop_backend::{Activation, Register};

use crate::body::glu::Glu;
use crate::disjoint::Disjoint;
use crate::pass::Pass;

/// Values of a task: some microseconds of work, more than starting a task costs.
const STRETCH: usize = 4096;

impl Pass {
    /// `out = activation(gate) * up`.
    pub(crate) fn glu(&mut self, gate: Register, up: Register, out: Register, activation: Activation) {
        let mut values = self.registers.take_spare(out);
        let (isa, gate, up) = (self.isa, self.registers.get(gate), self.registers.get(up));
        let n = self.rows.len() * self.registers.width(out);
        assert!(gate.len() == n && up.len() == n, "glu of {} and {} to {n} values", gate.len(), up.len());
        let target = Disjoint::new(&mut values);
        self.pool.run(n.div_ceil(STRETCH), &|_, i| {
            let part = i * STRETCH..n.min((i + 1) * STRETCH);
            // SAFETY: stretches of different tasks do not overlap.
            let out = unsafe { target.part(part.clone()) };
            isa.run(Glu { gate: &gate[part.clone()], up: &up[part], activation, out });
        });
        self.registers.put(out, values);
    }
}
