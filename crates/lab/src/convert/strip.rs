//! Strips: a few rows of a tensor at a time, read, changed and encoded.

use std::ops::Range;

use dewdrop_format::BlockType;

use super::change::Change;

/// Values of a strip: what bounds the memory of a conversion. 16 MiB as singles.
pub(super) const VALUES: usize = 1 << 22;

/// Fewest values worth a thread.
const VALUES_PER_THREAD: usize = 1 << 14;

/// Reads the output's `rows` from a tensor's `bytes`, applying `change`.
pub(super) fn read(
    bytes: &[u8],
    block_type: BlockType,
    change: &Change,
    rows: Range<usize>,
    row_len: usize,
    values: &mut [f32],
) {
    let row_bytes = block_type.bytes_for(row_len);
    let mut scratch = vec![0.0; row_len];
    for (row, values) in rows.zip(values.chunks_exact_mut(row_len)) {
        let source = change.rows.as_ref().map_or(row, |rows| rows[row]);
        (block_type.block().decode)(&bytes[source * row_bytes..(source + 1) * row_bytes], values);
        if let Some(columns) = &change.columns {
            scratch.copy_from_slice(values);
            for (value, &column) in values.iter_mut().zip(columns) {
                *value = scratch[column];
            }
        }
        change.apply_to_values(values);
    }
}

/// Encodes whole rows. Blocks never cross rows, so the bytes do not depend on how rows are shared among threads.
pub(super) fn encode(values: &[f32], block_type: BlockType, row_len: usize, threads: usize) -> Vec<u8> {
    let n_rows = values.len() / row_len;
    let mut bytes = vec![0; n_rows * block_type.bytes_for(row_len)];
    let worth = values.len().div_ceil(VALUES_PER_THREAD);
    let rows_each = n_rows.div_ceil(threads.min(worth).max(1)).max(1);
    let pieces = values.chunks(rows_each * row_len);
    let pieces = pieces.zip(bytes.chunks_mut(rows_each * block_type.bytes_for(row_len)));
    std::thread::scope(|scope| {
        for (values, bytes) in pieces {
            scope.spawn(move || (block_type.block().encode)(values, bytes));
        }
    });
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_do_not_change_bytes() {
        let values: Vec<f32> = (0..512 * 256).map(|i| ((i * 7919 % 1009) as f32 - 500.0) * 1e-3).collect();
        for block_type in [BlockType::F16, BlockType::Q8_0, BlockType::Q4K] {
            let alone = encode(&values, block_type, 256, 1);
            for threads in [2, 3, 7, 64] {
                assert_eq!(encode(&values, block_type, 256, threads), alone, "{block_type} {threads}");
            }
        }
    }
}
