//! `dewdrop inspect`: what a model's files hold.

mod metadata;
mod summary;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use dewdrop::{Engine, Options};
use dewdrop_format::TensorInfo;
use dewdrop_store::Checkpoint;
use serde_json::{Value, json};

use crate::outcome::Outcome;
use crate::table::{Side, Table};
use crate::{output, units};

/// Show a model's metadata and tensors
///
/// Also shows files of models that dewdrop cannot run, and says why it cannot. The
/// first part of a download is enough, as long as it holds the whole header.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct InspectArguments {
    /// GGUF file, safetensors file, or folder in the form of Hugging Face [default: the built-in model]
    #[arg(value_name = "PATH", conflicts_with = "model")]
    path: Option<PathBuf>,

    /// The same, as other commands name it
    #[arg(short, long, value_name = "PATH")]
    model: Option<PathBuf>,

    /// Print JSON, with all metadata in full
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
pub(crate) fn run(arguments: &InspectArguments) -> anyhow::Result<Outcome> {
    match arguments.path.as_ref().or(arguments.model.as_ref()) {
        Some(path) => {
            let checkpoint = Checkpoint::open_headers(path)?;
            print(&path.display().to_string(), &checkpoint, arguments.json)?;
        }
        None => {
            let engine = Engine::built_in(Options::default())?;
            print("built-in", engine.checkpoint(), arguments.json)?;
        }
    }
    Ok(Outcome::Done)
}

fn print(name: &str, checkpoint: &Checkpoint, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return output::write_json(&record(name, checkpoint)).context("standard output");
    }
    let heading = output::styles_for(&io::stdout()).heading;
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "{heading}{name}{heading:#}")?;
    summary::table(checkpoint).write(&mut out)?;

    let entries = metadata::entries(checkpoint);
    writeln!(out, "\n{heading}metadata ({}){heading:#}", entries.len())?;
    metadata::table(&entries).write(&mut out)?;

    let tensors = in_file_order(checkpoint);
    writeln!(out, "\n{heading}tensors ({}){heading:#}", tensors.len())?;
    tensor_table(&tensors).write(&mut out)?;

    writeln!(out, "\n{heading}types{heading:#}")?;
    totals_table(&tensors).write(&mut out)?;
    Ok(out.flush()?)
}

fn record(name: &str, checkpoint: &Checkpoint) -> Value {
    let tensors = in_file_order(checkpoint);
    let entries: serde_json::Map<_, _> =
        metadata::entries(checkpoint).into_iter().map(|entry| (entry.key, entry.value)).collect();
    json!({
        "model": name,
        "summary": summary::record(checkpoint),
        "metadata": entries,
        "tensors": tensors.iter().map(|tensor| tensor_record(tensor)).collect::<Vec<_>>(),
        "types": totals(&tensors).iter().map(Total::record).collect::<Vec<_>>(),
    })
}

/// As they lie on disk, which is mostly the order of computation.
fn in_file_order(checkpoint: &Checkpoint) -> Vec<&TensorInfo> {
    let mut tensors: Vec<_> = checkpoint.tensors.values().collect();
    tensors.sort_by_key(|tensor| (tensor.file, tensor.offset));
    tensors
}

fn tensor_table(tensors: &[&TensorInfo]) -> Table {
    let mut table = Table::new(&[Side::Left, Side::Right, Side::Left, Side::Right]);
    for tensor in tensors {
        let name = output::visible(&tensor.name);
        table.row([name, shape(tensor), type_name(tensor).into(), tensor.len.to_string()]);
    }
    table
}

fn tensor_record(tensor: &TensorInfo) -> Value {
    json!({
        "name": tensor.name,
        "shape": tensor.shape,
        "type": type_name(tensor),
        "file": tensor.file,
        "offset": tensor.offset,
        "bytes": tensor.len,
    })
}

fn shape(tensor: &TensorInfo) -> String {
    tensor.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ")
}

fn type_name(tensor: &TensorInfo) -> &'static str {
    tensor.block_type.block().name
}

/// All tensors of a type together.
struct Total {
    name: &'static str,
    n_tensors: usize,
    n_weights: u64,
    bytes: u64,
}

impl Total {
    fn record(&self) -> Value {
        json!({ "type": self.name, "tensors": self.n_tensors, "weights": self.n_weights, "bytes": self.bytes })
    }
}

/// By type, the one with the most bytes first.
fn totals(tensors: &[&TensorInfo]) -> Vec<Total> {
    let mut totals: Vec<Total> = Vec::new();
    for tensor in tensors {
        let name = type_name(tensor);
        let index = totals.iter().position(|total| total.name == name).unwrap_or_else(|| {
            totals.push(Total { name, n_tensors: 0, n_weights: 0, bytes: 0 });
            totals.len() - 1
        });
        let total = &mut totals[index];
        total.n_tensors += 1;
        total.n_weights += tensor.n_weights() as u64;
        total.bytes += tensor.len;
    }
    totals.sort_by_key(|total| std::cmp::Reverse(total.bytes));
    totals
}

fn totals_table(tensors: &[&TensorInfo]) -> Table {
    let mut table = Table::new(&[Side::Left, Side::Right, Side::Right, Side::Right, Side::Right]);
    for total in totals(tensors) {
        table.row([
            total.name.into(),
            units::plural(total.n_tensors, "tensor"),
            format!("{} weights", units::count(total.n_weights)),
            units::bytes(total.bytes),
            format!("{:.2} bits/weight", 8.0 * total.bytes as f64 / total.n_weights.max(1) as f64),
        ]);
    }
    table
}
