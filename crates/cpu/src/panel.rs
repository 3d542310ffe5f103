//! Panels: quantized weights of sixteen channels as the product wants them.
//!
//! Lane j of everything is channel j. A step holds four consecutive inputs of each channel, so that one instruction
//! multiplies them with four activations; a group's scales, and minima, of all channels stand together. A panel is
//! unpacked from file blocks right before it is used ([`crate::unpack`]) and serves all rows of the batch.

use crate::lanes::{Bytes, Floats, Lanes};

/// Channels of a panel.
pub(crate) const CHANNELS: usize = 16;
/// Inputs whose products are summed before they join the others (`docs/arithmetic.md`, "Linear").
pub(crate) const SPAN: usize = 1024;
/// Inputs that a panel holds, at most: some spans, so that values of rows leave the registers once for all of them.
pub(crate) const MAX_INPUTS: usize = 4 * SPAN;
/// Weights that share a scale, at least.
const MIN_GROUP: usize = 16;
/// Groups of a panel, at most.
const MAX_GROUPS: usize = MAX_INPUTS / MIN_GROUP;
/// Panels that are multiplied side by side, at most.
pub(crate) const MAX_PANELS: usize = 2;
/// Rows of a tile that panels are multiplied with, at most: there are registers for so many on all instruction sets.
pub(crate) const PANEL_ROWS: usize = 4;

/// How a panel's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Weights that share a scale: 32 or 16.
    pub(crate) group: usize,
    /// Whether groups have a minimum.
    pub(crate) minima: bool,
    pub(crate) range: Range,
}

/// Which integers a panel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// Any signed bytes, made [`Lanes::wide`] in a panel.
    Signed,
    /// Unsigned bytes that are the weights plus `bias`, so small that the products of two neighbours, summed over
    /// `steps` (8, 4 or 2) steps, fit into 16 signed bits: not above 15, 31 or 63. No bias beside minima.
    Small { bias: i32, steps: usize },
}

impl Range {
    /// What has been added to weights that lanes `L` multiply.
    #[inline(always)]
    pub(crate) const fn bias<L: Lanes>(self) -> i32 {
        match self {
            Range::Signed => L::WIDE_BIAS,
            Range::Small { bias, .. } => bias,
        }
    }
}

/// Sixteen channels.
pub(crate) struct Panel {
    /// `[MAX_INPUTS / 4]`.
    steps: Vec<Bytes>,
    /// `[MAX_GROUPS]`, as minima.
    scales: Vec<Floats>,
    minima: Vec<Floats>,
}

impl Panel {
    /// Bytes that one takes.
    pub(crate) const BYTES: usize =
        MAX_INPUTS / 4 * size_of::<Bytes>() + 2 * MAX_GROUPS * size_of::<Floats>();
}

impl Default for Panel {
    fn default() -> Self {
        Panel {
            steps: vec![Bytes::ZERO; MAX_INPUTS / 4],
            scales: vec![Floats::ZERO; MAX_GROUPS],
            minima: vec![Floats::ZERO; MAX_GROUPS],
        }
    }
}

impl Panel {
    /// The first `n_inputs`, to be written.
    pub(crate) fn part_mut(&mut self, form: Form, n_inputs: usize) -> PartMut<'_> {
        let n_groups = n_inputs / form.group;
        PartMut {
            steps: &mut self.steps[..n_inputs / 4],
            scales: &mut self.scales[..n_groups],
            minima: &mut self.minima[..if form.minima { n_groups } else { 0 }],
        }
    }

    /// The first `n_inputs`.
    pub(crate) fn part(&self, form: Form, n_inputs: usize) -> Part<'_> {
        let n_groups = n_inputs / form.group;
        Part {
            steps: &self.steps[..n_inputs / 4],
            scales: &self.scales[..n_groups],
            minima: &self.minima[..if form.minima { n_groups } else { 0 }],
        }
    }
}

/// A panel's content, wherever it lies.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// `[n_inputs / 4]`.
    pub(crate) steps: &'a [Bytes],
    /// `[n_groups]`.
    pub(crate) scales: &'a [Floats],
    /// `[n_groups]`, or empty.
    pub(crate) minima: &'a [Floats],
}

/// A panel's content, to be written.
pub(crate) struct PartMut<'a> {
    pub(crate) steps: &'a mut [Bytes],
    pub(crate) scales: &'a mut [Floats],
    pub(crate) minima: &'a mut [Floats],
}
