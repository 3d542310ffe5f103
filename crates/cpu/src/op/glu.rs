//! Gated linear unit, a task per stretch of a row.

use dewdrop_backend::{Activation, Register};

use crate::body::glu::Glu;
use crate::disjoint::Disjoint;
use crate::pass::Pass;
use crate::registers::Part;

/// Values of a task: some microseconds of work, more than starting a task costs.
const STRETCH: usize = 4096;

impl Pass {
    /// `out = activation(gate) * up`, as many channels of `gate` and `up` as the part has, from their first on.
    pub(crate) fn glu(&mut self, gate: Register, up: Register, out: &Part, activation: Activation) {
        let mut values = self.registers.take_for(out);
        let [of_gate, of_up, of_out] =
            [gate, up, out.register].map(|register| self.registers.width(register));
        let (channels, n) = (&out.channels, out.channels.len());
        assert!(channels.end <= of_out && n <= of_gate.min(of_up), "channels {channels:?} of a glu");
        let (isa, gate, up) = (self.isa, self.registers.get(gate), self.registers.get(up));
        let (target, per_row) = (Disjoint::new(&mut values), n.div_ceil(STRETCH));
        self.pool.run(self.rows.len() * per_row, &|_, i| {
            let (row, first) = (i / per_row, i % per_row * STRETCH);
            let len = STRETCH.min(n - first);
            let at = row * of_out + channels.start + first;
            // SAFETY: stretches of different tasks do not overlap.
            let out = unsafe { target.part(at..at + len) };
            let (gate, up) = (&gate[row * of_gate + first..][..len], &up[row * of_up + first..][..len]);
            isa.run(Glu { gate, up, activation, out });
        });
        self.registers.put_part(out, values);
    }
}
