//! Rotary position embeddings: tables of cosines and sines, and turning heads by them.
//!
//! Su et al. 2021; `docs/arithmetic.md`, "Rope". Tables come from pure-Rust routines in f64, so they are the same on
//! every machine.

use crate::{Pairing, Rope};

/// Positions that a table grows by.
pub const GROWTH: usize = 64;

/// Cosines and sines of one rope, for the positions asked for so far.
#[derive(Clone, Debug)]
pub struct RopeTable {
    rope: Rope,
    /// Per position, all cosines, then all sines.
    values: Vec<f32>,
    n_positions: usize,
}

impl RopeTable {
    /// An empty table.
    pub fn new(rope: &Rope) -> Self {
        RopeTable { rope: rope.clone(), values: Vec::new(), n_positions: 0 }
    }

    /// Grows the table, by whole blocks of 64 positions, until it has `n_positions`.
    pub fn reserve(&mut self, n_positions: usize) {
        let wanted = n_positions.next_multiple_of(GROWTH);
        for position in self.n_positions..wanted {
            let angles = self.rope.frequencies.iter().map(|frequency| position as f64 * frequency);
            let factor = self.rope.factor;
            self.values.extend(angles.clone().map(|angle| scaled(libm::cos(angle), factor)));
            self.values.extend(angles.map(|angle| scaled(libm::sin(angle), factor)));
        }
        self.n_positions = self.n_positions.max(wanted);
    }

    /// Positions the table has.
    pub fn n_positions(&self) -> usize {
        self.n_positions
    }

    /// Which dimensions form a pair.
    pub fn pairing(&self) -> Pairing {
        self.rope.pairing
    }

    /// Pairs that turn; twice as many leading dimensions of a head.
    pub fn n_pairs(&self) -> usize {
        self.rope.frequencies.len()
    }

    /// Cosines and sines of a position, `[n_pairs]` each, times the rope's factor.
    ///
    /// # Panics
    /// If the table was not [reserved](Self::reserve) that far.
    pub fn cos_sin(&self, position: usize) -> (&[f32], &[f32]) {
        assert!(
            position < self.n_positions,
            "rope table of {} positions asked for {position}",
            self.n_positions
        );
        let n = self.n_pairs();
        self.values[position * 2 * n..][..2 * n].split_at(n)
    }

    /// Turns a head to its position; dimensions beyond the pairs stay.
    #[inline(always)] // so that a caller with an instruction set enabled has it compiled with that
    pub fn turn(&self, head: &mut [f32], position: usize) {
        let n = self.n_pairs();
        assert!(2 * n <= head.len(), "rope of {} dimensions in a head of {}", 2 * n, head.len());
        let (cos, sin) = self.cos_sin(position);
        for i in 0..n {
            let (first, second) = match self.rope.pairing {
                Pairing::Halves => (i, i + n),
                Pairing::Adjacent => (2 * i, 2 * i + 1),
            };
            (head[first], head[second]) = turn_pair(head[first], head[second], cos[i], sin[i]);
        }
    }
}

#[inline(always)]
fn turn_pair(a: f32, b: f32, cos: f32, sin: f32) -> (f32, f32) {
    (a.mul_add(cos, -(b * sin)), b.mul_add(cos, a * sin))
}

/// Rounded first, then multiplied.
fn scaled(value: f64, factor: f32) -> f32 {
    if factor == 1.0 { value as f32 } else { value as f32 * factor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rope(pairing: Pairing, n_pairs: usize, factor: f32) -> Rope {
        let frequencies = (0..n_pairs).map(|i| 10000f64.powf(-(i as f64) / n_pairs as f64)).collect();
        Rope { pairing, frequencies, factor }
    }

    fn table(rope: &Rope, n_positions: usize) -> RopeTable {
        let mut table = RopeTable::new(rope);
        table.reserve(n_positions);
        table
    }

    #[test]
    fn grows_by_blocks_and_keeps_its_values() {
        let rope = rope(Pairing::Halves, 4, 1.0);
        let mut table = table(&rope, 1);
        assert_eq!(table.n_positions(), GROWTH);
        table.reserve(0);
        assert_eq!(table.n_positions(), GROWTH);
        let before = table.cos_sin(63).0.to_vec();
        table.reserve(GROWTH + 1);
        assert_eq!((table.n_positions(), table.cos_sin(63).0), (2 * GROWTH, &before[..]));
        assert_eq!(table.cos_sin(0), (&[1.0; 4][..], &[0.0; 4][..]));
    }

    #[test]
    fn pairings_turn_the_same_pairs() {
        let halves = table(&rope(Pairing::Halves, 3, 1.25), 70);
        let adjacent = table(&rope(Pairing::Adjacent, 3, 1.25), 70);
        let mut a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let mut b = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0, 7.0];
        halves.turn(&mut a, 69);
        adjacent.turn(&mut b, 69);
        assert_eq!([a[0], a[3], a[1], a[4], a[2], a[5], a[6]], b);
        assert_eq!(a[6], 7.0, "a dimension beyond the pairs moved");
    }

    proptest! {
        #[test]
        fn is_a_rotation(head in prop::collection::vec(-4f32..4.0, 16), position in 0usize..9000) {
            let rope = rope(Pairing::Halves, 6, 1.0);
            let mut turned = head.clone();
            table(&rope, position + 1).turn(&mut turned, position);
            for (i, frequency) in rope.frequencies.iter().enumerate() {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                let (a, b) = (f64::from(head[i]), f64::from(head[i + 6]));
                prop_assert!((f64::from(turned[i]) - (a * cos - b * sin)).abs() < 1e-6);
                prop_assert!((f64::from(turned[i + 6]) - (b * cos + a * sin)).abs() < 1e-6);
            }
            prop_assert_eq!(&turned[12..], &head[12..]);
        }
    }

    #[test]
    fn golden() {
        let table = table(&rope(Pairing::Halves, 2, 1.0), 1000);
        let (cos, sin) = table.cos_sin(999);
        let bits = [cos[0], cos[1], sin[0], sin[1]].map(f32::to_bits);
        assert_eq!(bits, [0x3f7f_e90e, 0xbf58_2f2b, 0xbcd8_c438, 0xbf09_1d4d], "{bits:#010x?}");
    }
}
