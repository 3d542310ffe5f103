//! What the library makes of a checkpoint.

use std::io::{self, Write};

use dewdrop::Engine;
use dewdrop_model::{Claims, Descriptor, ModelError, ROPE_FACTORS, Source};
use dewdrop_store::{Checkpoint, CheckpointKind};

use crate::table::{Side, Table};

/// A model that can be run: what it is, and which tensor plays which role.
pub(crate) struct Recognized {
    pub(crate) model: Descriptor,
    pub(crate) claims: Claims,
}

/// The model in a checkpoint, or why it cannot be run.
pub(crate) fn recognize(checkpoint: &Checkpoint) -> Result<Recognized, ModelError> {
    let source = match &checkpoint.kind {
        CheckpointKind::Gguf(file) => Source::Gguf(&file.metadata),
        CheckpointKind::HuggingFace { config, .. } => Source::HuggingFace(config),
    };
    let model = dewdrop_model::describe(source, &checkpoint.tensors, rope_factors(checkpoint).as_deref())?;
    let program = dewdrop_model::compile(&model);
    let claims = dewdrop_model::claim(&model, &program, &checkpoint.tensors)?;
    Ok(Recognized { model, claims })
}

/// Tells on stderr who computes an engine's model, and which tensor plays which role.
pub(crate) fn tell(engine: &Engine) -> anyhow::Result<()> {
    let Recognized { claims, .. } = recognize(engine.checkpoint())?;
    let mut err = io::stderr().lock();
    writeln!(err, "backend: {}", engine.backend_name())?;
    let mut table = Table::new(&[Side::Left, Side::Left, Side::Left, Side::Left]);
    for (section, claims) in engine.program().sections.iter().zip(&claims.sections) {
        for (role, claim) in section.weights.iter().zip(claims) {
            let (name, kind) = (claim.info.name.clone(), claim.info.block_type.block().name.into());
            table.row([section.name.clone(), role.role.clone(), name, kind]);
        }
    }
    for (name, why) in &claims.unused {
        table.row(["unused".into(), (*why).into(), name.clone(), String::new()]);
    }
    Ok(table.write(&mut err)?)
}

fn rope_factors(checkpoint: &Checkpoint) -> Option<Vec<f32>> {
    let tensor = checkpoint.tensors.get(ROPE_FACTORS)?;
    let mut factors = vec![0.0; tensor.n_weights()];
    (tensor.block_type.block().decode)(&checkpoint.bytes(tensor), &mut factors);
    Some(factors)
}
