//! What each worker rearranges and unpacks weights into.

use dewdrop_backend::Arithmetic;
use dewdrop_format::BlockType;

use crate::buffer::Buffer;
use crate::panel::{CHANNELS, Panel, SPAN};
use crate::rows::Kind;

/// Channels of floats that are computed at a time. All rows are read for them, so of floats, which are four times as long
/// as int8, twice as many.
pub(crate) const FLOAT_CHANNELS: usize = 2 * CHANNELS;

/// Room of a worker: kept, since taking it anew for each tile costs more than the tile.
#[derive(Default)]
pub(crate) struct Scratch {
    sixteen: Vec<u8>,
    pub(crate) panel: Box<Panel>,
    pub(crate) floats: Buffer,
}

/// Bytes that each thread takes while it multiplies a matrix of `n_in` inputs, or rearranges it.
pub fn scratch_bytes(block_type: BlockType, n_in: usize, arithmetic: Arithmetic) -> u64 {
    let weights = match Kind::of(block_type, arithmetic) {
        Kind::Integers(_) | Kind::Pairs => sixteen_bytes(block_type.bytes_for(n_in)),
        Kind::Floats => FLOAT_CHANNELS * SPAN.min(n_in) * size_of::<f32>(),
    };
    (size_of::<Panel>() + weights) as u64
}

/// Bytes of sixteen channels. A lone last one of two bfloat16 inputs takes the room of both.
fn sixteen_bytes(channel_bytes: usize) -> usize {
    CHANNELS * channel_bytes.next_multiple_of(4)
}

impl Scratch {
    /// Room for sixteen channels of so many bytes, whose content is anything, and a panel to unpack them into.
    pub(crate) fn sixteen(&mut self, channel_bytes: usize) -> (&mut [u8], &mut Panel) {
        let n = sixteen_bytes(channel_bytes);
        if self.sixteen.len() < n {
            self.sixteen = vec![0; n];
        }
        (&mut self.sixteen[..n], &mut self.panel)
    }
}
