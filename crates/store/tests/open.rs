//! Opening what people point at, and saying what is wrong with it.

#![cfg(unix)]

mod files;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use dewdrop_store::{Checkpoint, CheckpointKind, StoreError};
use files::{gguf, safetensors, shard};
use tempfile::TempDir;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// The message with the folder's own name cut out.
fn refused(path: &Path, folder: &TempDir) -> String {
    let error = Checkpoint::open(path).err().expect("refused");
    error.to_string().replace(&folder.path().display().to_string(), "DIR")
}

fn refused_file(name: &str, bytes: &[u8]) -> String {
    let folder = folder(&[(name, bytes)]);
    refused(&folder.path().join(name), &folder)
}

fn floats(checkpoint: &Checkpoint, tensor: &str) -> Vec<f32> {
    let bytes = checkpoint.bytes(&checkpoint.tensors[tensor]);
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
fn a_gguf_file_opens() {
    let folder = folder(&[("a.gguf", &gguf(&[("x", &[1.0, 2.0]), ("y", &[3.0])]))]);
    let checkpoint = Checkpoint::open(&folder.path().join("a.gguf")).unwrap();
    assert!(matches!(checkpoint.kind, CheckpointKind::Gguf(_)));
    assert_eq!(floats(&checkpoint, "x"), [1.0, 2.0]);
    assert_eq!(floats(&checkpoint, "y"), [3.0]);
    assert_eq!(checkpoint.total_bytes(), 12);
}

#[test]
fn the_name_of_a_gguf_file_does_not_matter() {
    let folder = folder(&[("model", &gguf(&[("x", &[1.0])]))]);
    assert!(Checkpoint::open(&folder.path().join("model")).is_ok());
}

#[test]
fn a_file_in_memory_opens() {
    let bytes: &'static [u8] = Box::leak(gguf(&[("x", &[1.0, 2.0])]).into_boxed_slice());
    let checkpoint = Checkpoint::from_static("built-in", bytes).unwrap();
    assert_eq!(floats(&checkpoint, "x"), [1.0, 2.0]);
    let taken = checkpoint.bytes(&checkpoint.tensors["x"]);
    assert!(bytes.as_ptr_range().contains(&taken.as_ptr()), "nothing is copied");
    assert_eq!(checkpoint.bytes_in_program(), bytes.len() as u64);
    let held = Checkpoint::from_blocks("made", bytes.to_vec().into()).unwrap();
    assert_eq!(held.bytes_in_program(), 0, "what a process holds counts them");
}

#[test]
fn any_part_of_a_split_model_opens_all_of_it() {
    let (first, second) = (shard(0, 2, &[("x", &[1.0])]), shard(1, 2, &[("y", &[2.0])]));
    let names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
    let folder = folder(&[(names[0], &first), (names[1], &second)]);
    for name in names {
        let checkpoint = Checkpoint::open(&folder.path().join(name)).unwrap();
        assert_eq!((floats(&checkpoint, "x"), floats(&checkpoint, "y")), (vec![1.0], vec![2.0]));
        assert_eq!(checkpoint.files().count(), 2);
    }
}

#[test]
fn a_missing_part_is_named() {
    let folder = folder(&[("m-00002-of-00002.gguf", &shard(1, 2, &[("y", &[2.0])]))]);
    assert_eq!(
        refused(&folder.path().join("m-00002-of-00002.gguf"), &folder),
        "DIR/m-00001-of-00002.gguf: this part of the model is missing, named by DIR/m-00002-of-00002.gguf \
         (fetch it into the same folder)"
    );
}

#[test]
fn a_part_that_names_itself_as_all_parts_is_refused() {
    let part = shard(0, 2, &[("x", &[1.0])]);
    let folder = folder(&[("m-00001-of-00002.gguf", &part), ("m-00002-of-00002.gguf", &part)]);
    let message = refused(&folder.path().join("m-00001-of-00002.gguf"), &folder);
    assert!(message.contains("shard 1 of 2, expected shard 2 of 2"), "{message}");
}

#[test]
fn a_folder_opens_and_so_does_its_file() {
    let weights = safetensors(&[("x", &[1.0, 2.0])]);
    let folder = folder(&[
        ("config.json", b"{\"model_type\": \"llama\"}"),
        ("generation_config.json", b"{\"eos_token_id\": 2}"),
        ("model.safetensors", &weights),
    ]);
    for path in [folder.path().to_owned(), folder.path().join("model.safetensors")] {
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(floats(&checkpoint, "x"), [1.0, 2.0]);
        let CheckpointKind::HuggingFace { config, generation_config, .. } = &checkpoint.kind else {
            panic!("a folder")
        };
        assert_eq!(config["model_type"], "llama");
        assert_eq!(generation_config.as_ref().unwrap()["eos_token_id"], 2);
    }
}

const INDEX: &str = "model.safetensors.index.json";

fn sharded(index: &[u8], shards: &[(&str, &[u8])]) -> TempDir {
    let files = [&[("config.json", &b"{}"[..]), (INDEX, index)], shards].concat();
    folder(&files)
}

#[test]
fn a_folder_of_shards_opens() {
    let index = br#"{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}"#;
    let (a, b) = (safetensors(&[("x", &[1.0])]), safetensors(&[("y", &[2.0])]));
    let folder = sharded(index, &[("a.safetensors", &a), ("b.safetensors", &b)]);
    for path in [folder.path().to_owned(), folder.path().join("b.safetensors")] {
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!((floats(&checkpoint, "x"), floats(&checkpoint, "y")), (vec![1.0], vec![2.0]));
    }
}

#[test]
fn shards_that_do_not_fit_their_index_are_refused() {
    let a = safetensors(&[("x", &[1.0])]);
    let missing = sharded(br#"{"weight_map": {"x": "b.safetensors"}}"#, &[]);
    let message = refused(missing.path(), &missing);
    assert!(message.starts_with("DIR/b.safetensors: this part of the model is missing"), "{message}");

    let lacks = br#"{"weight_map": {"x": "a.safetensors", "z": "a.safetensors"}}"#;
    let lacks = sharded(lacks, &[("a.safetensors", &a)]);
    let message = refused(lacks.path(), &lacks);
    assert_eq!(message, format!("DIR/{INDEX}: tensor `z` should be in `a.safetensors`, but is not"));

    let twice = br#"{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}"#;
    let twice = sharded(twice, &[("a.safetensors", &a), ("b.safetensors", &a)]);
    let message = refused(twice.path(), &twice);
    assert_eq!(message, "tensor `x` stands both in DIR/a.safetensors and in DIR/b.safetensors");

    let outside = sharded(br#"{"weight_map": {"x": "../a.safetensors"}}"#, &[]);
    let message = refused(outside.path(), &outside);
    assert!(message.contains("in the same folder"), "{message}");
}

#[test]
fn shards_in_a_circle_of_links_are_refused() {
    let folder = sharded(br#"{"weight_map": {"x": "a.safetensors"}}"#, &[]);
    let (a, b) = (folder.path().join("a.safetensors"), folder.path().join("b.safetensors"));
    symlink(&a, &b).unwrap();
    symlink(&b, &a).unwrap();
    assert!(refused(folder.path(), &folder).contains("missing"));
    assert!(refused(&a, &folder).ends_with("cannot be opened"));
}

#[test]
fn what_is_no_model_is_refused_with_a_reason() {
    assert_eq!(
        refused_file("a.gguf", b""),
        "DIR/a.gguf: the file is empty (cut-off download? fetch it again)"
    );
    assert_eq!(
        refused_file("a.gguf", b"<!DOCTYPE html>"),
        "DIR/a.gguf: not a model file: it begins with `<!DOCTYP`, expected `GGUF` or a safetensors header"
    );
    assert_eq!(
        refused_file("a", &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0]),
        "DIR/a: not a model file: it begins with 7f 45 4c 46 02 01 01 00, expected `GGUF` or a safetensors header"
    );
    for bytes in [&b"PK\x03\x04rest of an archive"[..], b"\x80\x02}q\x00(X"] {
        let message = refused_file("pytorch_model.bin", bytes);
        assert!(message.starts_with("DIR/pytorch_model.bin: PyTorch pickles are not read"), "{message}");
    }
}

#[test]
fn a_folder_that_is_no_model_is_refused_with_a_reason() {
    let empty = folder(&[]);
    let message = refused(empty.path(), &empty);
    assert_eq!(message, "DIR: no config.json, which a Hugging Face model needs beside its weights");

    let gguf = folder(&[("m.gguf", b"GGUF")]);
    assert!(refused(gguf.path(), &gguf).ends_with("(to use a GGUF file, name the file: DIR/m.gguf)"));

    let config = folder(&[("config.json", b"{}")]);
    let message = refused(config.path(), &config);
    assert_eq!(message, "DIR: no model.safetensors and no model.safetensors.index.json");

    let pickle = folder(&[("config.json", b"{}"), ("pytorch_model.bin", b"PK\x03\x04")]);
    assert!(refused(pickle.path(), &pickle).starts_with("DIR/pytorch_model.bin: PyTorch pickles"));

    let broken = folder(&[("config.json", b"{"), ("model.safetensors", b"x")]);
    assert_eq!(refused(broken.path(), &broken), "DIR/config.json: not valid JSON");

    let alone = folder(&[("model.safetensors", &safetensors(&[("x", &[1.0])]))]);
    let message = refused(&alone.path().join("model.safetensors"), &alone);
    assert!(message.starts_with("DIR: no config.json"), "{message}");
}

#[test]
fn what_the_system_refuses_is_an_error() {
    let folder = folder(&[("a.gguf", b"GGUF")]);
    let path = folder.path().join("a.gguf");
    assert!(matches!(Checkpoint::open(&folder.path().join("none.gguf")), Err(StoreError::Open { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser may read everything, and then the file is too short.
    assert!(matches!(Checkpoint::open(&path), Err(StoreError::Open { .. } | StoreError::Format(_))));
    assert!(matches!(Checkpoint::open(Path::new("/dev/null")), Err(StoreError::NotAFile { .. })));
}
