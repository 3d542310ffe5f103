//! Headers of checkpoints on disk and made-up ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dewdrop_backend::Program;
use dewdrop_format::gguf::{self, Metadata};
use dewdrop_format::{BlockType, TensorInfo, safetensors};
use dewdrop_model::{Claims, Descriptor, Family, ModelError, ROPE_FACTORS, Source, claim, compile, describe};
use serde_json::Value;

pub(crate) type Tensors = BTreeMap<String, TensorInfo>;

/// The folder of reference checkpoints, if this machine has one.
pub(crate) fn reference() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/seed1");
    let folder = std::env::var_os("DEWDROP_REFERENCE").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no reference checkpoints at {}", folder.display());
    None
}

/// What a model is described by, from a file.
pub(crate) enum Config {
    Gguf(Metadata),
    HuggingFace(Value),
}

/// Config and headers of a checkpoint.
pub(crate) struct Checkpoint {
    pub(crate) config: Config,
    pub(crate) tensors: Tensors,
    pub(crate) rope_factors: Option<Vec<f32>>,
}

impl Checkpoint {
    /// A Hugging Face folder.
    pub(crate) fn open_folder(folder: &Path) -> Self {
        let config = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        let mut tensors = Tensors::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with("model") && name.ends_with(".safetensors") {
                let bytes = fs::read(&path).unwrap();
                let header = safetensors::parse_header(&path, &bytes, bytes.len() as u64, 0).unwrap();
                tensors.extend(header.tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)));
            }
        }
        Checkpoint { config: Config::HuggingFace(config), tensors, rope_factors: None }
    }

    /// A GGUF file.
    pub(crate) fn open_gguf(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let file = gguf::parse(path, &bytes, bytes.len() as u64, 0).unwrap();
        let tensors: Tensors = file.tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let rope_factors = tensors.get(ROPE_FACTORS).map(|tensor| {
            let bytes = &bytes[tensor.offset as usize..][..tensor.len as usize];
            let mut factors = vec![0.0; tensor.n_weights()];
            (tensor.block_type.block().decode)(bytes, &mut factors);
            factors
        });
        Checkpoint { config: Config::Gguf(file.metadata), tensors, rope_factors }
    }

    pub(crate) fn describe(&self) -> Result<Descriptor, ModelError> {
        let source = match &self.config {
            Config::Gguf(metadata) => Source::Gguf(metadata),
            Config::HuggingFace(config) => Source::HuggingFace(config),
        };
        describe(source, &self.tensors, self.rope_factors.as_deref())
    }

    pub(crate) fn claim(&self) -> Result<(Descriptor, Program, Claims), ModelError> {
        let model = self.describe()?;
        let program = compile(&model);
        let claims = claim(&model, &program, &self.tensors)?;
        Ok((model, program, claims))
    }
}

/// A tensor of no particular place.
pub(crate) fn tensor(name: &str, shape: &[usize]) -> TensorInfo {
    let len = shape.iter().product::<usize>() as u64 * 4;
    TensorInfo { name: name.into(), shape: shape.into(), block_type: BlockType::F32, file: 0, offset: 0, len }
}

/// The tensors that a program needs, under the names of its model's file.
pub(crate) fn tensors_of(model: &Descriptor) -> Tensors {
    let family = Family::named(model.family).unwrap();
    let mut tensors = Tensors::new();
    for (index, section) in compile(model).sections.iter().enumerate() {
        let layer = index.checked_sub(1).filter(|&layer| layer < model.layers.len());
        for spec in &section.weights {
            let name = family.tensor_name(model.source, layer, &spec.role);
            let shape = if spec.n_out == 1 { vec![spec.n_in] } else { vec![spec.n_out, spec.n_in] };
            tensors.insert(name.clone(), tensor(&name, &shape));
        }
    }
    tensors
}
