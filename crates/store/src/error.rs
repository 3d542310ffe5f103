//! Why a model could not be opened or read.

use std::io;
use std::path::PathBuf;

use dewdrop_format::FormatError;

/// Why a model could not be opened, or its weights not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum StoreError {
    /// The operating system refused: no such file, no permission, a loop of links.
    #[error("{path}: cannot be opened")]
    Open { path: PathBuf, source: io::Error },
    /// A file of no bytes.
    #[error("{path}: the file is empty (cut-off download? fetch it again)")]
    Empty { path: PathBuf },
    /// Neither a format we read nor one we know to refuse.
    #[error("{path}: not a model file: it begins with {found}, expected `GGUF` or a safetensors header")]
    NotAModel { path: PathBuf, found: String },
    /// Pipes, devices, sockets.
    #[error("{path}: not a regular file")]
    NotAFile { path: PathBuf },
    /// Pickles can run code when they are loaded.
    #[error(
        "{path}: PyTorch pickles are not read, because loading one can run code it carries \
         (use the model's .safetensors files, or convert it with `safetensors` first)"
    )]
    Pickle { path: PathBuf },
    /// A folder, or a safetensors file's folder, without `config.json`.
    #[error("{folder}: no config.json, which a Hugging Face model needs beside its weights{hint}")]
    NoConfig { folder: PathBuf, hint: String },
    /// A folder with a config but no weights.
    #[error("{folder}: no model.safetensors and no model.safetensors.index.json")]
    NoWeights { folder: PathBuf },
    /// A file of a split model is absent.
    #[error("{path}: this part of the model is missing, named by {named_by} (fetch it into the same folder)")]
    MissingShard { path: PathBuf, named_by: PathBuf },
    /// Two shards hold the same tensor.
    #[error("tensor `{tensor}` stands both in {first} and in {second}")]
    Duplicate { tensor: String, first: PathBuf, second: PathBuf },
    /// The index promises a tensor that its shard lacks.
    #[error("{index}: tensor `{tensor}` should be in `{shard}`, but is not")]
    MissingTensor { index: PathBuf, tensor: String, shard: String },
    /// A JSON file that is not JSON.
    #[error("{path}: not valid JSON")]
    Json { path: PathBuf, source: serde_json::Error },
    /// A small side file of unreasonable size.
    #[error("{path}: {len} bytes is too large for this kind of file (limit: {limit})")]
    TooLarge { path: PathBuf, len: u64, limit: u64 },
    /// The file is not the one that was opened.
    #[error("{path}: the file changed while it was in use: {found} bytes, {expected} when it was opened")]
    Changed { path: PathBuf, found: u64, expected: u64 },
    /// The file has its length, but was written to.
    #[error("{path}: the file was written to while it was in use (open the model again)")]
    Rewritten { path: PathBuf },
    /// The first part of a download, where weights are wanted.
    #[error(
        "{path}: the file has {len} bytes, and {missing} bytes of the model are missing: enough to plan, not to run \
             (fetch the rest)"
    )]
    HeadersOnly { path: PathBuf, len: u64, missing: u64 },
    /// A tensor could not be read, however often it was tried.
    #[error("{path}: tensor `{tensor}`: read of {len} bytes at offset {offset} failed {attempts} times")]
    ReadTensor { path: PathBuf, tensor: String, offset: u64, len: usize, attempts: u32, source: io::Error },
    /// The operating system has no memory for weights.
    #[error("no memory for {len} bytes of weights")]
    Memory { len: usize, source: io::Error },
    /// Weights that pass through memory are still in use, so that the next ones have no place.
    #[error("weights of {held} sections were not given back, so that section {section} has no place")]
    Held { section: usize, held: usize },
    /// What was read is not what checksums were made of.
    #[error(
        "{path}: {place}: {bytes} bytes at offset {offset} are not what {sidecar} says \
         (damaged file? fetch it again; changed on purpose? `dewdrop verify --write --force`)"
    )]
    Damaged { path: PathBuf, place: String, offset: u64, bytes: u64, sidecar: PathBuf },
    /// A sidecar is of another file.
    #[error(
        "{sidecar}: not the checksums of {path}: {found}, expected {expected} \
         (`dewdrop verify --write --force` makes new ones)"
    )]
    OtherChecksums { sidecar: PathBuf, path: PathBuf, found: String, expected: String },
    /// A sidecar does not say what one should.
    #[error(
        "{path}: found {found}, expected {expected} (`dewdrop verify --write --force` makes new checksums)"
    )]
    Checksums { path: PathBuf, found: String, expected: String },
    /// A read failed.
    #[error("{path}: read of {len} bytes at offset {offset} failed")]
    Read { path: PathBuf, offset: u64, len: usize, source: io::Error },
    /// A tensor whose bytes do not make up the shape it is used with.
    #[error(
        "tensor `{tensor}`: found {found} bytes, expected {expected} for [{n_out}, {n_in}] of {block_type}"
    )]
    Size { tensor: String, found: u64, expected: u64, n_out: usize, n_in: usize, block_type: &'static str },
    /// The file's contents are wrong.
    #[error(transparent)]
    Format(#[from] FormatError),
}
