//! A matrix rearranged for kernels: the file's bytes in the order in which they are used.
//!
//! Sixteen channels stand together, block after block. Within a block of sixteen channels come its pieces in the order in
//! which they are read, a piece being the same few bytes of every channel side by side: four bytes, but where the format has
//! a lone half or byte. So lanes are channels without a transposition, sixteen channels are one stream instead of sixteen,
//! and the number of bytes is that of the file. What is unpacked is the same, and so are all results.

use std::sync::{Arc, Mutex};

use dewdrop_backend::Blocks;
use dewdrop_format::BlockType;
use memmap2::MmapMut;

use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::panel::CHANNELS;
use crate::pool::Pool;
use crate::scratch::Scratch;
use crate::unpack::{Arrange, Unpacker, arrange_pairs};

/// How a matrix is rearranged; none if it stays as it is.
pub(crate) fn arrangement(block_type: BlockType, n_in: usize) -> Option<Arrange> {
    match Unpacker::of(block_type) {
        Some(unpacker) => Some(unpacker.arrange),
        None if block_type == BlockType::BF16 && n_in.is_multiple_of(2) => Some(arrange_pairs),
        None => None,
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

/// Sixteen channels in file order, of so many bytes each, from `first` on. Beyond the last they repeat it; those values go
/// nowhere.
pub(crate) fn sixteen(file: &[u8], channel_bytes: usize, first: usize) -> [&[u8]; CHANNELS] {
    let last = file.len() / channel_bytes - 1;
    std::array::from_fn(|j| &file[(first + j).min(last) * channel_bytes..][..channel_bytes])
}

/// Rearranges a matrix in file order, of channels of so many bytes, to `out`.
pub(crate) fn rearrange(
    pool: &mut Pool,
    isa: Isa,
    arrange: Arrange,
    file: &[u8],
    channel_bytes: usize,
    out: &mut [u8],
) {
    let (n_out, tile_bytes) = (file.len() / channel_bytes, CHANNELS * channel_bytes);
    let out = Disjoint::new(out);
    pool.run(n_out.div_ceil(CHANNELS), &|_, tile| {
        // SAFETY: a tile's bytes are its task's alone.
        let out = unsafe { out.part(tile * tile_bytes..(tile + 1) * tile_bytes) };
        arrange(isa, sixteen(file, channel_bytes, tile * CHANNELS), out);
    });
}

/// Whether a matrix can be rearranged where it lies: its channels are tiles without any filling up.
pub(crate) fn fits_in_place(n_out: usize) -> bool {
    n_out.is_multiple_of(CHANNELS)
}

/// Rearranges a matrix of whole tiles where it lies: a tile takes the place of the same channels in file order. `scratch`:
/// one for each worker.
pub(crate) fn rearrange_in_place(
    pool: &mut Pool,
    scratch: &[Mutex<Scratch>],
    isa: Isa,
    arrange: Arrange,
    bytes: &mut [u8],
    channel_bytes: usize,
) {
    let tile_bytes = CHANNELS * channel_bytes;
    let n_tiles = bytes.len() / tile_bytes;
    let bytes = Disjoint::new(bytes);
    pool.run(n_tiles, &|worker, tile| {
        // SAFETY: a tile's bytes are its task's alone.
        let tile = unsafe { bytes.part(tile * tile_bytes..(tile + 1) * tile_bytes) };
        let mut scratch = scratch[worker].try_lock().expect("a worker's scratch is its own");
        let (file, _) = scratch.panels(tile_bytes);
        file.copy_from_slice(tile);
        arrange(isa, sixteen(file, channel_bytes, 0), tile);
    });
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
