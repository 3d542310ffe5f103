//! A model's files, opened: what they say about themselves, and where each tensor lies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dewdrop_backend::Blocks;
use dewdrop_format::{TensorInfo, gguf};
use serde_json::Value;

use crate::map::Source;
use crate::{Checksums, StoreError, checksums, gguf_files, hugging_face};

/// What a model's files hold.
///
/// Files are mapped, not read. Whoever changes or truncates one while it is open gets wrong answers or a signal from
/// the operating system; replace files by renaming a new one over the old.
pub struct Checkpoint {
    /// Where the model's description comes from.
    pub kind: CheckpointKind,
    /// Every tensor by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// Names and types of tensors in types that are not supported. No error here: parts that are not used may hold them.
    pub unsupported: Vec<(String, String)>,
    path: PathBuf,
    sources: Vec<Source>,
    /// Of each file that has some.
    checksums: Vec<Option<Checksums>>,
}

/// A checkpoint's description of its model.
#[derive(Clone, Debug)]
pub enum CheckpointKind {
    /// GGUF metadata; that of the first file where the model is split.
    Gguf(gguf::Gguf),
    /// A Hugging Face folder.
    HuggingFace {
        /// `config.json`.
        config: Value,
        /// `generation_config.json`, if there is one.
        generation_config: Option<Value>,
        /// Where it lies, for the tokenizer's files.
        folder: PathBuf,
    },
}

impl Checkpoint {
    /// Opens a GGUF file (of a split model, any of its files), a `.safetensors` file with `config.json` beside it, or a
    /// Hugging Face folder.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, Needed::Whole)
    }

    /// As [`open`](Checkpoint::open), but files may end anywhere after their headers, as the first part of a download
    /// does: enough to know the model, not to run it. [`missing_bytes`](Checkpoint::missing_bytes) says what is not there.
    pub fn open_headers(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, Needed::Headers)
    }

    fn open_with(path: &Path, needed: Needed) -> Result<Self, StoreError> {
        if path.is_dir() {
            return hugging_face::open_folder(path, needed);
        }
        let source = Source::open(path)?;
        match Container::of(path, source.bytes())? {
            Container::Gguf => gguf_files::open(source, needed),
            Container::Safetensors => hugging_face::open_file(source, needed),
        }
    }

    /// A GGUF file that lies in memory, such as one built into the program. `name` stands for its path in messages.
    pub fn from_static(name: &str, bytes: &'static [u8]) -> Result<Self, StoreError> {
        gguf_files::parse_whole(Source::from_program(name, bytes))
    }

    /// A GGUF file in shared memory. `name` stands for its path in messages.
    pub fn from_blocks(name: &str, blocks: Blocks) -> Result<Self, StoreError> {
        gguf_files::parse_whole(Source::from_memory(name, blocks))
    }

    pub(crate) fn new(
        kind: CheckpointKind,
        tensors: BTreeMap<String, TensorInfo>,
        path: &Path,
        sources: Vec<Source>,
    ) -> Self {
        let checksums = sources.iter().map(|_| None).collect();
        Checkpoint { kind, tensors, unsupported: Vec::new(), path: path.to_owned(), sources, checksums }
    }

    /// Lets all that is read from now on be compared with the checksums that lie beside the files, if there are any. Headers,
    /// which were read, are compared at once.
    ///
    /// # Errors
    /// If a header is damaged, or checksums cannot be read or are of another file.
    pub fn with_checksums(mut self) -> Result<Self, StoreError> {
        self.checksums = checksums::beside(&self)?;
        for (source, checksums) in self.sources.iter().zip(&self.checksums) {
            checksums.as_ref().map_or(Ok(()), |checksums| checksums.check_header(source))?;
        }
        Ok(self)
    }

    /// An error if `bytes`, which were read of a tensor or a part of one, are not those that checksums were made of.
    pub fn check_sums(&self, part: &TensorInfo, bytes: &[u8]) -> Result<(), StoreError> {
        match &self.checksums[part.file] {
            Some(checksums) => checksums.check(self.source(part), &part.name, part.offset, bytes),
            None => Ok(()),
        }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files it is made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(Source::path)
    }

    /// A tensor's bytes as they lie in its file; nothing is copied.
    ///
    /// # Panics
    /// If `tensor` lies outside the files: it is not of this checkpoint, or of a part that is missing.
    pub fn bytes(&self, tensor: &TensorInfo) -> Blocks {
        let start = usize::try_from(tensor.offset).expect("a mapped file fits the address space");
        let len = usize::try_from(tensor.len).expect("a mapped file fits the address space");
        self.sources[tensor.file].bytes().slice(start..start + len)
    }

    /// Bytes of tensors that lie beyond the ends of files whose first parts alone are here.
    pub fn missing_bytes(&self) -> u64 {
        self.tensors.values().map(|tensor| self.missing_of(tensor)).sum()
    }

    /// Whether a tensor's bytes are all here.
    pub fn has_bytes(&self, tensor: &TensorInfo) -> bool {
        self.missing_of(tensor) == 0
    }

    /// An error where only the first part of a file is here.
    pub fn check_whole(&self) -> Result<(), StoreError> {
        match self.tensors.values().find(|tensor| !self.has_bytes(tensor)) {
            None => Ok(()),
            Some(tensor) => {
                let (path, len) = (self.source(tensor).path().to_owned(), self.source(tensor).len());
                Err(StoreError::HeadersOnly { path, len, missing: self.missing_bytes() })
            }
        }
    }

    fn missing_of(&self, tensor: &TensorInfo) -> u64 {
        (tensor.offset + tensor.len).saturating_sub(self.source(tensor).len()).min(tensor.len)
    }

    /// Takes what was looked at in the files out of this process's memory; it comes back when it is looked at again.
    pub fn forget_pages(&self) {
        self.sources.iter().for_each(Source::forget_pages);
    }

    /// Bytes that are a part of the program: they come into memory as they are looked at, so that the process may not hold
    /// them yet.
    pub fn bytes_in_program(&self) -> u64 {
        self.sources.iter().filter(|source| source.is_in_program()).map(Source::len).sum()
    }

    /// Bytes of all tensors.
    pub fn total_bytes(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.len).sum()
    }

    /// The files it is made of.
    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Weights of all tensors.
    pub fn n_weights(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.n_weights() as u64).sum()
    }

    /// Where a tensor's bytes come from.
    pub(crate) fn source(&self, tensor: &TensorInfo) -> &Source {
        &self.sources[tensor.file]
    }
}

/// Bytes that no file of a model has: what a header may announce where its file does not show how long it is.
const LONGEST: u64 = 1 << 42;

/// How much of its files a model needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    Whole,
    Headers,
}

impl Needed {
    /// The length within which a file's tensors must lie.
    pub(crate) fn file_len(self, source: &Source) -> u64 {
        match self {
            Needed::Whole => source.len(),
            Needed::Headers => LONGEST,
        }
    }
}

/// Kinds of files that hold tensors.
enum Container {
    Gguf,
    Safetensors,
}

impl Container {
    /// Goes by the first bytes; names can lie.
    fn of(path: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        if bytes.starts_with(b"GGUF") {
            return Ok(Container::Gguf);
        }
        if hugging_face::is_pickle(path, bytes) {
            return Err(StoreError::Pickle { path: path.to_owned() });
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if bytes.get(8) == Some(&b'{') || extension.eq_ignore_ascii_case("safetensors") {
            return Ok(Container::Safetensors);
        }
        Err(StoreError::NotAModel { path: path.to_owned(), found: first_bytes(bytes) })
    }
}

/// The first bytes as text if they are, else in hexadecimal.
fn first_bytes(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(8)];
    match std::str::from_utf8(start) {
        Ok(text) if text.chars().all(|c| !c.is_control()) => format!("`{text}`"),
        _ => start.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    }
}
