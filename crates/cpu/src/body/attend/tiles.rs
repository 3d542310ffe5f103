//! Queries cut into tiles that fill the registers.

use crate::lanes::Lanes;

/// Something to be done for each of some queries, which can be done for several at once.
pub(super) trait Tiles<L: Lanes> {
    /// Whether there are registers for six queries at once (eight of wide ones), else for four.
    const SIX: bool;

    /// Does it for `N` queries from `first` on, with `V` vectors of sums for each at a time.
    fn tile<const N: usize, const V: usize>(&mut self, l: L, first: usize);
}

/// Does it for `n` queries. Few at once keep more vectors of sums, so that additions need not wait for each other; and
/// there are twice as many where registers are wide.
#[inline(always)]
pub(super) fn tiles<L: Lanes, T: Tiles<L>>(l: L, n: usize, work: &mut T) {
    let mut first = 0;
    while first < n {
        let left = n - first;
        first += match left {
            8.. if T::SIX && L::WIDE => {
                work.tile::<8, 2>(l, first);
                8
            }
            6.. if T::SIX && left != 8 => {
                if L::WIDE {
                    work.tile::<6, 2>(l, first)
                } else {
                    work.tile::<6, 1>(l, first)
                }
                6
            }
            4.. => {
                if L::WIDE {
                    work.tile::<4, 2>(l, first)
                } else {
                    work.tile::<4, 1>(l, first)
                }
                4
            }
            2.. => {
                if L::WIDE {
                    work.tile::<2, 4>(l, first)
                } else {
                    work.tile::<2, 2>(l, first)
                }
                2
            }
            _ => {
                work.tile::<1, 4>(l, first);
                1
            }
        };
    }
}

/// Asks for `n` elements from `at` on to be fetched.
#[inline(always)]
pub(super) fn prefetch<L: Lanes, E>(l: L, ahead: Option<&[E]>, at: usize, n: usize) {
    let Some(ahead) = ahead else { return };
    for i in (at..at + n).step_by((64 / size_of::<E>()).max(1)) {
        l.prefetch_far(ahead.as_ptr().wrapping_add(i).cast());
    }
}

/// Whether so many queries wait for memory: then each line of what comes next is asked for beside one that is loaded, since
/// all at once keep a core from going on.
pub(super) const fn line_by_line(n_queries: usize) -> bool {
    n_queries <= 2
}

/// Elements to be asked for line by line: what comes next, or what is there anyway.
#[inline(always)]
pub(super) fn ahead<'a, E>(next: Option<&'a [E]>, present: &'a [E], first: usize) -> &'a [E] {
    match next {
        Some(next) if first == 0 => next,
        _ => present,
    }
}
