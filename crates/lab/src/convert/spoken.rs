//! Whether the file that is going to be written says the same model as its source.
//!
//! The keys are read back by the reader of GGUF files before anything is written. So whatever a config says that these
//! keys cannot say ends in an error, not in another model.

use dewdrop_backend::HeadOrder;
use dewdrop_format::gguf::Metadata;
use dewdrop_model::{Descriptor, Mixer, ROPE_FACTORS, Source, claim, compile, describe};

use super::ConvertError;
use super::plan::{Data, Tensor, headers};

/// Keys of GGUF hold singles, so frequencies differ by their rounding.
const TOLERANCE: f64 = 1e-5;

pub(super) fn check(model: &Descriptor, metadata: &Metadata, tensors: &[Tensor]) -> Result<(), ConvertError> {
    let unspeakable = |what: String| Err(ConvertError::Unspeakable { what });
    let factors =
        tensors.iter().find(|tensor| tensor.name == ROPE_FACTORS).and_then(|tensor| match &tensor.data {
            Data::Values(values) => Some(&values[..]),
            Data::File { .. } => None,
        });
    let headers = headers(tensors);
    let read = describe(Source::Gguf(metadata), &headers, factors);
    let claimed = read.and_then(|read| claim(&read, &compile(&read), &headers).map(|_| read));
    let read = match claimed {
        Ok(read) => read,
        Err(error) => return unspeakable(format!("this (what it would say is refused: {error})")),
    };
    for (index, (layer, other)) in in_gguf_order(model).layers.iter().zip(&read.layers).enumerate() {
        if layer != other {
            return unspeakable(format!("what layer {index} is: {layer:?} (it would be {other:?})"));
        }
    }
    let whole = |model: &Descriptor| {
        (
            model.family,
            model.width,
            model.n_vocab,
            model.context_len,
            model.layers.len(),
            model.n_draft_layers,
            model.tied,
        )
    };
    if whole(model) != whole(&read) {
        return unspeakable(format!("its sizes: {:?} (they would be {:?})", whole(model), whole(&read)));
    }
    let numbers = |model: &Descriptor| (model.norm_eps, model.embed_scale, model.logit_softcap);
    if numbers(model) != numbers(&read) {
        return unspeakable(format!(
            "its factors: {:?} (they would be {:?})",
            numbers(model),
            numbers(&read)
        ));
    }
    if !same_ropes(model, &read) {
        return unspeakable(format!("its ropes: {:?} (they would be {:?})", model.rope_laws, read.rope_laws));
    }
    Ok(())
}

/// The model with value heads in the order that the file will have.
fn in_gguf_order(model: &Descriptor) -> Descriptor {
    let mut model = model.clone();
    for layer in &mut model.layers {
        if let Mixer::DeltaRule(spec) = &mut layer.mixer {
            spec.order = HeadOrder::Tiled;
        }
    }
    model
}

fn same_ropes(model: &Descriptor, read: &Descriptor) -> bool {
    let close = |a: f64, b: f64| (a - b).abs() <= TOLERANCE * a.abs();
    model.ropes.len() == read.ropes.len()
        && model.ropes.iter().zip(&read.ropes).all(|(a, b)| {
            a.frequencies.len() == b.frequencies.len()
                && close(a.factor.into(), b.factor.into())
                && a.frequencies.iter().zip(&b.frequencies).all(|(&a, &b)| close(a, b))
        })
}
