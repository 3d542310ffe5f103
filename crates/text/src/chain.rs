//! Pieces in a row, joined with their neighbours, best first, until none can be joined.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Joins all neighbours of which `join` says how good that is and what they become: the best of all first, the leftmost of
/// equals. Yields what is left. The queue of candidates is that of SentencePiece (Kudo and Richardson 2018).
pub(crate) fn join_all<T: Copy, R: Ord>(
    pieces: impl Iterator<Item = T>,
    join: impl Fn(T, T) -> Option<(R, T)>,
) -> impl Iterator<Item = T> {
    let mut chain = Chain::new(pieces);
    let candidate = |chain: &Chain<T>, left: usize, right: usize| {
        let (rank, joined) = join(chain.links[left].piece, chain.links[right].piece)?;
        Some(Candidate { rank, left, right, joined, size: chain.links[left].size + chain.links[right].size })
    };
    let pairs = 1..chain.links.len();
    let mut queue: BinaryHeap<_> = pairs.filter_map(|right| candidate(&chain, right - 1, right)).collect();
    while let Some(best) = queue.pop() {
        if !chain.join(&best) {
            continue;
        }
        let link = &chain.links[best.left];
        queue.extend(link.previous.and_then(|left| candidate(&chain, left, best.left)));
        queue.extend(link.next.and_then(|right| candidate(&chain, best.left, right)));
    }
    chain.links.into_iter().filter(|link| link.size > 0).map(|link| link.piece)
}

/// The row as a list.
struct Chain<T> {
    links: Vec<Link<T>>,
}

struct Link<T> {
    piece: T,
    /// How many pieces it was; 0: it was joined to its left neighbour.
    size: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

/// Two neighbours that may be joined.
struct Candidate<T, R> {
    rank: R,
    left: usize,
    right: usize,
    joined: T,
    /// Of both when this was queued; otherwise one of them has changed since.
    size: usize,
}

impl<T: Copy> Chain<T> {
    fn new(pieces: impl Iterator<Item = T>) -> Self {
        let link =
            |(i, piece): (usize, T)| Link { piece, size: 1, previous: i.checked_sub(1), next: Some(i + 1) };
        let mut links: Vec<_> = pieces.enumerate().map(link).collect();
        if let Some(last) = links.last_mut() {
            last.next = None;
        }
        Chain { links }
    }

    /// Joins two neighbours, unless they have changed since they were queued.
    fn join<R>(&mut self, candidate: &Candidate<T, R>) -> bool {
        let (left, right) = (&self.links[candidate.left], &self.links[candidate.right]);
        if left.size == 0 || right.size == 0 || left.size + right.size != candidate.size {
            return false;
        }
        let next = right.next;
        self.links[candidate.right].size = 0;
        let left = &mut self.links[candidate.left];
        (left.piece, left.size, left.next) = (candidate.joined, candidate.size, next);
        if let Some(next) = next {
            self.links[next].previous = Some(candidate.left);
        }
        true
    }
}

impl<T, R: Ord> Ord for Candidate<T, R> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank).then(other.left.cmp(&self.left))
    }
}

impl<T, R: Ord> PartialOrd for Candidate<T, R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T, R: Ord> PartialEq for Candidate<T, R> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T, R: Ord> Eq for Candidate<T, R> {}
