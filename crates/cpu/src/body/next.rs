//! Asking for memory while a product computes.

use crate::lanes::Lanes;

/// Bytes ahead of the present ones that few rows ask for: what a core reads while memory answers, a few times. The best
/// distance of some types is half a kilobyte less, of others one more.
pub(crate) const AHEAD: usize = 6656;

/// Bytes that memory hands over at once.
pub(crate) const LINE: usize = 64;

/// One of so many lines is asked for where the processor [follows streams](crate::isa::Isa::follows_streams) and bytes are
/// read in order with little to compute between them.
pub(crate) const SPARSE: usize = 4;

/// What is read after a product: memory would rest while it computes, so lines are asked for little by little, all of
/// them by its end.
#[derive(Clone, Copy)]
pub(crate) struct Next {
    /// Any address will do.
    at: *const u8,
    n_lines: usize,
    /// Lines of a step.
    share: usize,
}

impl Next {
    pub(crate) const NOTHING: Next = Next { at: std::ptr::null(), n_lines: 0, share: 0 };

    /// `bytes` from `at` on, in equal steps.
    pub(crate) fn new(at: *const u8, bytes: usize, n_steps: usize) -> Self {
        let n_lines = bytes.div_ceil(LINE);
        Next { at, n_lines, share: n_lines.div_ceil(n_steps) }
    }

    /// Asks for one step's share. `left` steps follow. The last steps ask: what is asked for too early would be gone again.
    #[inline(always)]
    pub(crate) fn ask<L: Lanes>(self, l: L, left: usize) {
        let end = self.n_lines.saturating_sub(left * self.share);
        for line in end.saturating_sub(self.share)..end {
            l.prefetch_far(self.at.wrapping_add(line * LINE));
        }
    }
}
