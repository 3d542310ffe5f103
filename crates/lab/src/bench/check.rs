//! Whether a backend computes what the oracle computes, before anybody asks how fast.

use std::sync::Arc;

use dewdrop::{Checkpoint, Choice, Model, Options, assemble};
use dewdrop_backend::{Program, Row};
use dewdrop_format::BlockType;
use dewdrop_model::{Claims, Mixer};

use super::BenchError;

/// Rows of the passes that are compared: a prompt, longer than what kernels of few rows take, and a decode step after it.
const PASSES: [usize; 2] = [25, 1];

/// What was compared and found equal, bit for bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Layers that ran: the first of each kind.
    pub layers: Vec<usize>,
    /// Rows.
    pub n_rows: usize,
}

/// Compares logits with the oracle's on a model of the first layer of each kind, between the entry and the exit.
///
/// # Errors
/// If they differ in a bit, or a pass fails.
pub fn check(checkpoint: &Arc<Checkpoint>, model: &Model, options: &Options) -> Result<Checked, BenchError> {
    let layers = layers_of_each_kind(model);
    let model = with_layers(model, &layers);
    let oracle = Options { backend: Choice::Oracle, ..options.clone() };
    let (found, expected) = (logits(checkpoint, &model, options)?, logits(checkpoint, &model, &oracle)?);
    let mut end = 0;
    for ((found, expected), n_rows) in found.iter().zip(&expected).zip(PASSES) {
        end += n_rows;
        if found.iter().map(|x| x.to_bits()).ne(expected.iter().map(|x| x.to_bits())) {
            return Err(BenchError::Differs { position: end - 1 });
        }
    }
    Ok(Checked { layers, n_rows: end })
}

/// The first layers that differ in mixer or in the types of their weights.
fn layers_of_each_kind(model: &Model) -> Vec<usize> {
    let mut kinds: Vec<(&Mixer, Vec<BlockType>)> = Vec::new();
    let mut layers = Vec::new();
    for (index, layer) in model.descriptor.layers.iter().enumerate() {
        let types = model.claims.sections[index + 1].iter().map(|claim| claim.info.block_type).collect();
        let kind = (&layer.mixer, types);
        if !kinds.contains(&kind) {
            kinds.push(kind);
            layers.push(index);
        }
    }
    layers
}

/// The model without its other layers.
fn with_layers(model: &Model, layers: &[usize]) -> Model {
    let exit = model.program.sections.len() - 1;
    let kept: Vec<usize> =
        std::iter::once(0).chain(layers.iter().map(|layer| layer + 1)).chain([exit]).collect();
    let program = Program {
        sections: kept.iter().map(|&section| model.program.sections[section].clone()).collect(),
        ..(*model.program).clone()
    };
    let sections = kept.iter().map(|&section| model.claims.sections[section].clone()).collect();
    let claims = Claims { sections, unused: Vec::new() };
    Model { descriptor: model.descriptor.clone(), program: Arc::new(program), claims }
}

/// Logits of the last row of each pass.
fn logits(
    checkpoint: &Arc<Checkpoint>,
    model: &Model,
    options: &Options,
) -> Result<[Vec<f32>; 2], BenchError> {
    let mut core = assemble(checkpoint.clone(), model, options)?;
    let sequence = core.open_sequence();
    let mut position = 0;
    let mut results = [const { Vec::new() }; 2];
    for (result, n_rows) in results.iter_mut().zip(PASSES) {
        let end = position + n_rows;
        let row = |position| {
            let token = (position * 7919 % model.program.n_vocab) as u32;
            Row { sequence, position, token, wants_logits: position + 1 == end }
        };
        let rows: Vec<Row> = (position..end).map(row).collect();
        *result = core.pass(&rows)?.to_vec();
        position = end;
    }
    Ok(results)
}
