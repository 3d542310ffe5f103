//! Where a tensor is, whatever the container.

use std::path::Path;

use crate::error::shown;
use crate::{BlockType, FormatError};

/// A tensor of a file: what it is called, its shape, how it is spelled, where its bytes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the file.
    pub name: String,
    /// Sizes, outermost first: `[n_out, n_in]` for a matrix.
    pub shape: Vec<usize>,
    /// How the weights are spelled.
    pub block_type: BlockType,
    /// Which file of a checkpoint holds the bytes: the index that was given to the parser.
    pub file: usize,
    /// First byte, counted from the start of that file.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

impl TensorInfo {
    /// Number of weights.
    pub fn n_weights(&self) -> usize {
        // Whoever made this value checked that the product fits.
        self.shape.iter().product()
    }
}

/// Bytes of a tensor, or `None` if the number of weights or bytes does not fit 63 bits or this machine's addresses.
///
/// The innermost size must be a multiple of the block's length.
pub(crate) fn tensor_len(block_type: BlockType, shape: &[usize]) -> Option<u64> {
    let block = block_type.block();
    let n_weights = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))?;
    let bytes = (n_weights / block.len).checked_mul(block.bytes)?;
    isize::try_from(n_weights).ok()?;
    isize::try_from(bytes).ok()?;
    u64::try_from(bytes).ok()
}

/// Where a tensor's bytes lie, whether or not its type is known.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) name: &'a str,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl<'a> From<&'a TensorInfo> for Place<'a> {
    fn from(tensor: &'a TensorInfo) -> Self {
        Self { name: &tensor.name, offset: tensor.offset, len: tensor.len }
    }
}

/// Refuses tensors outside the file and tensors that share bytes.
pub(crate) fn check_places(
    path: &Path,
    mut places: Vec<Place<'_>>,
    file_len: u64,
) -> Result<(), FormatError> {
    for place in &places {
        let end = place.offset.saturating_add(place.len);
        if end > file_len {
            let tensor = shown(place.name);
            return Err(FormatError::TensorOutOfFile { path: path.into(), tensor, end, file_len });
        }
    }
    places.retain(|place| place.len > 0);
    places.sort_by_key(|place| place.offset);
    match places.windows(2).find(|pair| pair[1].offset < pair[0].offset + pair[0].len) {
        None => Ok(()),
        Some(pair) => Err(FormatError::Overlap {
            path: path.into(),
            tensor: shown(pair[1].name),
            start: pair[1].offset,
            other: shown(pair[0].name),
            end: pair[0].offset + pair[0].len,
        }),
    }
}
