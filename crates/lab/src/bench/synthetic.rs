//! Models with the shape of a published one and random weights, as GGUF: in memory, or in a file for any reader.
//!
//! Weights of a tensor are cut from a pool of encoded random values of its type, over and over from another place: what
//! they are does not change how long they take, and so gigabytes are made in seconds. Values have a deviation of one
//! over the root of the row's length, and norms are one, so that everything stays finite.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use dewdrop::Checkpoint;
use dewdrop_backend::Blocks;
use dewdrop_format::gguf::{DataWriter, Metadata, Strings, Writer};
use dewdrop_format::{BlockType, FormatError};
use dewdrop_model::{Descriptor, Family, ROPE_FACTORS, SourceKind, compile};
use dewdrop_text::{GgufVocabulary, SpecialIds, TokenKind, Tokenizer};

use super::mixture::{Matrix, Mixture, counted_as};
use super::random::Random;
use super::{BenchError, Shape, memory};
use crate::convert::{keys, rope_factors};
use crate::output::write_atomically;

/// Values of a pool.
const POOL: usize = 1 << 18;
/// Bytes made at a time.
const STRIP: usize = 16 << 20;
/// Bytes cut from a pool at a time, about.
const CUT: usize = 1 << 16;

/// A made-up model.
pub struct Synthetic {
    name: String,
    metadata: Metadata,
    /// In the order of the file.
    tensors: Vec<Tensor>,
}

struct Tensor {
    name: String,
    /// Outermost first.
    shape: Vec<usize>,
    block_type: BlockType,
    values: Values,
}

/// What a tensor holds.
enum Values {
    Random,
    All(f32),
    These(Vec<f32>),
}

impl Synthetic {
    /// A model of this shape whose tensors have the types of `mixture`.
    ///
    /// # Errors
    /// If GGUF cannot say it.
    pub fn new(shape: &Shape, mixture: Mixture) -> Result<Self, BenchError> {
        let model = shape.descriptor();
        let tensors = tensors(&model, shape.family(), mixture);
        let name = format!("{} {}", shape.name, mixture.name());
        let n_weights = tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
        let mut metadata = Metadata::new(Path::new(&name));
        keys::general(&mut metadata, &model, shape.name, n_weights, None);
        keys::architecture(&mut metadata, &model, &shape.config());
        metadata.insert("general.file_type", mixture.file_type());
        metadata.insert("general.quantization_version", keys::QUANTIZATION_VERSION);
        for (key, value) in tokenizer()?.to_gguf(model.n_vocab)? {
            metadata.insert(&key, value);
        }
        Ok(Synthetic { name, metadata, tensors })
    }

    /// What it is called: shape and mixture.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model in memory, made by so many threads.
    pub fn in_memory(&self, threads: usize) -> Result<Checkpoint, BenchError> {
        let mut length = Length(0);
        self.write_to(&mut length, &mut |tensor| vec![0; STRIP.min(tensor.len())])?;
        let mut bytes = memory::zeros(length.0, "the model's weights")?;
        let mut pools = Pools::new(threads);
        self.write_to(&mut &mut bytes[..], &mut |tensor| pools.strip(tensor))?;
        Ok(Checkpoint::from_blocks(&self.name, Blocks::new(Arc::new(bytes)))?)
    }

    /// The model in a file, made by so many threads.
    pub fn write(&self, path: &Path, threads: usize) -> Result<(), BenchError> {
        let mut pools = Pools::new(threads);
        write_atomically(path, |file| self.write_to(file, &mut |tensor| pools.strip(tensor)))
    }

    /// Writes header and tensors; `strip` yields [`STRIP`] bytes, or all of a smaller tensor.
    fn write_to<W: Write>(
        &self,
        out: W,
        strip: &mut dyn FnMut(&Tensor) -> Vec<u8>,
    ) -> Result<(), BenchError> {
        let mut writer = Writer::new(self.metadata.clone())?;
        for tensor in &self.tensors {
            writer.declare(&tensor.name, &tensor.shape, tensor.block_type)?;
        }
        let mut data = writer.start(out)?;
        for tensor in &self.tensors {
            write_tensor(&mut data, tensor, strip)?;
        }
        data.finish()?;
        Ok(())
    }
}

fn write_tensor<W: Write>(
    data: &mut DataWriter<W>,
    tensor: &Tensor,
    strip: &mut dyn FnMut(&Tensor) -> Vec<u8>,
) -> Result<(), FormatError> {
    let mut left = tensor.len();
    while left > 0 {
        let bytes = strip(tensor);
        let n = bytes.len().min(left);
        data.write(&tensor.name, &bytes[..n])?;
        left -= n;
    }
    Ok(())
}

impl Tensor {
    fn len(&self) -> usize {
        self.block_type.bytes_for(self.shape.iter().product())
    }

    fn row_len(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

/// All tensors that the program of `model` needs, as GGUF names them.
fn tensors(model: &Descriptor, family: &Family, mixture: Mixture) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    if let Some(factors) = model.rope_laws.first().and_then(rope_factors::of) {
        let (name, shape) = (ROPE_FACTORS.to_owned(), vec![factors.len()]);
        tensors.push(Tensor { name, shape, block_type: BlockType::F32, values: Values::These(factors) });
    }
    let program = compile(model);
    let mut counts = BTreeMap::new();
    for spec in program.sections.iter().flat_map(|section| &section.weights) {
        *counts.entry(counted_as(&spec.role)).or_insert(0) += 1;
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, section) in program.sections.iter().enumerate() {
        let layer = index.checked_sub(1).filter(|&layer| layer < model.layers.len());
        for spec in &section.weights {
            let role = spec.role.as_str();
            let before = seen.entry(counted_as(role)).or_default();
            let place = (*before, counts[counted_as(role)]);
            *before += 1;
            if role == "token_embd.weight" && place.0 > 0 {
                continue; // A tied head is not written again.
            }
            let is_head = role == "output.weight" || (role == "token_embd.weight" && model.tied);
            let (shape, block_type) = if spec.n_out == 1 {
                (vec![spec.n_in], BlockType::F32)
            } else {
                let matrix = Matrix { role, place, row_len: spec.n_in, is_head };
                (vec![spec.n_out, spec.n_in], mixture.block_type(&matrix))
            };
            let name = family.tensor_name(SourceKind::Gguf, layer, role);
            tensors.push(Tensor { name, shape, block_type, values: values(role) });
        }
    }
    tensors
}

fn values(role: &str) -> Values {
    match role {
        "ssm_a" => Values::All(-1.0),
        _ if role.ends_with("_norm.weight") => Values::All(1.0),
        _ if role.ends_with(".bias") => Values::All(0.0),
        _ => Values::Random,
    }
}

/// A vocabulary of bytes. The rest of a model's ids mean nothing.
fn tokenizer() -> Result<Tokenizer, BenchError> {
    let special = ["<unk>", "<s>", "</s>"].map(String::from);
    let bytes = (0..=255).map(|byte: u8| format!("<0x{byte:02X}>"));
    let tokens: Strings = special.into_iter().chain(bytes).collect();
    let mut kinds = vec![TokenKind::Byte; tokens.len()];
    kinds[..3].copy_from_slice(&[TokenKind::Unknown, TokenKind::Control, TokenKind::Control]);
    Ok(Tokenizer::from_vocabulary(GgufVocabulary {
        file: "made up".into(),
        model: "llama".into(),
        pre: None,
        scores: vec![0.0; tokens.len()],
        tokens,
        kinds,
        merges: Strings::default(),
        special: SpecialIds { unknown: Some(0), bos: Some(1), eos: Some(2), ..SpecialIds::default() },
        add_bos: Some(true),
        add_eos: None,
        add_space_prefix: None,
        normalizer: None,
        templates: Vec::new(),
    })?)
}

/// Encoded values by type and length of rows.
struct Pools {
    threads: usize,
    random: Random,
    pools: HashMap<(BlockType, usize), Vec<u8>>,
}

impl Pools {
    fn new(threads: usize) -> Self {
        Pools { threads: threads.max(1), random: Random::new(1), pools: HashMap::new() }
    }

    /// Bytes for the next strip of a tensor.
    fn strip(&mut self, tensor: &Tensor) -> Vec<u8> {
        match &tensor.values {
            Values::All(value) => value.to_le_bytes().repeat(tensor.row_len()),
            Values::These(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Values::Random => self.random_strip(tensor),
        }
    }

    fn random_strip(&mut self, tensor: &Tensor) -> Vec<u8> {
        let (block_type, row_len) = (tensor.block_type, tensor.row_len());
        let pool = self.pools.entry((block_type, row_len)).or_insert_with(|| pool(block_type, row_len));
        let block = block_type.block().bytes;
        let cut = CUT / block * block;
        let mut bytes = vec![0; tensor.len().min(STRIP / block * block)];
        let part = bytes.len().div_ceil(self.threads).next_multiple_of(cut);
        std::thread::scope(|scope| {
            for part in bytes.chunks_mut(part) {
                let (mut random, pool) = (Random::new(self.random.next()), &pool[..]);
                scope.spawn(move || {
                    for piece in part.chunks_mut(cut) {
                        let n_starts = (pool.len() - piece.len()) / block + 1;
                        let start = random.below(n_starts) * block;
                        piece.copy_from_slice(&pool[start..start + piece.len()]);
                    }
                });
            }
        });
        bytes
    }
}

/// Encoded values of deviation `1 / sqrt(row_len)`.
fn pool(block_type: BlockType, row_len: usize) -> Vec<u8> {
    let mut random = Random::new(row_len as u64);
    let reach = (3.0 / row_len as f32).sqrt();
    let values: Vec<f32> = (0..POOL).map(|_| reach * random.signed()).collect();
    let mut bytes = vec![0; block_type.bytes_for(POOL)];
    (block_type.block().encode)(&values, &mut bytes);
    bytes
}

/// Counts bytes.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::SHAPES;
    use super::*;
    use dewdrop::recognize;

    fn named(shape: &str, mixture: &str) -> Synthetic {
        Synthetic::new(Shape::named(shape).unwrap(), Mixture::named(mixture).unwrap()).unwrap()
    }

    #[test]
    fn all_shapes_have_the_parameters_of_their_models() {
        let counts: Vec<_> = SHAPES
            .iter()
            .map(|shape| {
                let tensors = named(shape.name, "Q8_0").tensors;
                let n: usize = tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
                (shape.name, n / 1_000_000)
            })
            .collect();
        let want = [
            ("qwen3-0.6b", 596),
            ("qwen3-4b", 4022),
            ("qwen3.5-0.8b", 752),
            ("qwen3.5-4b", 4205),
            ("llama-3.2-1b", 1235),
            ("gemma3-270m", 268),
            ("lfm2-350m", 354),
        ];
        assert_eq!(counts, want);
    }

    #[test]
    fn a_made_up_model_is_one_that_can_be_run() {
        for mixture in ["Q4_K_M", "BF16"] {
            let checkpoint = named("gemma3-270m", mixture).in_memory(2).unwrap();
            let model = recognize(&checkpoint).unwrap();
            assert_eq!(model.descriptor.layers, Shape::named("gemma3-270m").unwrap().descriptor().layers);
            assert!(
                Tokenizer::from_gguf(match &checkpoint.kind {
                    dewdrop_store::CheckpointKind::Gguf(gguf) => &gguf.metadata,
                    _ => unreachable!("it is GGUF"),
                })
                .is_ok()
            );
        }
    }
}
