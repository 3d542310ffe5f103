//! Everything about the file that is going to be written, decided from headers alone.

use std::collections::BTreeMap;
use std::path::Path;

use dewdrop::recognize;
use dewdrop_backend::Program;
use dewdrop_format::gguf::{Gguf, Metadata};
use dewdrop_format::{BlockType, TensorInfo};
use dewdrop_model::{
    Claim, Claims, Descriptor, Family, ROPE_FACTORS, Source, SourceKind, claim, compile, describe,
};
use dewdrop_store::{Checkpoint, CheckpointKind};
use dewdrop_text::Tokenizer;
use serde_json::Value;

use super::block_types::{self, fallback};
use super::change::{self, Change};
use super::draft::{self, Draft};
use super::{ConvertError, ConvertOptions, keys, rope_factors, spoken};

/// A file in the making.
pub(super) struct Plan {
    pub(super) metadata: Metadata,
    /// In the order of the file: the order in which a pass reads them.
    pub(super) tensors: Vec<Tensor>,
    /// Name, meant type, type.
    pub(super) fallbacks: Vec<(String, BlockType, BlockType)>,
}

/// A tensor of the file.
pub(super) struct Tensor {
    pub(super) name: String,
    /// Outermost first.
    pub(super) shape: Vec<usize>,
    pub(super) block_type: BlockType,
    pub(super) data: Data,
}

/// Where a tensor's values come from.
pub(super) enum Data {
    /// A tensor of the source.
    File { info: TensorInfo, change: Change },
    /// Worked out from the config.
    Values(Vec<f32>),
}

/// What was asked for.
struct Asked<'a> {
    block_type: BlockType,
    options: &'a ConvertOptions,
}

impl Tensor {
    pub(super) fn row_len(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    pub(super) fn n_rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }
}

impl Plan {
    pub(super) fn new(
        checkpoint: &Checkpoint,
        output: &Path,
        block_type: BlockType,
        options: &ConvertOptions,
    ) -> Result<Self, ConvertError> {
        let asked = Asked { block_type, options };
        let refused = |source| ConvertError::Model { path: checkpoint.path().to_owned(), source };
        let (tensors, mut plan) = match &checkpoint.kind {
            CheckpointKind::Gguf(gguf) => {
                // What could not be run is refused here, too.
                recognize(checkpoint).map_err(refused)?;
                (gguf_tensors(gguf), Plan::empty(gguf_metadata(gguf, output, &asked)))
            }
            CheckpointKind::HuggingFace { config, generation_config, folder } => {
                let folder = Folder::open(checkpoint, config, generation_config.as_ref(), folder)?;
                let tensors = folder.tensors()?;
                let metadata = folder.metadata(&tensors, output, &asked)?;
                spoken::check(&folder.model, &metadata, &tensors)?;
                (tensors, Plan::empty(metadata))
            }
        };
        for tensor in tensors {
            plan.add(tensor, &asked)?;
        }
        Ok(plan)
    }

    fn empty(metadata: Metadata) -> Self {
        Plan { metadata, tensors: Vec::new(), fallbacks: Vec::new() }
    }

    /// Adds a tensor with the type it gets.
    fn add(&mut self, mut tensor: Tensor, asked: &Asked<'_>) -> Result<(), ConvertError> {
        if let Data::File { info, .. } = &tensor.data
            && info.block_type.block().integers.is_some()
        {
            let found = info.block_type.block().name;
            return Err(ConvertError::AlreadyQuantized { tensor: info.name.clone(), found });
        }
        let meant = block_types::meant(&tensor.name, &tensor.shape, asked.block_type, asked.options.choice);
        tensor.block_type = fallback(meant, tensor.row_len());
        if tensor.block_type != meant {
            self.fallbacks.push((tensor.name.clone(), meant, tensor.block_type));
        }
        self.tensors.push(tensor);
        Ok(())
    }
}

/// All tensors of the source, as they are.
fn gguf_tensors(gguf: &Gguf) -> Vec<Tensor> {
    let tensor = |info: &TensorInfo| Tensor {
        name: info.name.clone(),
        shape: info.shape.clone(),
        block_type: info.block_type,
        data: Data::File { info: info.clone(), change: Change::NONE },
    };
    gguf.tensors.iter().map(tensor).collect()
}

/// All keys of the source but those that concern the file.
fn gguf_metadata(gguf: &Gguf, output: &Path, asked: &Asked<'_>) -> Metadata {
    let mut metadata = Metadata::new(output);
    let of_file = |key: &str| key.starts_with("split.") || key == "general.alignment";
    for (key, value) in gguf.metadata.iter().filter(|(key, _)| !of_file(key)) {
        metadata.insert(key, value.clone());
    }
    if let Some(name) = &asked.options.name {
        metadata.insert("general.name", name.as_str());
    }
    metadata.insert("general.file_type", block_types::file_type(asked.block_type));
    metadata.insert("general.quantization_version", keys::QUANTIZATION_VERSION);
    metadata
}

/// A Hugging Face folder, understood.
struct Folder<'a> {
    config: &'a Value,
    generation_config: Option<&'a Value>,
    name: String,
    model: Descriptor,
    program: Program,
    claims: Claims,
    draft: Option<Draft>,
    tokenizer: Tokenizer,
}

impl<'a> Folder<'a> {
    fn open(
        checkpoint: &Checkpoint,
        config: &'a Value,
        generation_config: Option<&'a Value>,
        folder: &Path,
    ) -> Result<Self, ConvertError> {
        let refused = |source| ConvertError::Model { path: checkpoint.path().to_owned(), source };
        let tensors = &checkpoint.tensors;
        let mut model = describe(Source::HuggingFace(config), tensors, None).map_err(refused)?;
        let program = compile(&model);
        let claims = claim(&model, &program, tensors).map_err(refused)?;
        let draft = draft::find(&model, tensors).map_err(refused)?;
        let tokenizer = Tokenizer::from_folder(folder)?;
        model.n_draft_layers = usize::from(draft.is_some());
        if model.family == "gemma3" {
            // Rows for image tokens that the tokenizer does not know: the GGUF architecture goes without them.
            model.n_vocab = model.n_vocab.min(tokenizer.n_vocab());
        }
        let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let name =
            path.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
        Ok(Folder { config, generation_config, name, model, program, claims, draft, tokenizer })
    }

    fn tensors(&self) -> Result<Vec<Tensor>, ConvertError> {
        let mut tensors = Vec::new();
        if let Some(factors) = self.model.rope_laws.first().and_then(rope_factors::of) {
            let (name, shape) = (ROPE_FACTORS.to_owned(), vec![factors.len()]);
            tensors.push(Tensor { name, shape, block_type: BlockType::F32, data: Data::Values(factors) });
        }
        let n_sections = self.program.sections.len();
        for (index, (section, claims)) in self.program.sections.iter().zip(&self.claims.sections).enumerate()
        {
            let layer = index.checked_sub(1).filter(|&layer| layer < self.model.layers.len());
            if index + 1 == n_sections {
                self.add_draft(&mut tensors)?;
            }
            for (spec, claim) in section.weights.iter().zip(claims) {
                // A tied head is not written again.
                if index + 1 < n_sections || spec.role != "token_embd.weight" {
                    tensors.push(self.tensor(&self.model, layer, layer, &spec.role, claim)?);
                }
            }
        }
        Ok(tensors)
    }

    /// The tensor for a claim by layer `of` of `model`, named as one of `layer`.
    fn tensor(
        &self,
        model: &Descriptor,
        of: Option<usize>,
        layer: Option<usize>,
        role: &str,
        claim: &Claim,
    ) -> Result<Tensor, ConvertError> {
        let family = Family::named(model.family).expect("descriptors are made by families of the table");
        let change = match of.map(|of| &model.layers[of].mixer) {
            None => Change { transform: claim.transform, ..Change::NONE },
            Some(mixer) => change::of(model, mixer, role, claim.transform)?,
        };
        let mut shape = match claim.info.shape.len() {
            1 => vec![claim.n_in],
            _ => vec![claim.n_out, claim.n_in],
        };
        if role == "token_embd.weight" || role == "output.weight" {
            shape[0] = self.model.n_vocab;
        }
        let name = family.tensor_name(SourceKind::Gguf, layer, role);
        let data = Data::File { info: claim.info.clone(), change };
        Ok(Tensor { name, shape, block_type: claim.info.block_type, data })
    }

    fn add_draft(&self, tensors: &mut Vec<Tensor>) -> Result<(), ConvertError> {
        let Some(draft) = &self.draft else { return Ok(()) };
        let block = self.model.layers.len();
        for (role, claim) in &draft.layer {
            tensors.push(self.tensor(&draft.model, Some(0), Some(block), role, claim)?);
        }
        for (name, info, transform) in &draft.around {
            let change = Change { transform: *transform, ..Change::NONE };
            tensors.push(Tensor {
                name: format!("blk.{block}.{name}"),
                shape: info.shape.clone(),
                block_type: info.block_type,
                data: Data::File { info: info.clone(), change },
            });
        }
        Ok(())
    }

    fn metadata(
        &self,
        tensors: &[Tensor],
        output: &Path,
        asked: &Asked<'_>,
    ) -> Result<Metadata, ConvertError> {
        let mut metadata = Metadata::new(output);
        let name = asked.options.name.as_deref().unwrap_or(&self.name);
        let n_weights = tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
        keys::general(&mut metadata, &self.model, name, n_weights, self.generation_config);
        keys::architecture(&mut metadata, &self.model, self.config);
        metadata.insert("general.file_type", block_types::file_type(asked.block_type));
        metadata.insert("general.quantization_version", keys::QUANTIZATION_VERSION);
        for (key, value) in self.tokenizer.to_gguf(self.model.n_vocab)? {
            metadata.insert(&key, value);
        }
        Ok(metadata)
    }
}

/// Headers of the file as a reader will find them.
pub(super) fn headers(tensors: &[Tensor]) -> BTreeMap<String, TensorInfo> {
    let header = |tensor: &Tensor| {
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        let info = TensorInfo { name, shape, block_type: BlockType::F32, file: 0, offset: 0, len: 0 };
        (tensor.name.clone(), info)
    };
    tensors.iter().map(header).collect()
}
