//! Heads turned to their positions.

use dewdrop_backend::rope::RopeTable;

use crate::lanes::{Job, Lanes};

/// The definition itself, compiled for the instruction set.
pub(crate) struct Turn<'a> {
    pub(crate) rope: &'a RopeTable,
    pub(crate) head: &'a mut [f32],
    pub(crate) position: usize,
}

impl Job for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        self.rope.turn(self.head, self.position);
    }
}
