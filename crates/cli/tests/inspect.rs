//! `dewdrop inspect` on files made here.

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use dewdrop_format::BlockType;
use dewdrop_format::gguf::{Array, Metadata, Value, Writer};
use support::{run, shown_in, stdout};

/// Writes a GGUF file with this metadata and these tensors, all zero.
fn write(folder: &Path, metadata: Metadata, tensors: &[(&str, &[usize], BlockType)]) -> PathBuf {
    let path = folder.join("tiny.gguf");
    let mut writer = Writer::new(metadata).expect("an alignment");
    for (name, shape, block_type) in tensors {
        writer.declare(name, shape, *block_type).expect("a tensor");
    }
    let mut data = writer.start(File::create(&path).expect("a file")).expect("a header");
    for (name, shape, block_type) in tensors {
        let len = block_type.bytes_for(shape.iter().product());
        data.write(name, &vec![0; len]).expect("its data");
    }
    data.finish().expect("an end");
    path
}

/// A model of a family that nobody has heard of, with every type of value.
fn unknown(folder: &Path) -> PathBuf {
    let mut metadata = Metadata::new(&folder.join("tiny.gguf"));
    metadata.insert("general.architecture", Value::String("nonesuch".into()));
    metadata.insert("general.name", Value::String("line one\n\u{1b}[31mline two".into()));
    metadata.insert("nonesuch.context_length", Value::U32(64));
    metadata.insert("nonesuch.offset", Value::I64(-3));
    metadata.insert("nonesuch.epsilon", Value::F32(1e-6));
    metadata.insert("nonesuch.infinite", Value::F64(f64::INFINITY));
    metadata.insert("nonesuch.flag", Value::Bool(true));
    metadata.insert("nonesuch.text", Value::String("long ".repeat(40)));
    let tokens = (0..100).map(|i| format!("t{i}")).collect();
    metadata.insert("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)));
    metadata.insert("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.5, f32::NAN])));
    let tensors: [(&str, &[usize], BlockType); 4] = [
        ("token_embd.weight", &[100, 64], BlockType::Q8_0),
        ("blk.0.attn_q.weight", &[64, 64], BlockType::Q8_0),
        ("blk.0.attn_norm.weight", &[64], BlockType::F32),
        ("output_norm.weight", &[64], BlockType::F32),
    ];
    write(folder, metadata, &tensors)
}

#[test]
fn tables_for_people() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = unknown(folder.path());
    let output = run(&["inspect", path.to_str().expect("UTF-8")]);
    insta::assert_snapshot!(shown_in(folder.path(), &output));
}

#[test]
fn json_for_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = unknown(folder.path());
    let output = run(&["inspect", "--json", "-m", path.to_str().expect("UTF-8")]);
    insta::assert_snapshot!(shown_in(folder.path(), &output));
}

#[test]
fn a_cut_off_file_is_named_with_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = unknown(folder.path());
    let bytes = fs::read(&path).expect("it is there");
    fs::write(&path, &bytes[..bytes.len() - 100]).expect("it can be written");
    let output = run(&["run", "hi", "-m", path.to_str().expect("UTF-8")]);
    insta::assert_snapshot!(shown_in(folder.path(), &output));
}

#[test]
fn the_first_part_of_a_file_shows_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = unknown(folder.path());
    let bytes = fs::read(&path).expect("it is there");
    fs::write(&path, &bytes[..bytes.len() - 100]).expect("it can be written");
    let text = stdout(&run(&["inspect", path.to_str().expect("UTF-8")]));
    let line = text.lines().find(|line| line.trim_start().starts_with("missing")).expect("a line");
    assert!(line.ends_with("100 B (cut-off download? fetch the rest to run it)"), "{line}");
}
