//! A slice that several threads write, each its own parts.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice to be shared out among tasks: the type system cannot see that tasks take different parts, so taking
/// one is unsafe.
#[derive(Clone, Copy)]
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    lent: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`, which may be handed to another thread if `T` may; parts used at the same time do
// not overlap (the contract of `part`).
unsafe impl<T: Send> Send for Disjoint<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), lent: PhantomData }
    }

    /// Where an element lies, or would lie if the slice were longer.
    pub(crate) fn address(&self, i: usize) -> *const u8 {
        self.start.wrapping_add(i).cast()
    }

    /// Part of the slice, for the one task that it belongs to.
    ///
    /// # Panics
    /// If `range` is not within the slice.
    ///
    /// # Safety
    /// No part that overlaps this one is in use as long as the result is.
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "part {range:?} of {}", self.len);
        // SAFETY: within the slice (asserted), whose lifetime is 'a; exclusive by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
