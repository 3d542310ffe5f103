//! A matrix rearranged for kernels: the file's bytes in the order in which they are used.
//!
//! Sixteen channels stand together, block after block. Within a block of sixteen channels come its pieces one after
//! another, a piece being the same few bytes of every channel side by side: four bytes, but where the format has a lone
//! half or byte. So lanes are channels without a transposition, sixteen channels are one stream instead of sixteen, and
//! the number of bytes is that of the file. What is unpacked is the same, and so are all results.

use std::sync::Arc;

use dewdrop_backend::Blocks;
use dewdrop_format::BlockType;
use memmap2::MmapMut;

use crate::disjoint::Disjoint;
use crate::panel::CHANNELS;
use crate::pool::Pool;
use crate::unpack::Unpacker;

/// A place within a block where a piece of fewer than four bytes stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Narrow {
    pub(crate) at: usize,
    pub(crate) len: usize,
}

/// How a matrix is rearranged.
#[derive(Clone, Copy)]
pub(crate) enum Pieces {
    /// Of blocks of so many bytes.
    Blocks { bytes: usize, narrow: &'static [Narrow] },
    /// Two bfloat16 inputs each, of which denormal ones become zeros.
    Pairs,
}

impl Pieces {
    /// Those of a matrix; none if it stays as it is.
    pub(crate) fn of(block_type: BlockType, n_in: usize) -> Option<Self> {
        match Unpacker::of(block_type) {
            Some(Unpacker { narrow, .. }) => Some(Pieces::Blocks { bytes: block_type.block().bytes, narrow }),
            None if block_type == BlockType::BF16 && n_in.is_multiple_of(2) => Some(Pieces::Pairs),
            None => None,
        }
    }
}

/// Bytes of a matrix of `n_out` channels by `n_in` inputs, rearranged: the last channels are filled up to sixteen.
pub(crate) fn bytes(block_type: BlockType, n_out: usize, n_in: usize) -> usize {
    n_out.next_multiple_of(CHANNELS) * block_type.bytes_for(n_in)
}

/// Bytes that a task copies.
const COPIED: usize = 1 << 20;

/// Memory for rearranged matrices, on huge pages where the system has them.
///
/// # Errors
/// If the system has no such memory.
pub(crate) fn memory(len: usize) -> std::io::Result<MmapMut> {
    let memory = MmapMut::map_anon(len)?;
    // Only speed depends on it.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}

/// Rearranges a matrix in file order, `n_in` inputs of each channel, to `out`.
pub(crate) fn rearrange(
    pool: &mut Pool,
    pieces: Pieces,
    block_type: BlockType,
    file: &[u8],
    n_in: usize,
    out: &mut [u8],
) {
    let channel_bytes = block_type.bytes_for(n_in);
    let (n_out, tile_bytes) = (file.len() / channel_bytes, CHANNELS * channel_bytes);
    let out = Disjoint::new(out);
    pool.run(n_out.div_ceil(CHANNELS), &|_, tile| {
        let first = tile * CHANNELS;
        let file = &file[first * channel_bytes..n_out.min(first + CHANNELS) * channel_bytes];
        // SAFETY: a tile's bytes are its task's alone.
        let out = unsafe { out.part(tile * tile_bytes..(tile + 1) * tile_bytes) };
        rearrange_tile(pieces, file, channel_bytes, out);
    });
}

/// Whether a matrix can be rearranged where it lies: its channels are tiles without any filling up.
pub(crate) fn fits_in_place(n_out: usize) -> bool {
    n_out.is_multiple_of(CHANNELS)
}

/// Rearranges a matrix of whole tiles where it lies: a tile takes the place of the same channels in file order.
pub(crate) fn rearrange_in_place(
    pool: &mut Pool,
    pieces: Pieces,
    block_type: BlockType,
    bytes: &mut [u8],
    n_in: usize,
) {
    let channel_bytes = block_type.bytes_for(n_in);
    let tile_bytes = CHANNELS * channel_bytes;
    let n_tiles = bytes.len() / tile_bytes;
    let bytes = Disjoint::new(bytes);
    pool.run(n_tiles, &|_, tile| {
        // SAFETY: a tile's bytes are its task's alone.
        let tile = unsafe { bytes.part(tile * tile_bytes..(tile + 1) * tile_bytes) };
        let file = tile.to_vec();
        rearrange_tile(pieces, &file, channel_bytes, tile);
    });
}

/// Rearranges up to sixteen channels.
fn rearrange_tile(pieces: Pieces, file: &[u8], channel_bytes: usize, out: &mut [u8]) {
    let n_out = file.len() / channel_bytes;
    // Channels beyond the last repeat it; their values go nowhere.
    let channel = |j: usize| &file[j.min(n_out - 1) * channel_bytes..][..channel_bytes];
    let channels: [&[u8]; CHANNELS] = std::array::from_fn(channel);
    match pieces {
        Pieces::Blocks { bytes, narrow } => {
            for (b, out) in out.chunks_exact_mut(CHANNELS * bytes).enumerate() {
                rearrange_block(channels.map(|c| &c[b * bytes..][..bytes]), narrow, out);
            }
        }
        Pieces::Pairs => {
            for (i, out) in out.chunks_exact_mut(CHANNELS * 4).enumerate() {
                put::<4>(channels, 4 * i, out);
                drop_denormals(out);
            }
        }
    }
}

/// Makes zeros of denormal bfloat16 values, which instructions differ about.
pub(crate) fn drop_denormals(values: &mut [u8]) {
    for value in values.as_chunks_mut::<2>().0 {
        let bits = u16::from_le_bytes(*value);
        *value = if bits & 0x7f80 == 0 { bits & 0x8000 } else { bits }.to_le_bytes();
    }
}

fn rearrange_block(channels: [&[u8]; CHANNELS], narrow: &[Narrow], mut out: &mut [u8]) {
    let n_bytes = channels[0].len();
    let mut at = 0;
    while at < n_bytes {
        let len = narrow.iter().find(|piece| piece.at == at).map_or(4, |piece| piece.len);
        let (pieces, rest) = out.split_at_mut(CHANNELS * len);
        match len {
            4 => put::<4>(channels, at, pieces),
            2 => put::<2>(channels, at, pieces),
            _ => put::<1>(channels, at, pieces),
        }
        (at, out) = (at + len, rest);
    }
}

fn put<const N: usize>(channels: [&[u8]; CHANNELS], at: usize, out: &mut [u8]) {
    for (piece, channel) in out.as_chunks_mut::<N>().0.iter_mut().zip(channels) {
        *piece = *channel[at..].first_chunk().expect("a piece is within its block");
    }
}

/// Copies what stays in file order.
pub(crate) fn copy(pool: &mut Pool, file: &[u8], out: &mut [u8]) {
    let (n, target) = (out.len(), Disjoint::new(out));
    pool.run(n.div_ceil(COPIED), &|_, i| {
        let part = i * COPIED..n.min((i + 1) * COPIED);
        // SAFETY: parts of different tasks do not overlap.
        unsafe { target.part(part.clone()) }.copy_from_slice(&file[part]);
    });
}

/// Shares memory that is complete.
pub(crate) fn share(memory: MmapMut) -> Blocks {
    Blocks::new(Arc::new(memory))
}
