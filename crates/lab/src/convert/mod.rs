//! Converting: a Hugging Face folder, or a GGUF file of plain numbers, becomes one GGUF file of a chosen type.
//!
//! The way through: [`plan::Plan`] decides everything from headers alone (names, order, shapes, types, what
//! changes in values), then its tensors are read in strips of rows, changed, encoded in parallel and written. Memory
//! is bounded by the size of a strip, not of a tensor. The file appears under its name only when it is complete.
//!
//! Names, keys and values are those of llama.cpp's converter, so that its files and these can be exchanged.

pub(crate) mod block_types;
mod change;
mod draft;
mod error;
pub(crate) mod keys;
mod plan;
pub(crate) mod rope_factors;
mod spoken;
mod strip;

use std::path::Path;

use dewdrop::Cancel;
use dewdrop_format::BlockType;
use dewdrop_format::gguf::Writer;
use dewdrop_store::Checkpoint;

pub use block_types::{Choice, fallback};
pub use error::ConvertError;

use plan::{Data, Plan, Tensor};

use crate::output::write_atomically;

/// How a conversion is carried out. None of it but [`Choice`] and the name changes a byte of the result.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// Threads that encode.
    pub threads: usize,
    /// Which tensors keep a better type than the one that was asked for.
    pub choice: Choice,
    /// `general.name`; the source's own name if none is given.
    pub name: Option<String>,
    /// Set from elsewhere, it ends the conversion soon, without a file.
    pub cancel: Cancel,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        ConvertOptions { threads, choice: Choice::default(), name: None, cancel: Cancel::default() }
    }
}

/// What came of a conversion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Tensors written.
    pub n_tensors: usize,
    /// Tensors whose rows do not fit the type that they were meant to have: name, that type, the one they got.
    pub fallbacks: Vec<(String, BlockType, BlockType)>,
}

/// Writes the model at `source` to the file `output`, its matrices as `block_type`.
///
/// `progress` hears after each tensor how many of how many are done. `output` is replaced if it is there.
///
/// # Errors
///
/// If the source cannot be read, is of an unknown family or already quantized, or `output` cannot be written. Nothing is
/// left under the name of `output` then, and what was there before stays.
pub fn convert(
    source: &Path,
    output: &Path,
    block_type: BlockType,
    options: ConvertOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, ConvertError> {
    let checkpoint = Checkpoint::open(source)?;
    let plan = Plan::new(&checkpoint, output, block_type, &options)?;
    write_atomically(output, |file| write(&checkpoint, &plan, &options, file, progress))?;
    Ok(Report { n_tensors: plan.tensors.len(), fallbacks: plan.fallbacks })
}

fn write(
    checkpoint: &Checkpoint,
    plan: &Plan,
    options: &ConvertOptions,
    file: &mut dyn std::io::Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), ConvertError> {
    let mut writer = Writer::new(plan.metadata.clone())?;
    for tensor in &plan.tensors {
        writer.declare(&tensor.name, &tensor.shape, tensor.block_type)?;
    }
    let mut data = writer.start(file)?;
    let total = plan.tensors.len() as u64;
    for (tensor, done) in plan.tensors.iter().zip(1..) {
        each_strip(checkpoint, tensor, options, &mut |bytes| Ok(data.write(&tensor.name, bytes)?))?;
        progress(done, total);
    }
    data.finish()?;
    Ok(())
}

/// Hands the encoded bytes of a tensor to `write`, strip by strip.
fn each_strip(
    checkpoint: &Checkpoint,
    tensor: &Tensor,
    options: &ConvertOptions,
    write: &mut dyn FnMut(&[u8]) -> Result<(), ConvertError>,
) -> Result<(), ConvertError> {
    let row_len = tensor.row_len();
    let n_rows = tensor.n_rows();
    let rows_per_strip = (strip::VALUES / row_len).max(1);
    let mut values = Vec::new();
    for start in (0..n_rows).step_by(rows_per_strip) {
        if options.cancel.is_cancelled() {
            return Err(ConvertError::Cancelled);
        }
        let rows = start..(start + rows_per_strip).min(n_rows);
        values.resize(rows.len() * row_len, 0.0);
        match &tensor.data {
            Data::Values(all) => values.copy_from_slice(&all[rows.start * row_len..rows.end * row_len]),
            Data::File { info, change } => {
                let bytes = checkpoint.bytes(info);
                strip::read(&bytes, info.block_type, change, rows, row_len, &mut values);
            }
        }
        write(&strip::encode(&values, tensor.block_type, row_len, options.threads))?;
    }
    Ok(())
}
