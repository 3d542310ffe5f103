//! Weights in memory of our own, read once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dewdrop_backend::Blocks;
use dewdrop_format::TensorInfo;

use crate::aligned::{ALIGNMENT, Aligned};
use crate::{Checkpoint, StoreError, WeightSource};

/// Copies a section's tensors into one buffer, but those that are there already.
pub(crate) fn read(
    checkpoint: &Checkpoint,
    sources: &[WeightSource],
    shared: &mut Shared,
) -> Result<Vec<Blocks>, StoreError> {
    let fresh: Vec<&TensorInfo> =
        sources.iter().map(|source| &source.info).filter(|info| shared.get(info).is_none()).collect();
    let mut buffer = Aligned::zeroed(fresh.iter().map(|info| padded(info)).sum());
    let mut offset = 0;
    for info in &fresh {
        let out = &mut buffer.bytes_mut()[offset..offset + info.len as usize];
        checkpoint.source(info).read(info.offset, out)?;
        offset += padded(info);
    }
    let buffer = Blocks::new(Arc::new(buffer));
    let mut offset = 0;
    let mut take = |info: &TensorInfo| {
        let blocks = buffer.slice(offset..offset + info.len as usize);
        offset += padded(info);
        blocks
    };
    let mut blocks = Vec::with_capacity(sources.len());
    for WeightSource { info, .. } in sources {
        let known = shared.get(info).cloned();
        blocks.push(known.unwrap_or_else(|| take(info)));
    }
    for (source, blocks) in sources.iter().zip(&blocks) {
        shared.keep(&source.info, blocks);
    }
    Ok(blocks)
}

/// Bytes that a tensor takes in a buffer of aligned tensors.
fn padded(info: &TensorInfo) -> usize {
    (info.len as usize).next_multiple_of(ALIGNMENT)
}

/// Tensors that several sections use (an embedding table that is also the head), so that they are read once.
pub(crate) struct Shared {
    tensors: HashMap<(usize, u64), Option<Blocks>>,
}

impl Shared {
    pub(crate) fn find(sections: &[Vec<WeightSource>]) -> Self {
        let mut seen = HashSet::new();
        let mut tensors = HashMap::new();
        for section in sections {
            let places: HashSet<_> = section.iter().map(|source| place(&source.info)).collect();
            tensors
                .extend(places.into_iter().filter(|place| !seen.insert(*place)).map(|place| (place, None)));
        }
        Shared { tensors }
    }

    fn get(&self, info: &TensorInfo) -> Option<&Blocks> {
        self.tensors.get(&place(info))?.as_ref()
    }

    fn keep(&mut self, info: &TensorInfo, blocks: &Blocks) {
        if let Some(slot) = self.tensors.get_mut(&place(info)) {
            *slot = Some(blocks.clone());
        }
    }
}

fn place(info: &TensorInfo) -> (usize, u64) {
    (info.file, info.offset)
}
