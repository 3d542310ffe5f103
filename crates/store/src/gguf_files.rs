//! GGUF models in one file or split over several.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dewdrop_format::gguf::{self, Gguf, Split};

use crate::checkpoint::Needed;
use crate::map::Source;
use crate::{Checkpoint, CheckpointKind, StoreError};

/// Opens the model that `first` is, or is a part of.
pub(crate) fn open(first: Source, needed: Needed) -> Result<Checkpoint, StoreError> {
    let header = parse(&first, 0, needed)?;
    let Some(split) = header.split()? else { return Ok(checkpoint(header, vec![first])) };
    let path = first.path().to_owned();
    open_split(&path, split, needed)
}

/// Reads a model that is all in one piece.
pub(crate) fn parse_whole(source: Source) -> Result<Checkpoint, StoreError> {
    let header = parse(&source, 0, Needed::Whole)?;
    // Alone it is no whole model if it is a part of one; merging says so.
    Ok(checkpoint(gguf::merge_shards(vec![header])?, vec![source]))
}

fn open_split(path: &Path, split: Split, needed: Needed) -> Result<Checkpoint, StoreError> {
    let (mut headers, mut sources) = (Vec::new(), Vec::new());
    for (file, shard) in gguf::shard_paths(path, split)?.into_iter().enumerate() {
        let source = open_shard(shard, path)?;
        headers.push(parse(&source, file, needed)?);
        sources.push(source);
    }
    Ok(checkpoint_at(path, gguf::merge_shards(headers)?, sources))
}

fn open_shard(shard: PathBuf, named_by: &Path) -> Result<Source, StoreError> {
    if !shard.exists() {
        return Err(StoreError::MissingShard { path: shard, named_by: named_by.to_owned() });
    }
    Source::open(&shard)
}

fn parse(source: &Source, file: usize, needed: Needed) -> Result<Gguf, StoreError> {
    Ok(gguf::parse(source.path(), source.bytes(), needed.file_len(source), file)?)
}

fn checkpoint(header: Gguf, sources: Vec<Source>) -> Checkpoint {
    let path = sources[0].path().to_owned();
    checkpoint_at(&path, header, sources)
}

fn checkpoint_at(path: &Path, header: Gguf, sources: Vec<Source>) -> Checkpoint {
    let tensors: BTreeMap<_, _> =
        header.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.clone())).collect();
    Checkpoint::new(CheckpointKind::Gguf(header), tensors, path, sources)
}
