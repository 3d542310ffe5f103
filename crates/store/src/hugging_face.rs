//! Hugging Face folders: a config beside safetensors files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use dewdrop_format::{TensorInfo, safetensors};
use serde_json::Value;

use crate::checkpoint::Needed;
use crate::json::{read_json, read_small};
use crate::map::Source;
use crate::{Checkpoint, CheckpointKind, StoreError};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Names and endings of PyTorch's pickled checkpoints.
const PICKLE_ENDINGS: &[&str] = &["bin", "pt", "pth", "pkl"];

/// Opens a folder.
pub(crate) fn open_folder(folder: &Path, needed: Needed) -> Result<Checkpoint, StoreError> {
    let kind = read_kind(folder)?;
    if folder.join(WEIGHTS).exists() {
        let source = Source::open(&folder.join(WEIGHTS))?;
        return Tensors::new(folder, needed).add(source)?.checkpoint(kind);
    }
    if folder.join(INDEX).exists() {
        return open_index(folder, folder, kind, needed);
    }
    match pickle_in(folder) {
        Some(path) => Err(StoreError::Pickle { path }),
        None => Err(StoreError::NoWeights { folder: folder.to_owned() }),
    }
}

/// Opens a safetensors file, with the other files of its model if an index says that it has any.
pub(crate) fn open_file(source: Source, needed: Needed) -> Result<Checkpoint, StoreError> {
    let path = source.path().to_owned();
    let folder = folder_of(&path);
    let kind = read_kind(folder)?;
    if is_shard(&path, folder)? {
        return open_index(&path, folder, kind, needed);
    }
    Tensors::new(&path, needed).add(source)?.checkpoint(kind)
}

/// Whether a file is a Python pickle, or the archive that PyTorch wraps around one.
pub(crate) fn is_pickle(path: &Path, bytes: &[u8]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let zipped = bytes.starts_with(b"PK\x03\x04");
    let plain = bytes.len() > 1 && bytes[0] == 0x80 && (2..=5).contains(&bytes[1]);
    (zipped || plain) && PICKLE_ENDINGS.iter().any(|ending| extension.eq_ignore_ascii_case(ending))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn read_kind(folder: &Path) -> Result<CheckpointKind, StoreError> {
    let config_path = folder.join(CONFIG);
    if !config_path.exists() {
        return Err(StoreError::NoConfig { folder: folder.to_owned(), hint: hint(folder) });
    }
    let config = read_json(&config_path)?;
    let generation_path = folder.join(GENERATION_CONFIG);
    let generation_config: Option<Value> =
        if generation_path.exists() { Some(read_json(&generation_path)?) } else { None };
    Ok(CheckpointKind::HuggingFace { config, generation_config, folder: folder.to_owned() })
}

/// What to do about a folder without a config.
fn hint(folder: &Path) -> String {
    match first_with_ending(folder, &["gguf"]) {
        Some(path) => format!(" (to use a GGUF file, name the file: {})", path.display()),
        None => String::new(),
    }
}

fn pickle_in(folder: &Path) -> Option<PathBuf> {
    first_with_ending(folder, PICKLE_ENDINGS)
}

/// The first file by name with one of these endings.
fn first_with_ending(folder: &Path, endings: &[&str]) -> Option<PathBuf> {
    let has_ending = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        endings.iter().any(|ending| extension.eq_ignore_ascii_case(ending))
    };
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(has_ending).min()
}

fn read_index(folder: &Path) -> Result<BTreeMap<String, String>, StoreError> {
    let path = folder.join(INDEX);
    Ok(safetensors::parse_index(&path, &read_small(&path)?)?)
}

/// Whether the folder's index lists this file.
fn is_shard(path: &Path, folder: &Path) -> Result<bool, StoreError> {
    if !folder.join(INDEX).exists() {
        return Ok(false);
    }
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(read_index(folder)?.values().any(|shard| Some(shard.as_str()) == name))
}

fn open_index(
    path: &Path,
    folder: &Path,
    kind: CheckpointKind,
    needed: Needed,
) -> Result<Checkpoint, StoreError> {
    let index = read_index(folder)?;
    let shards: BTreeSet<&String> = index.values().collect();
    let mut tensors = Tensors::new(path, needed);
    for shard in shards {
        let shard = folder.join(shard);
        if !shard.exists() {
            return Err(StoreError::MissingShard { path: shard, named_by: folder.join(INDEX) });
        }
        tensors = tensors.add(Source::open(&shard)?)?;
    }
    tensors.check(&index, &folder.join(INDEX))?;
    tensors.checkpoint(kind)
}

/// The tensors of files opened so far.
struct Tensors<'a> {
    path: &'a Path,
    needed: Needed,
    sources: Vec<Source>,
    tensors: BTreeMap<String, TensorInfo>,
    unsupported: Vec<(String, String)>,
}

impl<'a> Tensors<'a> {
    fn new(path: &'a Path, needed: Needed) -> Self {
        Tensors { path, needed, sources: Vec::new(), tensors: BTreeMap::new(), unsupported: Vec::new() }
    }

    fn add(mut self, source: Source) -> Result<Self, StoreError> {
        let file = self.sources.len();
        let header =
            safetensors::parse_header(source.path(), source.bytes(), self.needed.file_len(&source), file)?;
        self.sources.push(source);
        self.unsupported.extend(header.unsupported);
        for tensor in header.tensors {
            if let Some(other) = self.tensors.get(&tensor.name) {
                return Err(StoreError::Duplicate {
                    first: self.sources[other.file].path().to_owned(),
                    second: self.sources[file].path().to_owned(),
                    tensor: tensor.name,
                });
            }
            self.tensors.insert(tensor.name.clone(), tensor);
        }
        Ok(self)
    }

    /// Every tensor must be in the file that the index says.
    fn check(&self, index: &BTreeMap<String, String>, path: &Path) -> Result<(), StoreError> {
        for (tensor, shard) in index {
            let found = self.tensors.get(tensor).map(|info| self.sources[info.file].path());
            let is_there = match found {
                Some(file) => file.file_name().is_some_and(|name| name == shard.as_str()),
                None => self.unsupported.iter().any(|(name, _)| name == tensor),
            };
            if !is_there {
                let (tensor, shard) = (tensor.clone(), shard.clone());
                return Err(StoreError::MissingTensor { index: path.to_owned(), tensor, shard });
            }
        }
        Ok(())
    }

    fn checkpoint(self, kind: CheckpointKind) -> Result<Checkpoint, StoreError> {
        let mut checkpoint = Checkpoint::new(kind, self.tensors, self.path, self.sources);
        checkpoint.unsupported = self.unsupported;
        Ok(checkpoint)
    }
}
