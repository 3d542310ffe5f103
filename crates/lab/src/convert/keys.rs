//! What a GGUF file says about a model, under llama.cpp's names.

use dewdrop_backend::{DeltaRule, ShortConv};
use dewdrop_format::gguf::{Array, Metadata, Value as Metadatum};
use dewdrop_model::{Attention, Descriptor, Family, Mixer, Scaling, Yarn};
use serde_json::Value;

/// The layout of quantized blocks that `general.quantization_version` names; there has been no other for years.
pub(crate) const QUANTIZATION_VERSION: u32 = 2;

/// Period of layers that see all positions that readers of gemma 3 assume.
const GEMMA_PERIOD: usize = 6;

/// Period of attention layers that readers of qwen 3.5 assume.
const QWEN_INTERVAL: u32 = 4;

/// Sections of the three streams of positions where a config says none. Readers want the key; text does not need it.
const SECTIONS: [i32; 4] = [11, 11, 10, 0];

/// Keys under `general.`.
pub(crate) fn general(
    metadata: &mut Metadata,
    model: &Descriptor,
    name: &str,
    n_weights: usize,
    generation_config: Option<&Value>,
) {
    metadata.insert("general.architecture", architecture_name(model));
    metadata.insert("general.type", "model");
    let number = |key: &str| generation_config.and_then(|config| config.get(key)?.as_f64());
    if let Some(top_k) = number("top_k") {
        metadata.insert("general.sampling.top_k", Metadatum::I32(top_k as i32));
    }
    for (key, name) in [("top_p", "top_p"), ("min_p", "min_p"), ("temperature", "temp")] {
        if let Some(value) = number(key) {
            metadata.insert(&format!("general.sampling.{name}"), value as f32);
        }
    }
    metadata.insert("general.name", name);
    metadata.insert("general.size_label", size_label(n_weights).as_str());
}

/// Keys under the architecture's name.
pub(crate) fn architecture(metadata: &mut Metadata, model: &Descriptor, config: &Value) {
    let mut keys = Keys { metadata, prefix: architecture_name(model) };
    sizes(&mut keys, model);
    attention(&mut keys, model);
    ropes(&mut keys, model);
    windows(&mut keys, model);
    for layer in &model.layers {
        match &layer.mixer {
            Mixer::DeltaRule(spec) => return delta_rule(&mut keys, model, spec, config),
            Mixer::ShortConv { spec: ShortConv { kernel, .. }, .. } => {
                return keys.count("shortconv.l_cache", *kernel);
            }
            Mixer::Attention(_) => {}
        }
    }
}

fn architecture_name(model: &Descriptor) -> &'static str {
    Family::named(model.family).expect("descriptors are made by families of the table").gguf
}

/// Metadata under a prefix.
struct Keys<'a> {
    metadata: &'a mut Metadata,
    prefix: &'static str,
}

impl Keys<'_> {
    fn put(&mut self, key: &str, value: impl Into<Metadatum>) {
        self.metadata.insert(&format!("{}.{key}", self.prefix), value);
    }

    fn count(&mut self, key: &str, count: usize) {
        self.put(key, u32::try_from(count).expect("counts of a checked model fit 32 bits"));
    }

    /// One number where all layers agree, else a list.
    fn counts(&mut self, key: &str, counts: Vec<usize>) {
        match counts.first() {
            Some(&first) if counts.iter().any(|&count| count != first) => {
                let list = counts
                    .into_iter()
                    .map(|count| i32::try_from(count).expect("counts are checked"))
                    .collect();
                self.put(key, Array::I32(list));
            }
            Some(&first) => self.count(key, first),
            None => {}
        }
    }
}

fn sizes(keys: &mut Keys<'_>, model: &Descriptor) {
    keys.count("block_count", model.layers.len() + model.n_draft_layers);
    keys.count("context_length", model.context_len);
    keys.count("embedding_length", model.width);
    keys.counts("feed_forward_length", model.layers.iter().map(|layer| layer.feed_forward.width).collect());
    keys.count("vocab_size", model.n_vocab);
    keys.put("attention.layer_norm_rms_epsilon", model.norm_eps);
    if model.n_draft_layers > 0 {
        keys.count("nextn_predict_layers", model.n_draft_layers);
    }
    if let Some(cap) = model.logit_softcap {
        keys.put("final_logit_softcapping", cap);
    }
    // The scale of gemma's embeddings goes without saying.
    if model.embed_scale != 1.0 && model.family != "gemma3" {
        keys.put("embedding_scale", model.embed_scale);
    }
}

fn attentions(model: &Descriptor) -> impl Iterator<Item = Option<&Attention>> {
    model.layers.iter().map(|layer| match &layer.mixer {
        Mixer::Attention(attention) => Some(attention),
        _ => None,
    })
}

fn attention(keys: &mut Keys<'_>, model: &Descriptor) {
    let Some(first) = attentions(model).flatten().next() else { return };
    let heads = |attention: Option<&Attention>| attention.unwrap_or(first).n_heads;
    keys.counts("attention.head_count", attentions(model).map(heads).collect());
    // Layers of convolutions are told by having no key/value heads; those of the delta rule are told otherwise.
    let others = |index: usize| match model.layers[index].mixer {
        Mixer::ShortConv { .. } => 0,
        _ => first.n_kv_heads,
    };
    let kv_heads = attentions(model).enumerate();
    let kv_heads = kv_heads.map(|(index, attention)| attention.map_or(others(index), |own| own.n_kv_heads));
    keys.counts("attention.head_count_kv", kv_heads.collect());
    keys.count("attention.key_length", first.head_dim);
    keys.count("attention.value_length", first.head_dim);
    if first.scale != (1.0 / (first.head_dim as f64).sqrt()) as f32 {
        keys.put("attention.scale", first.scale);
    }
}

fn ropes(keys: &mut Keys<'_>, model: &Descriptor) {
    let Some(law) = model.rope_laws.first() else { return };
    keys.put("rope.freq_base", law.base as f32);
    keys.count("rope.dimension_count", law.n_turning);
    match law.scaling {
        // llama 3's is a tensor.
        Scaling::None | Scaling::Llama3 { .. } => {}
        Scaling::Linear { factor } => {
            keys.put("rope.scaling.type", "linear");
            keys.put("rope.scaling.factor", factor as f32);
        }
        Scaling::Yarn(yarn) => yarn_keys(keys, &yarn),
    }
    if let Some(local) = model.rope_laws.get(1) {
        keys.put("rope.freq_base_swa", local.base as f32);
    }
}

fn yarn_keys(keys: &mut Keys<'_>, yarn: &Yarn) {
    keys.put("rope.scaling.type", "yarn");
    keys.put("rope.scaling.factor", yarn.factor as f32);
    keys.count("rope.scaling.original_context_length", yarn.original as usize);
    keys.put("rope.scaling.yarn_beta_fast", yarn.fast as f32);
    keys.put("rope.scaling.yarn_beta_slow", yarn.slow as f32);
    // Readers multiply it with the one that follows from the stretch.
    let more = yarn.attention_factor / yarn.usual_attention_factor();
    if more != 1.0 {
        keys.put("rope.scaling.yarn_attn_factor", more as f32);
    }
}

fn windows(keys: &mut Keys<'_>, model: &Descriptor) {
    let Some(window) = attentions(model).flatten().find_map(|attention| attention.window) else { return };
    keys.count("attention.sliding_window", window);
    let slides: Vec<bool> =
        attentions(model).map(|attention| attention.is_some_and(|own| own.window.is_some())).collect();
    let usual = |(layer, &slides): (usize, &bool)| slides != (layer + 1).is_multiple_of(GEMMA_PERIOD);
    if model.rope_laws.len() < 2 || slides.iter().enumerate().all(usual) {
        return;
    }
    // llama.cpp reads a period here, and passes over a list: then it assumes the usual period.
    match interval(&slides) {
        Some(period) => keys.put("attention.sliding_window_pattern", period),
        None => keys.put("attention.sliding_window_pattern", Array::Bool(slides)),
    }
}

fn delta_rule(keys: &mut Keys<'_>, model: &Descriptor, spec: &DeltaRule, config: &Value) {
    keys.count("ssm.conv_kernel", spec.kernel);
    keys.count("ssm.state_size", spec.key_dim);
    keys.count("ssm.group_count", spec.n_key_heads);
    keys.count("ssm.time_step_rank", spec.n_value_heads);
    keys.count("ssm.inner_size", spec.n_value_heads * spec.value_dim);
    keys.put("rope.dimension_sections", Array::I32(sections(config).into()));
    let recurrent: Vec<bool> = attentions(model).map(|attention| attention.is_none()).collect();
    match interval(&recurrent) {
        Some(interval) => keys.put("full_attention_interval", interval),
        None => keys.put("attention.recurrent_layers", Array::Bool(recurrent)),
    }
}

/// The period of layers that see all positions, if they have one; `others` are recurrent, or see a window.
fn interval(others: &[bool]) -> Option<u32> {
    let first = others.iter().position(|other| !other);
    let Some(first) = first else {
        return (others.len() < QWEN_INTERVAL as usize).then_some(QWEN_INTERVAL);
    };
    let period = first + 1;
    let periodic = others.iter().zip(1..).all(|(&other, layer)| other == (layer % period != 0));
    periodic.then(|| u32::try_from(period).expect("layers are counted to 4096 at most"))
}

fn sections(config: &Value) -> [i32; 4] {
    let text = config.get("text_config").unwrap_or(config);
    let rope = text.get("rope_parameters").or_else(|| text.get("rope_scaling"));
    let given = rope.and_then(|rope| rope.get("mrope_section")?.as_array());
    let Some(given) = given else { return SECTIONS };
    let mut sections = [0; 4];
    for (section, value) in sections.iter_mut().zip(given) {
        *section = value.as_i64().and_then(|value| i32::try_from(value).ok()).unwrap_or(0);
    }
    sections
}

/// A number of weights in two digits or more: `173K`, `1.2B`.
fn size_label(n_weights: usize) -> String {
    let (scaled, unit) = match n_weights as f64 {
        n if n > 1e12 => (n / 1e12, "T"),
        n if n > 1e9 => (n / 1e9, "B"),
        n if n > 1e6 => (n / 1e6, "M"),
        n => (n / 1e3, "K"),
    };
    let decimals = if scaled.round() < 10.0 { 1 } else { 0 };
    format!("{scaled:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use dewdrop_model::Source;
    use serde_json::json;

    use super::*;

    #[test]
    fn size_labels() {
        assert_eq!(size_label(172_608), "173K");
        assert_eq!(size_label(10_012_345), "10M");
        assert_eq!(size_label(1_240_000_000), "1.2B");
    }

    #[test]
    fn intervals() {
        assert_eq!(interval(&[true, true, true, false, true, true, true, false]), Some(4));
        assert_eq!(interval(&[true, false, true, false, true]), Some(2));
        assert_eq!(interval(&[false, true]), None);
        assert_eq!(interval(&[true, true]), Some(4));
        assert_eq!(interval(&[true, true, true, true]), None);
    }

    #[test]
    fn windows_are_said_as_a_period_where_they_have_one() {
        let pattern = |slides: &[bool]| {
            let kind = |&slides: &bool| if slides { "sliding_attention" } else { "full_attention" };
            let layer_types: Vec<_> = slides.iter().map(kind).collect();
            let config = json!({
                "model_type": "gemma3_text", "num_hidden_layers": slides.len(), "layer_types": layer_types
            });
            let model = dewdrop_model::describe(Source::HuggingFace(&config), &BTreeMap::new(), None);
            let mut metadata = Metadata::new(Path::new("test"));
            architecture(&mut metadata, &model.expect("a gemma"), &config);
            metadata.get("gemma3.attention.sliding_window_pattern").cloned()
        };
        assert_eq!(pattern(&[true, true, true, true, true, false, true]), None);
        assert_eq!(pattern(&[true, false, true, false, true]), Some(Metadatum::U32(2)));
        let list = [true, false, false, true];
        assert_eq!(pattern(&list), Some(Metadatum::Array(Array::Bool(list.into()))));
    }
}
