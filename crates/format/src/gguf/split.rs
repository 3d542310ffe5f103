//! Models split over several GGUF files, `name-00001-of-00003.gguf` and so on.

use std::path::{Path, PathBuf};

use super::header::Gguf;
use super::tensors::check_names;
use crate::FormatError;
use crate::error::FAULTY_TOOL;

const NUMBER_KEY: &str = "split.no";
const COUNT_KEY: &str = "split.count";
const TENSORS_KEY: &str = "split.tensors.count";

/// Which part of a split model a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Which shard, from 0.
    pub number: u16,
    /// How many shards there are.
    pub count: u16,
}

impl Gguf {
    /// Which part of a split model this file is; `None` for a whole model.
    ///
    /// # Errors
    ///
    /// If there is a count without a number below it.
    pub fn split(&self) -> Result<Option<Split>, FormatError> {
        // Some tools write a count of 0 or 1 into whole files.
        let Some(count) = self.metadata.get_u64(COUNT_KEY)?.filter(|&count| count > 1) else {
            return Ok(None);
        };
        let number = self.metadata.get_u64(NUMBER_KEY)?;
        match (number.map(u16::try_from), u16::try_from(count)) {
            (Some(Ok(number)), Ok(count)) if number < count => Ok(Some(Split { number, count })),
            _ => {
                let place = format!("keys `{NUMBER_KEY}`, `{COUNT_KEY}`");
                let number = number.map_or("no number".into(), |number| format!("number {number}"));
                let (found, expected) =
                    (format!("{number} of {count}"), "a number below a count of at most 65535");
                Err(FormatError::malformed(self.metadata.path(), place, found, expected, FAULTY_TOOL))
            }
        }
    }
}

/// The paths of all shards, in order, given the path of any one of them.
///
/// # Errors
///
/// If the file's name does not end as shard `split.number` of `split.count` must.
pub fn shard_paths(path: &Path, split: Split) -> Result<Vec<PathBuf>, FormatError> {
    let suffix = |number: u16| format!("-{:05}-of-{:05}.gguf", u32::from(number) + 1, split.count);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(prefix) = name.strip_suffix(&suffix(split.number)) else {
        let found = format!("a file name that does not end in `{}`", suffix(split.number));
        let expected = format!("the name of shard {} of {}", u32::from(split.number) + 1, split.count);
        return Err(FormatError::Shards { path: path.into(), found, expected });
    };
    Ok((0..split.count).map(|number| path.with_file_name(format!("{prefix}{}", suffix(number)))).collect())
}

/// Joins the headers of all shards of a model, given in order: metadata of the first, tensors of all.
///
/// Each shard keeps the [`TensorInfo::file`](crate::TensorInfo::file) it was parsed with.
///
/// # Errors
///
/// If shards are missing, out of order or of another model, or tensors share a name.
///
/// # Panics
///
/// If there are no shards.
pub fn merge_shards(shards: Vec<Gguf>) -> Result<Gguf, FormatError> {
    let n_shards = shards.len();
    for (position, shard) in shards.iter().enumerate() {
        check_position(shard, position, n_shards)?;
    }
    let mut shards = shards.into_iter();
    let mut merged = shards.next().expect("a model has at least one shard");
    for shard in shards {
        merged.tensors.extend(shard.tensors);
    }
    let path = merged.metadata.path();
    if let Some(expected) = merged.metadata.get_u64(TENSORS_KEY)?
        && u64::try_from(merged.tensors.len()) != Ok(expected)
    {
        let found = format!("{} tensors in {n_shards} shards", merged.tensors.len());
        return Err(FormatError::Shards { path: path.into(), found, expected: format!("{expected}") });
    }
    check_names(path, &merged.tensors)?;
    Ok(merged)
}

fn check_position(shard: &Gguf, position: usize, n_shards: usize) -> Result<(), FormatError> {
    let found = match shard.split()? {
        Some(split) if usize::from(split.number) == position && usize::from(split.count) == n_shards => {
            return Ok(());
        }
        None if n_shards == 1 => return Ok(()),
        Some(split) => format!("shard {} of {}", u32::from(split.number) + 1, split.count),
        None => "a whole model".into(),
    };
    let expected = format!("shard {} of {n_shards}", position + 1);
    Err(FormatError::Shards { path: shard.metadata.path().into(), found, expected })
}
