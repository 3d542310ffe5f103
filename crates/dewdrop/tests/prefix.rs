//! Models of which the first part is all that is here.

use std::fs;
use std::path::{Path, PathBuf};

use dewdrop::{Checkpoint, Engine, Error, Options, Prepared};
use dewdrop_store::StoreError;
use tempfile::TempDir;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/dew-10m.gguf")
}

/// Bytes of the model before its first tensor.
fn header_len() -> usize {
    let checkpoint = Checkpoint::open(&model()).unwrap();
    checkpoint.tensors.values().map(|tensor| tensor.offset).min().unwrap() as usize
}

/// So many first bytes of the model, in a folder that lives as long as they are needed.
fn prefix(len: usize) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, &fs::read(model()).unwrap()[..len]).unwrap();
    (folder, path)
}

#[test]
fn a_header_is_enough_for_a_plan_and_not_to_run() {
    let whole = Prepared::open(&model(), Options::default()).unwrap();
    let bytes = whole.checkpoint().total_bytes();
    assert_eq!(whole.checkpoint().missing_bytes(), 0);
    for (more, missing) in [(0, bytes), (3 << 20, bytes - (3 << 20))] {
        let (_folder, path) = prefix(header_len() + more);
        let prepared = Prepared::open_headers(&path, Options::default()).unwrap();
        let found = prepared.checkpoint().missing_bytes();
        assert!(found.abs_diff(missing) <= 4096, "{found} of {missing}: tensors have gaps between them");
        // Both are of this process, which is not as large at all times; all of the weights are the same.
        let (of_whole, of_part) = (whole.plan(1 << 40).unwrap(), prepared.plan(1 << 40).unwrap());
        assert_eq!((of_part.resident, of_part.streamed), (of_whole.resident, of_whole.streamed));
        let least = |prepared: &Prepared| prepared.plan(1).unwrap_err();
        assert_eq!(least(&prepared).streamed, least(&whole).streamed);
        let error = prepared.engine().err().expect("refused");
        assert!(matches!(error, Error::Store(StoreError::HeadersOnly { .. })), "{error}");
        assert!(matches!(Engine::open(&path, Options::default()), Err(Error::Store(StoreError::Format(_)))));
    }
}

#[test]
fn a_header_that_is_cut_off_is_refused() {
    for len in [3, 8, 100, header_len() / 2] {
        let (_folder, path) = prefix(len);
        let error = Prepared::open_headers(&path, Options::default()).err().expect("refused");
        assert!(matches!(error, Error::Store(_)), "{len}: {error}");
    }
}
