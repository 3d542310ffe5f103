//! Random weights for a compiled program, as a GGUF file in memory.
//!
//! Tensors are named by section and role, so no family's names are needed: claiming is tested elsewhere.

use std::path::Path;
use std::sync::Arc;

use dewdrop::Checkpoint;
use dewdrop_backend::{Blocks, HeadOrder, Op, Pairing, Program, Transform, WeightSpec};
use dewdrop_engine::sampler::noise::philox;
use dewdrop_format::{BlockType, TensorInfo, gguf};
use dewdrop_model::Source;
use dewdrop_store::{Residency, Store, WeightSource};

use crate::configs::Config;

/// A program without weights.
pub(crate) struct RandomModel {
    program: Arc<Program>,
}

/// A program's weights.
pub(crate) struct Weights {
    pub(crate) program: Arc<Program>,
    checkpoint: Arc<Checkpoint>,
}

impl RandomModel {
    pub(crate) fn new(config: &Config) -> Self {
        let json = (config.json)();
        let tensors = config.headers.iter().map(header).collect();
        let descriptor = dewdrop_model::describe(Source::HuggingFace(&json), &tensors, None)
            .unwrap_or_else(|error| panic!("{}: {error}", config.name));
        let mut program = dewdrop_model::compile(&descriptor);
        if config.gguf_orders {
            reorder(&mut program);
        }
        RandomModel { program: Arc::new(program) }
    }

    pub(crate) fn program(&self) -> Arc<Program> {
        self.program.clone()
    }

    /// Random weights, matrices in `block_type` where it divides them.
    pub(crate) fn weights(&self, block_type: BlockType) -> Weights {
        let bytes = gguf_file(&self.program, block_type).expect("a file in memory");
        let checkpoint = Checkpoint::from_blocks("random", Blocks::from(bytes)).expect("a valid file");
        Weights { program: self.program.clone(), checkpoint: Arc::new(checkpoint) }
    }
}

impl Weights {
    pub(crate) fn store(&self) -> Store {
        let sections = 0..self.program.sections.len();
        let sources = sections.map(|section| self.sources(section)).collect();
        Store::new(self.checkpoint.clone(), sources, Residency::Mapped)
    }

    fn sources(&self, section: usize) -> Vec<WeightSource> {
        let source = |spec: &WeightSpec| WeightSource {
            info: self.checkpoint.tensors[&name(section, spec)].clone(),
            transform: Transform::None,
            shape: [spec.n_out, spec.n_in],
        };
        self.program.sections[section].weights.iter().map(source).collect()
    }
}

fn header(&(name, shape): &(&str, [usize; 2])) -> (String, TensorInfo) {
    let (name, shape) = (name.to_owned(), shape.to_vec());
    let info =
        TensorInfo { name: name.clone(), shape, block_type: BlockType::F32, file: 0, offset: 0, len: 0 };
    (name, info)
}

/// As GGUF files have it.
fn reorder(program: &mut Program) {
    for rope in &mut program.ropes {
        rope.pairing = Pairing::Adjacent;
    }
    for op in program.sections.iter_mut().flat_map(|section| &mut section.ops) {
        if let Op::DeltaRule { spec, .. } = op {
            spec.order = HeadOrder::Tiled;
        }
    }
}

fn name(section: usize, spec: &WeightSpec) -> String {
    format!("{section}.{}", spec.role)
}

fn gguf_file(program: &Program, block_type: BlockType) -> Result<Vec<u8>, dewdrop_format::FormatError> {
    let mut writer = gguf::Writer::new(gguf::Metadata::new(Path::new("random")))?;
    let mut tensors = Vec::new();
    for (section, spec) in specs(program) {
        let block_type = type_for(spec, block_type);
        writer.declare(&name(section, spec), &[spec.n_out, spec.n_in], block_type)?;
        let mut bytes = vec![0; block_type.bytes_for(spec.n_out * spec.n_in)];
        (block_type.block().encode)(&values(tensors.len() as u32, spec), &mut bytes);
        tensors.push((name(section, spec), bytes));
    }
    let mut data = writer.start(Vec::new())?;
    for (name, bytes) in tensors {
        data.write(&name, &bytes)?;
    }
    data.finish()
}

fn specs(program: &Program) -> impl Iterator<Item = (usize, &WeightSpec)> {
    let sections = program.sections.iter().enumerate();
    sections.flat_map(|(index, section)| section.weights.iter().map(move |spec| (index, spec)))
}

/// Matrices are quantized, vectors and taps are not.
fn type_for(spec: &WeightSpec, wanted: BlockType) -> BlockType {
    let is_taps = spec.role.contains("conv1d") || spec.role.contains("conv.conv");
    let fits = spec.n_in.is_multiple_of(wanted.block().len);
    if spec.n_out == 1 || is_taps || !fits { BlockType::F32 } else { wanted }
}

/// Values that keep a forward pass in a reasonable range.
fn values(tensor: u32, spec: &WeightSpec) -> Vec<f32> {
    let role = spec.role.as_str();
    let spread = (3.0 / spec.n_in as f32).sqrt();
    let value = move |x: f32| match role {
        "ssm_a" => -0.6 + 0.5 * x,
        _ if role.ends_with("norm.weight") => 1.0 + 0.3 * x,
        _ if role.ends_with("bias") => 0.2 * x,
        _ if role.starts_with("token_embd") => x,
        _ => spread * x,
    };
    (0..(spec.n_out * spec.n_in) as u32).map(|i| value(uniform(tensor, i))).collect()
}

/// Between -1 and 1.
fn uniform(tensor: u32, index: u32) -> f32 {
    let word = philox([tensor, 1], [index / 4, 0, 0, 0])[(index % 4) as usize];
    word as f32 * (-31f32).exp2() - 1.0
}
