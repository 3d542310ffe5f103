//! What each worker rearranges and unpacks weights into.

use dewdrop_backend::Arithmetic;
use dewdrop_format::BlockType;

use crate::buffer::Buffer;
use crate::panel::{CHANNELS, MAX_PANELS, Panel, SPAN};
use crate::rows::Kind;

/// Channels of floats that are computed at a time. All rows are read for them, so of floats, which are four times as long
/// as int8, twice as many.
pub(crate) const FLOAT_CHANNELS: usize = 2 * CHANNELS;

/// Room of a worker: kept, since taking it anew for each tile costs more than the tile.
#[derive(Default)]
pub(crate) struct Scratch {
    arranged: Vec<u8>,
    panels: [Panel; MAX_PANELS],
    pub(crate) floats: Buffer,
}

/// Bytes that each thread takes while it multiplies a matrix of `n_in` inputs, or rearranges it.
pub fn scratch_bytes(block_type: BlockType, n_in: usize, arithmetic: Arithmetic) -> u64 {
    let weights = match Kind::of(block_type, arithmetic) {
        Kind::Integers(_) => MAX_PANELS * CHANNELS * block_type.bytes_for(n_in),
        Kind::Pairs => MAX_PANELS * pair_panel_bytes(n_in),
        Kind::Floats => FLOAT_CHANNELS * SPAN.min(n_in) * size_of::<f32>(),
    };
    (MAX_PANELS * Panel::BYTES + weights) as u64
}

/// Bytes of pairs of bfloat16 inputs of sixteen channels. A lone last one takes the room of both.
pub(crate) fn pair_panel_bytes(n_in: usize) -> usize {
    n_in.div_ceil(2) * size_of::<[u16; 2 * CHANNELS]>()
}

impl Scratch {
    /// Room for so many bytes of arranged channels, whose content is anything, and panels to unpack them into.
    pub(crate) fn panels(&mut self, n_bytes: usize) -> (&mut [u8], &mut [Panel; MAX_PANELS]) {
        if self.arranged.len() < n_bytes {
            self.arranged = vec![0; n_bytes];
        }
        (&mut self.arranged[..n_bytes], &mut self.panels)
    }
}
