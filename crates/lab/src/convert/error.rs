//! Why a conversion failed.

use std::path::PathBuf;

use dewdrop_format::FormatError;
use dewdrop_model::ModelError;
use dewdrop_store::StoreError;
use dewdrop_text::TextError;

use crate::OutputError;

/// Why a conversion failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum ConvertError {
    /// The source's files cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source is no model that is known.
    #[error("{path}: cannot be converted", path = path.display())]
    Model { path: PathBuf, source: ModelError },
    /// The source's tokenizer cannot be read, or GGUF cannot say what it does.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The file cannot be written, or would not be a GGUF file.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The source's weights are quantized, so what they were is lost.
    #[error(
        "tensor `{tensor}` is {found}, expected F32, F16 or BF16 \
         (convert from the original checkpoint: quantizing twice only loses)"
    )]
    AlreadyQuantized { tensor: String, found: &'static str },
    /// GGUF has no words for something about the model.
    #[error("GGUF cannot say {what}, so the converted file would be another model")]
    Unspeakable { what: String },
    /// The operating system refused something about the output.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// It was asked to end.
    #[error("the conversion was cancelled")]
    Cancelled,
}
