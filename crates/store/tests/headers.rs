//! Files that end after their headers.

mod files;

use std::fs;
use std::path::{Path, PathBuf};

use dewdrop_store::{Checkpoint, StoreError};
use files::{gguf, safetensors, shard};
use tempfile::TempDir;

const TENSORS: &[(&str, &[f32])] = &[("x", &[1.0; 100]), ("y", &[2.0; 50])];

/// Writes files without their last `cut` bytes; yields the folder and the first one's path.
fn cut(cut: usize, files: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), &bytes[..bytes.len() - cut]).unwrap();
    }
    let first = folder.path().join(files[0].0);
    (folder, first)
}

/// Bytes that are missing of a model that no other command takes.
fn missing(path: &Path) -> u64 {
    assert!(matches!(Checkpoint::open(path), Err(StoreError::Format(_))));
    let checkpoint = Checkpoint::open_headers(path).unwrap();
    let error = checkpoint.check_whole().unwrap_err();
    assert!(matches!(error, StoreError::HeadersOnly { .. }), "{error}");
    checkpoint.missing_bytes()
}

#[test]
fn headers_of_every_kind_of_file_suffice() {
    // The writer pads the last tensor of 200 bytes to a multiple of 32.
    let (_folder, path) = cut(24 + 8, &[("a.gguf", &gguf(TENSORS))]);
    assert_eq!(missing(&path), 8);
    let (_folder, path) = cut(24 + 200 + 16 + 4, &[("a.gguf", &gguf(TENSORS))]);
    assert_eq!(missing(&path), 204);

    let (folder, path) = cut(240, &[("model.safetensors", &safetensors(TENSORS))]);
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    assert_eq!((missing(&path), missing(folder.path())), (240, 240));

    let parts: Vec<Vec<u8>> = [0, 1].map(|i| shard(i, 2, &TENSORS[i as usize..][..1])).into();
    let names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
    let (_folder, path) = cut(32, &[(names[0], &parts[0]), (names[1], &parts[1])]);
    assert_eq!(missing(&path), 32 - 16 + 32 - 24);
}

#[test]
fn a_whole_file_misses_nothing() {
    let (_folder, path) = cut(0, &[("a.gguf", &gguf(TENSORS))]);
    let checkpoint = Checkpoint::open_headers(&path).unwrap();
    assert_eq!(checkpoint.missing_bytes(), 0);
    checkpoint.check_whole().unwrap();
}

#[test]
fn headers_that_are_cut_off_or_announce_what_no_file_has_are_refused() {
    for (name, whole) in [("a.gguf", gguf(TENSORS)), ("a.safetensors", safetensors(TENSORS))] {
        // Data of 640 bytes at most, and padding before it.
        for len in 1..whole.len() - 640 - 31 {
            let (folder, path) = cut(whole.len() - len, &[(name, &whole)]);
            fs::write(folder.path().join("config.json"), "{}").unwrap();
            assert!(Checkpoint::open_headers(&path).is_err(), "{len} bytes of {name}");
        }
    }
    let header =
        br#"{"x":{"dtype":"F32","shape":[2305843009213693951],"data_offsets":[0,9223372036854775804]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    let (folder, path) = cut(0, &[("a.safetensors", &bytes)]);
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let error = Checkpoint::open_headers(&path).err().expect("refused").to_string();
    assert!(error.contains("tensor `x`: data ends at byte 9223372036854775"), "{error}");
}
