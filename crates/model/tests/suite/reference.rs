//! The reference checkpoints: each known family in both file formats, and each unknown one.

use std::collections::BTreeSet;
use std::path::Path;

use dewdrop_backend::{HeadOrder, Transform};
use dewdrop_model::{Descriptor, FAMILIES, Mixer, ModelError, SourceKind};

use crate::checkpoint::{Checkpoint, reference};

const KNOWN: &[&str] = &["llama", "qwen2", "qwen3", "qwen3_5", "gemma3", "gemma3_scale", "lfm2"];
const UNKNOWN: &[&str] = &["qwen3_moe", "qwen3_5_moe", "gemma4", "gemma4_moe", "lfm2_moe"];

/// The checkpoints of a family: its folder and its GGUF file, as far as they are there.
fn checkpoints(folder: &Path) -> Vec<Checkpoint> {
    let gguf = folder.join("llamacpp-f32.gguf");
    let mut all = Vec::new();
    if folder.join("config.json").exists() {
        all.push(Checkpoint::open_folder(folder));
    }
    if gguf.exists() {
        all.push(Checkpoint::open_gguf(&gguf));
    }
    if all.is_empty() {
        eprintln!("skipped: nothing in {}", folder.display());
    }
    all
}

#[test]
fn known_families_claim_every_tensor() {
    let Some(reference) = reference() else { return };
    for name in KNOWN {
        for checkpoint in checkpoints(&reference.join(name)) {
            let (model, program, claims) =
                checkpoint.claim().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(program.sections.len(), model.layers.len() + 2, "{name}");
            for (section, claims) in program.sections.iter().zip(&claims.sections) {
                assert_eq!(section.weights.len(), claims.len(), "{name} {}", section.name);
            }
            let n_claimed: usize = claims.sections.iter().map(Vec::len).sum();
            let n_twice = usize::from(model.tied);
            assert_eq!(n_claimed - n_twice + claims.unused.len(), checkpoint.tensors.len(), "{name}");
        }
    }
}

#[test]
fn unknown_families_are_refused_with_the_known_ones() {
    let Some(reference) = reference() else { return };
    for name in UNKNOWN {
        for checkpoint in checkpoints(&reference.join(name)) {
            match checkpoint.describe() {
                Err(ModelError::UnknownFamily { known, .. }) => {
                    for family in FAMILIES {
                        assert!(
                            known.contains(family.gguf) || known.contains(family.hugging_face[0]),
                            "{known}"
                        );
                    }
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

/// The same model from the folder and from the GGUF file is the same but for what their spellings differ in.
#[test]
fn both_formats_describe_the_same_model() {
    let Some(reference) = reference() else { return };
    for name in KNOWN {
        let described: Vec<Descriptor> = checkpoints(&reference.join(name))
            .iter()
            .map(|checkpoint| checkpoint.describe().unwrap())
            .collect();
        let [folder, gguf] = &described[..] else { continue };
        assert_eq!((folder.source, gguf.source), (SourceKind::HuggingFace, SourceKind::Gguf));
        for (one, other) in folder.ropes.iter().zip(&gguf.ropes) {
            assert_eq!(one.frequencies.len(), other.frequencies.len(), "{name}");
            for (one, other) in one.frequencies.iter().zip(&other.frequencies) {
                // GGUF files round bases and factors to singles.
                assert!((one / other - 1.0).abs() < 1e-6, "{name}: {one} {other}");
            }
        }
        assert_eq!(&in_spelling_of(folder, gguf), gguf, "{name}");
    }
}

fn in_spelling_of(folder: &Descriptor, gguf: &Descriptor) -> Descriptor {
    let mut model = folder.clone();
    (model.source, model.ropes, model.rope_laws) = (gguf.source, gguf.ropes.clone(), gguf.rope_laws.clone());
    for layer in &mut model.layers {
        if let Mixer::DeltaRule(spec) = &mut layer.mixer {
            assert_eq!(spec.order, HeadOrder::Grouped);
            spec.order = HeadOrder::Tiled;
        }
    }
    model
}

/// The roles, in any layer of a folder, whose values are transformed in this way.
fn transformed(folder: &Path, transform: Transform) -> Option<BTreeSet<String>> {
    if !folder.join("config.json").exists() {
        return None;
    }
    let (_, program, claims) = Checkpoint::open_folder(folder).claim().unwrap();
    let specs = program.sections.iter().flat_map(|section| &section.weights);
    let both = specs.zip(claims.sections.iter().flatten());
    Some(both.filter(|(_, claim)| claim.transform == transform).map(|(spec, _)| spec.role.clone()).collect())
}

#[test]
fn folders_get_transforms_where_values_differ_from_gguf() {
    let Some(reference) = reference() else { return };
    let heads = ["attn_norm", "attn_q_norm", "attn_k_norm", "ffn_norm", "output_norm"];
    let both_sides = [&heads[..], &["post_attention_norm", "post_ffw_norm"]].concat();
    for (family, transform, expected) in [
        ("gemma3", Transform::AddOne, &both_sides[..]),
        ("qwen3_5", Transform::AddOne, &heads),
        ("qwen3", Transform::AddOne, &[]),
    ] {
        let Some(found) = transformed(&reference.join(family), transform) else { continue };
        assert_eq!(found, expected.iter().map(|norm| format!("{norm}.weight")).collect(), "{family}");
    }
    if let Some(found) = transformed(&reference.join("qwen3_5"), Transform::NegExp) {
        assert_eq!(found, ["ssm_a".to_owned()].into());
    }
}
