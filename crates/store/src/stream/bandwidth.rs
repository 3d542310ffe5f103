//! How fast files can be read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::file::ReadFile;
use super::layout::Extent;
use super::region::Part;
use super::transfers::Transfers;
use super::{PAGE, reader};
use crate::{Checkpoint, StoreError};

/// Bytes of a buffer: read as one piece.
const BUFFER: usize = 4 << 20;
/// Buffers that fill at once, as many as staging slots have bytes for.
const N_BUFFERS: usize = 8;

/// Bytes per second of direct reads of a checkpoint's largest file, measured by reading `n_bytes` of it, more than once
/// where it is short.
///
/// # Errors
/// If the file cannot be read, or there is no memory for the buffers.
pub fn read_bandwidth(checkpoint: &Arc<Checkpoint>, n_bytes: u64) -> Result<f64, StoreError> {
    let files: Arc<[ReadFile]> = ReadFile::all(checkpoint).into();
    let lens = files.iter().map(|file| file.source().len());
    let (file, len) = lens.enumerate().max_by_key(|(_, len)| *len).expect("a checkpoint has files");
    let memory = |source| StoreError::Memory { len: N_BUFFERS * BUFFER, source };
    let mut staging = Part::new(N_BUFFERS * BUFFER).map_err(memory)?;
    let mut transfers = Transfers::new(reader::best(&files), files);
    transfers.register(&mut staging);
    let mut free = staging.cut(N_BUFFERS, BUFFER);
    let mut under_way = VecDeque::new();
    let (mut offset, mut n_begun) = (0, 0);
    let start = Instant::now();
    while n_begun < n_bytes || !under_way.is_empty() {
        if let Some(part) = free.pop_if(|_| n_begun < n_bytes) {
            let wanted = usize::try_from(len - offset).map_or(BUFFER, |rest| rest.min(BUFFER));
            let extent = Extent { file, offset, len: wanted.next_multiple_of(PAGE), at: 0 };
            under_way.push_back(transfers.start(part, &[extent], false));
            n_begun += wanted as u64;
            offset = (offset + BUFFER as u64) % len.next_multiple_of(BUFFER as u64);
        } else {
            let transfer = under_way.pop_front().expect("buffers are free or under way");
            let (part, result) = transfers.finish(transfer);
            let path = checkpoint.sources()[file].path().to_owned();
            result.map_err(|f| StoreError::Read { path, offset: f.offset, len: f.len, source: f.source })?;
            free.push(part);
        }
    }
    Ok(transfers.bytes_read() as f64 / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_files_are_read_more_than_once() {
        let model = super::super::tests::small_checkpoint();
        let bandwidth = read_bandwidth(&model, 1 << 20).unwrap();
        assert!(bandwidth.is_finite() && bandwidth > 0.0, "{bandwidth}");
    }
}
