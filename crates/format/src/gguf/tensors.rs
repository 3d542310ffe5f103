//! The list of tensors in a GGUF file.

use std::collections::HashSet;
use std::path::Path;

use super::MAX_DIMENSIONS;
use super::reader::{Reader, to_u64};
use crate::error::{DAMAGED, FAULTY_TOOL, shown};
use crate::tensor::tensor_len;
use crate::{BlockType, FormatError, TensorInfo};

/// Bytes of the shortest entry: an empty name, one size, type and offset.
pub(super) const LEAST_BYTES: usize = 8 + 4 + 8 + 4 + 8;

/// Types of GGUF that have no file in `block/`, so that a message can name them.
const OTHER_TYPES: &[(u32, &str)] = &[
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (40, "NVFP4"),
];

/// The entries of `n_tensors` tensors, in the order of the file, with offsets counted from the start of the data.
pub(super) fn parse_tensors(
    reader: &mut Reader<'_>,
    n_tensors: usize,
    file: usize,
) -> Result<Vec<TensorInfo>, FormatError> {
    let mut tensors = Vec::with_capacity(n_tensors);
    for position in 0..n_tensors {
        tensors.push(parse_tensor(reader, position, file)?);
    }
    check_names(reader.path(), &tensors)?;
    Ok(tensors)
}

/// Refuses two tensors of one name.
pub(super) fn check_names(path: &Path, tensors: &[TensorInfo]) -> Result<(), FormatError> {
    let mut names = HashSet::with_capacity(tensors.len());
    match tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
        Some(tensor) => Err(FormatError::duplicate(path, "tensor", &tensor.name)),
        None => Ok(()),
    }
}

/// The bytes of a tensor of this type and shape.
pub(super) fn checked_len(
    path: &Path,
    name: &str,
    block_type: BlockType,
    shape: &[usize],
) -> Result<u64, FormatError> {
    let refuse = |found: String, expected: String| {
        FormatError::malformed(path, format!("tensor `{}`", shown(name)), found, expected, FAULTY_TOOL)
    };
    if shape.is_empty() || shape.len() > MAX_DIMENSIONS {
        return Err(refuse(format!("{} dimensions", shape.len()), format!("1 to {MAX_DIMENSIONS}")));
    }
    if shape.contains(&0) {
        return Err(refuse(format!("shape {shape:?}"), "no size of 0".into()));
    }
    let (block, n_in) = (block_type.block(), shape[shape.len() - 1]);
    if !n_in.is_multiple_of(block.len) {
        return Err(refuse(
            format!("rows of {n_in} weights in {block_type}"),
            format!("a multiple of {}", block.len),
        ));
    }
    tensor_len(block_type, shape)
        .ok_or_else(|| refuse(format!("shape {shape:?}"), "a size that fits in memory addresses".into()))
}

fn parse_tensor(reader: &mut Reader<'_>, position: usize, file: usize) -> Result<TensorInfo, FormatError> {
    let name = reader.string(&|| format!("name of tensor {position}"))?;
    let place = || format!("tensor `{}`", shown(name));
    let shape = parse_shape(reader, &place)?;
    let id = reader.u32(&place)?;
    let offset = reader.u64(&place)?;
    let Some(block_type) = BlockType::from_gguf_id(id) else {
        let known = OTHER_TYPES.iter().find(|(other, _)| *other == id).map(|(_, name)| *name);
        return Err(FormatError::UnsupportedType {
            path: reader.path().into(),
            tensor: shown(name),
            id,
            name: known,
        });
    };
    let len = checked_len(reader.path(), name, block_type, &shape)?;
    Ok(TensorInfo { name: name.into(), shape, block_type, file, offset, len })
}

/// Sizes, outermost first.
fn parse_shape(reader: &mut Reader<'_>, place: &impl Fn() -> String) -> Result<Vec<usize>, FormatError> {
    let refuse = |found: String, expected: String, path| {
        FormatError::malformed(path, place(), found, expected, DAMAGED)
    };
    let n_dimensions = reader.u32(place)?;
    let in_range = usize::try_from(n_dimensions).ok().filter(|n| (1..=MAX_DIMENSIONS).contains(n));
    let Some(n_dimensions) = in_range else {
        let found = format!("{n_dimensions} dimensions");
        return Err(refuse(found, format!("1 to {MAX_DIMENSIONS}"), reader.path()));
    };
    let mut shape = Vec::with_capacity(n_dimensions);
    for _ in 0..n_dimensions {
        let size = reader.u64(place)?;
        // The limit of addresses, here so that the conversion is the check.
        let size = usize::try_from(size).map_err(|_| {
            refuse(format!("size {size}"), format!("at most {}", to_u64(usize::MAX)), reader.path())
        })?;
        shape.push(size);
    }
    shape.reverse();
    Ok(shape)
}
