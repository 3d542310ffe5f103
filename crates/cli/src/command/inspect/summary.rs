//! What kind of model it is, in a few lines.

use dewdrop::{Model, recognize};
use dewdrop_model::{Descriptor, Mixer};
use dewdrop_store::{Checkpoint, CheckpointKind};
use serde_json::{Value, json};

use crate::table::{Side, Table};
use crate::units;

/// The summary for people.
pub(super) fn table(checkpoint: &Checkpoint) -> Table {
    let mut table = Table::new(&[Side::Left, Side::Left]);
    let mut line = |name: &str, text: String| table.row([name.into(), text]);
    line("format", container(checkpoint));
    let n_files = checkpoint.files().count();
    line("size", format!("{} in {}", units::bytes(checkpoint.total_bytes()), units::plural(n_files, "file")));
    if checkpoint.missing_bytes() > 0 {
        line(
            "missing",
            format!(
                "{} (cut-off download? fetch the rest to run it)",
                units::bytes(checkpoint.missing_bytes())
            ),
        );
    }
    line("parameters", units::count(checkpoint.n_weights()));
    match recognize(checkpoint) {
        Err(error) => line("model", format!("cannot be run: {error}")),
        Ok(model) => {
            line("model", overview(&model.descriptor));
            for (count, mixer) in kinds(&model.descriptor) {
                line("", format!("{}: {}", units::plural(count, "layer"), words(mixer)));
            }
            for (tensor, why) in &model.claims.unused {
                line("unused", format!("tensor `{tensor}`: {why}"));
            }
        }
    }
    for (tensor, block_type) in &checkpoint.unsupported {
        line("unsupported", format!("tensor `{tensor}` of type {block_type}"));
    }
    table
}

/// The summary as JSON.
pub(super) fn record(checkpoint: &Checkpoint) -> Value {
    let model = match recognize(checkpoint) {
        Ok(model) => model_record(&model),
        Err(error) => json!({ "error": error.to_string() }),
    };
    json!({
        "format": container(checkpoint),
        "files": checkpoint.files().count(),
        "bytes": checkpoint.total_bytes(),
        "missing_bytes": checkpoint.missing_bytes(),
        "parameters": checkpoint.n_weights(),
        "unsupported": checkpoint.unsupported,
        "model": model,
    })
}

fn container(checkpoint: &Checkpoint) -> String {
    match &checkpoint.kind {
        CheckpointKind::Gguf(file) => format!("GGUF version {}, alignment {}", file.version, file.alignment),
        CheckpointKind::HuggingFace { .. } => "safetensors".into(),
    }
}

fn overview(model: &Descriptor) -> String {
    let head = if model.tied { "head tied to the embedding" } else { "own head" };
    format!(
        "{}: {}, width {}, vocabulary {}, context {}, {head}",
        model.family,
        units::plural(model.layers.len(), "layer"),
        model.width,
        model.n_vocab,
        model.context_len
    )
}

fn model_record(Model { descriptor: model, claims, .. }: &Model) -> Value {
    let mixers =
        kinds(model).into_iter().map(|(count, mixer)| json!({ "layers": count, "mixer": words(mixer) }));
    json!({
        "family": model.family,
        "layers": model.layers.len(),
        "width": model.width,
        "vocabulary": model.n_vocab,
        "context": model.context_len,
        "tied": model.tied,
        "mixers": mixers.collect::<Vec<_>>(),
        "unused": claims.unused.iter().map(|(name, why)| json!({ "tensor": name, "why": why })).collect::<Vec<_>>(),
    })
}

/// Different mixers in order of appearance, and how many layers have each.
fn kinds(model: &Descriptor) -> Vec<(usize, &Mixer)> {
    let mut kinds: Vec<(usize, &Mixer)> = Vec::new();
    for layer in &model.layers {
        match kinds.iter_mut().find(|(_, mixer)| *mixer == &layer.mixer) {
            Some((count, _)) => *count += 1,
            None => kinds.push((1, &layer.mixer)),
        }
    }
    kinds
}

fn words(mixer: &Mixer) -> String {
    match mixer {
        Mixer::Attention(a) => {
            let window = a.window.map_or(String::new(), |window| format!(", window {window}"));
            let gate = if a.gated { ", gated" } else { "" };
            format!(
                "attention, {} heads of {}, {} key/value{window}{gate}",
                a.n_heads, a.head_dim, a.n_kv_heads
            )
        }
        Mixer::DeltaRule(d) => format!(
            "delta rule, {} key heads of {}, {} value heads of {}, convolution over {}",
            d.n_key_heads, d.key_dim, d.n_value_heads, d.value_dim, d.kernel
        ),
        Mixer::ShortConv { spec, .. } => {
            format!("short convolution, {} channels over {}", spec.width, spec.kernel)
        }
    }
}
