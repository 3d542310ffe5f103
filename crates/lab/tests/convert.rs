//! Conversions: the same files as llama.cpp's converter, any type, any number of threads, all or nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dewdrop::Cancel;
use dewdrop_format::gguf::{Array, Gguf, Metadata, Value};
use dewdrop_format::{BLOCK_TYPES, BlockType, TensorInfo};
use dewdrop_lab::convert::{Choice, ConvertError, ConvertOptions, Report, convert};
use dewdrop_model::{ROPE_FACTORS, Source, claim, compile, describe};
use dewdrop_store::{Checkpoint, CheckpointKind};

const FAMILIES: &[&str] = &["llama", "qwen2", "qwen3", "qwen3_5", "gemma3", "gemma3_scale", "lfm2"];

/// The folder of reference checkpoints, if this machine has one.
fn reference() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/seed1");
    let folder = std::env::var_os("DEWDROP_REFERENCE").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no reference checkpoints at {}", folder.display());
    None
}

/// Folders of the families, as far as they are there.
fn folders() -> Vec<PathBuf> {
    let folders = FAMILIES.iter().filter_map(|family| Some(reference()?.join(family)));
    folders.filter(|folder| folder.join("config.json").exists()).collect()
}

fn convert_to(
    source: &Path,
    output: &Path,
    block_type: BlockType,
    options: ConvertOptions,
) -> Result<Report, ConvertError> {
    convert(source, output, block_type, options, &mut |_, _| {})
}

fn gguf(checkpoint: &Checkpoint) -> &Gguf {
    match &checkpoint.kind {
        CheckpointKind::Gguf(gguf) => gguf,
        CheckpointKind::HuggingFace { .. } => panic!("not a GGUF file"),
    }
}

fn values(checkpoint: &Checkpoint, tensor: &TensorInfo) -> Vec<f32> {
    let mut values = vec![0.0; tensor.n_weights()];
    (tensor.block_type.block().decode)(&checkpoint.bytes(tensor), &mut values);
    values
}

/// Whole numbers as such, whatever their type.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(Array::U32(all)) => Array::I32(all.iter().map(|&n| n as i32).collect()).into(),
        _ => value.as_i64().map_or_else(|| value.clone(), Value::I64),
    }
}

fn assert_same_keys(found: &Metadata, expected: &Metadata, name: &str) {
    let architecture = expected.get_str("general.architecture").unwrap().unwrap();
    for (key, value) in expected.iter() {
        let matters = key.starts_with(&format!("{architecture}."))
            || matches!(key, "general.architecture" | "general.file_type" | "general.quantization_version")
            || matches!(
                key,
                "general.size_label" | "general.type" | "tokenizer.ggml.tokens" | "tokenizer.ggml.merges"
            )
            || key.starts_with("general.sampling.");
        if matters {
            let found = found.get(key).unwrap_or_else(|| panic!("{name}: key {key} is missing"));
            assert_eq!(plain(found), plain(value), "{name}: {key}");
        }
    }
}

#[test]
fn f32_files_are_those_of_llama_cpp() {
    let folder = tempfile::tempdir().unwrap();
    for source in folders() {
        let theirs = source.join("llamacpp-f32.gguf");
        if !theirs.exists() {
            continue;
        }
        let name = source.display().to_string();
        let ours = folder.path().join("ours.gguf");
        convert_to(&source, &ours, BlockType::F32, ConvertOptions::default()).unwrap();
        let (ours, theirs) = (Checkpoint::open(&ours).unwrap(), Checkpoint::open(&theirs).unwrap());
        let shapes = |checkpoint: &Checkpoint| -> BTreeMap<String, Vec<usize>> {
            checkpoint.tensors.values().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect()
        };
        assert_eq!(shapes(&ours), shapes(&theirs), "{name}");
        for (tensor, their) in ours.tensors.values().zip(theirs.tensors.values()) {
            let pairs = values(&ours, tensor).into_iter().zip(values(&theirs, their));
            let differing = pairs.filter(|(a, b)| a.to_bits() != b.to_bits()).count();
            assert_eq!(differing, 0, "{name}: {}", tensor.name);
        }
        assert_same_keys(&gguf(&ours).metadata, &gguf(&theirs).metadata, &name);
    }
}

#[test]
fn every_type_of_every_family_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("model.gguf");
    for source in folders() {
        for block in BLOCK_TYPES {
            let report = convert_to(&source, &output, block.block_type, ConvertOptions::default()).unwrap();
            let checkpoint = Checkpoint::open(&output).unwrap();
            assert_eq!(checkpoint.tensors.len(), report.n_tensors);
            let factors = checkpoint.tensors.get(ROPE_FACTORS).map(|tensor| values(&checkpoint, tensor));
            let metadata = &gguf(&checkpoint).metadata;
            let model = describe(Source::Gguf(metadata), &checkpoint.tensors, factors.as_deref()).unwrap();
            claim(&model, &compile(&model), &checkpoint.tensors).unwrap();
            for (name, meant, got) in &report.fallbacks {
                assert_ne!(meant, got);
                assert_eq!(checkpoint.tensors[name].block_type, *got);
            }
        }
    }
}

#[test]
fn threads_do_not_change_the_file_and_gguf_sources_give_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let Some(source) = folders().pop() else { return };
    let options =
        |threads| ConvertOptions { threads, name: Some("same".into()), ..ConvertOptions::default() };
    let path = |name: &str| folder.path().join(name);
    convert_to(&source, &path("one"), BlockType::Q4_0, options(1)).unwrap();
    convert_to(&source, &path("many"), BlockType::Q4_0, options(5)).unwrap();
    convert_to(&source, &path("plain"), BlockType::F32, options(2)).unwrap();
    convert_to(&path("plain"), &path("again"), BlockType::Q4_0, options(2)).unwrap();
    let one = fs::read(path("one")).unwrap();
    assert!(one == fs::read(path("many")).unwrap(), "threads changed bytes");
    assert!(one == fs::read(path("again")).unwrap(), "the way over F32 changed bytes");
    let error = convert_to(&path("one"), &path("twice"), BlockType::Q4_0, options(1)).unwrap_err();
    assert!(matches!(error, ConvertError::AlreadyQuantized { .. }), "{error}");
}

#[test]
fn the_ends_keep_a_better_type_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("model.gguf");
    let Some(source) = folders().into_iter().next() else { return };
    let table = |choice| {
        let options = ConvertOptions { choice, ..ConvertOptions::default() };
        convert_to(&source, &output, BlockType::Q4_0, options).unwrap();
        Checkpoint::open(&output).unwrap().tensors["token_embd.weight"].block_type
    };
    assert_eq!((table(Choice::BetterEnds), table(Choice::Pure)), (BlockType::Q8_0, BlockType::Q4_0));
}

#[test]
fn a_cancelled_conversion_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("model.gguf");
    let Some(source) = folders().into_iter().next() else { return };
    let cancel = Cancel::default();
    let options = ConvertOptions { cancel: cancel.clone(), ..ConvertOptions::default() };
    let result = convert(&source, &output, BlockType::F16, options, &mut |done, total| {
        assert!(done < total, "went on after it was cancelled");
        if done == 3 {
            cancel.cancel();
        }
    });
    assert!(matches!(result, Err(ConvertError::Cancelled)), "{result:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_gguf_cannot_say_is_refused() {
    let Some(source) = reference().map(|reference| reference.join("qwen3")) else { return };
    if !source.join("config.json").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let config = folder.path().join("config.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["use_sliding_window"] = true.into();
    json["sliding_window"] = 8.into();
    json["layer_types"] = serde_json::Value::Null;
    json["max_window_layers"] = 1.into();
    fs::write(&config, json.to_string()).unwrap();
    let output = folder.path().join("model.gguf");
    let error = convert_to(folder.path(), &output, BlockType::F32, ConvertOptions::default()).unwrap_err();
    assert!(matches!(error, ConvertError::Unspeakable { .. }), "{error}");
    assert!(!output.exists());
}
