//! Rows of activations as products take them.

use dewdrop_backend::Arithmetic;
use dewdrop_format::BlockType;

use crate::activations::Activations;
use crate::isa::Isa;
use crate::pairs::Pairs;
use crate::pool::Pool;
use crate::unpack::Unpacker;

/// How a matrix is multiplied.
pub(crate) enum Kind {
    Integers(&'static Unpacker),
    Pairs,
    Floats,
}

impl Kind {
    /// That of matrices of a type under an arithmetic.
    pub(crate) fn of(block_type: BlockType, arithmetic: Arithmetic) -> Kind {
        match (arithmetic, Unpacker::of(block_type)) {
            (Arithmetic::Exact, _) => Kind::Floats,
            (Arithmetic::Quantized, Some(unpacker)) => Kind::Integers(unpacker),
            (Arithmetic::Quantized, None) if block_type == BlockType::BF16 => Kind::Pairs,
            (Arithmetic::Quantized, None) => Kind::Floats,
        }
    }
}

/// A product's inputs.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// For quantized weights.
    Integers(&'a Activations),
    /// For bfloat16 weights.
    Pairs(&'a Pairs),
    /// `[n_rows, n_in]`.
    Floats(&'a [f32]),
}

/// Rows rounded for the kinds of matrices that read them, once for each kind.
#[derive(Default)]
pub(crate) struct Rounded {
    integers: Activations,
    pairs: Pairs,
    has_integers: bool,
    has_pairs: bool,
}

impl Rounded {
    /// The rows are about to be others.
    pub(crate) fn forget(&mut self) {
        (self.has_integers, self.has_pairs) = (false, false);
    }

    /// Takes the memory for so many rows as int8.
    pub(crate) fn settle(&mut self, n_rows: usize, n_in: usize) {
        self.integers.resize(n_rows, n_in);
    }

    /// Gets ready for products of `x`, `[n_rows, n_in]`, with matrices of a kind.
    pub(crate) fn prepare(&mut self, kind: &Kind, isa: Isa, pool: &mut Pool, x: &[f32], n_in: usize) {
        match kind {
            Kind::Integers(unpacker) => {
                if !self.has_integers {
                    self.integers.fill(isa, pool, x, n_in);
                    self.has_integers = true;
                }
                self.integers.start(isa, unpacker.form);
            }
            Kind::Pairs if !self.has_pairs => {
                // They take the room of the int8 where nobody needs that.
                if !self.has_integers {
                    self.integers = Activations::default();
                }
                self.pairs.fill(isa, pool, x, n_in);
                self.has_pairs = true;
            }
            Kind::Pairs | Kind::Floats => {}
        }
    }

    /// What products of `x` with matrices of a kind take.
    ///
    /// # Panics
    /// If that was not [prepared](Rounded::prepare).
    pub(crate) fn rows<'a>(&'a self, kind: &Kind, x: &'a [f32]) -> Rows<'a> {
        match kind {
            Kind::Integers(_) => {
                assert!(self.has_integers, "rows are quantized");
                Rows::Integers(&self.integers)
            }
            Kind::Pairs => {
                assert!(self.has_pairs, "rows are rounded");
                Rows::Pairs(&self.pairs)
            }
            Kind::Floats => Rows::Floats(x),
        }
    }
}
