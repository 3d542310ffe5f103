//! Weights handed over, section by section.

mod files;

use std::fs;
use std::sync::Arc;

use dewdrop_backend::{Transform, Weight};
use dewdrop_store::{Checkpoint, LayerWeights, Residency, Store, StoreError, WeightSource};

const TENSORS: &[(&str, &[f32])] = &[("table", &[1.0, 2.0, 3.0, 4.0]), ("norm", &[0.5, -0.5])];

fn source(checkpoint: &Checkpoint, tensor: &str, shape: [usize; 2], transform: Transform) -> WeightSource {
    WeightSource { info: checkpoint.tensors[tensor].clone(), transform, shape }
}

/// Entry, a layer, exit; the table serves entry and exit.
fn store(checkpoint: Checkpoint, residency: Residency) -> Store {
    let table = source(&checkpoint, "table", [2, 2], Transform::None);
    let norm = source(&checkpoint, "norm", [1, 2], Transform::AddOne);
    let sections = vec![vec![table.clone()], vec![norm.clone()], vec![norm, table]];
    Store::new(Arc::new(checkpoint), sections, residency)
}

fn values(weight: &Weight) -> Vec<f32> {
    weight.blocks.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn round(store: &mut Store) -> Vec<LayerWeights> {
    (0..store.n_sections()).map(|_| store.next_layer().unwrap()).collect()
}

fn checkpoint() -> Checkpoint {
    Checkpoint::from_blocks("test", files::gguf(TENSORS).into()).unwrap()
}

#[test]
fn sections_come_in_order_with_their_values_once() {
    for residency in [Residency::Mapped, Residency::Resident] {
        let mut store = store(checkpoint(), residency);
        for _ in 0..2 {
            let round = round(&mut store);
            assert_eq!(round.iter().map(|layer| layer.section).collect::<Vec<_>>(), [0, 1, 2]);
            assert_eq!(values(&round[0].weights[0]), [1.0, 2.0, 3.0, 4.0]);
            assert_eq!(values(&round[1].weights[0]), [1.5, 0.5]);
            assert_eq!(values(&round[2].weights[0]), [1.5, 0.5]);
            assert_eq!(values(&round[2].weights[1]), [1.0, 2.0, 3.0, 4.0]);
            assert_eq!((round[0].weights[0].n_out, round[0].weights[0].n_in), (2, 2));
            assert!(round.iter().all(|layer| layer.lasting));
            // What lasts is not handed over again, until someone starts anew.
            assert!(self::round(&mut store).iter().all(|layer| layer.weights.is_empty()));
            store.restart();
        }
    }
}

#[test]
fn mapped_weights_are_the_files_own_bytes_and_shared_ones_are_read_once() {
    let mut mapped = store(checkpoint(), Residency::Mapped);
    let mut resident = store(checkpoint(), Residency::Resident);
    for store in [&mut mapped, &mut resident] {
        let round = round(store);
        assert_eq!(round[0].weights[0].blocks.as_ptr(), round[2].weights[1].blocks.as_ptr());
    }
    let weights = resident_table(&mut resident);
    assert_eq!(weights.blocks.as_ptr() as usize % 64, 0, "resident weights are aligned");
}

fn resident_table(store: &mut Store) -> Weight {
    store.restart();
    store.next_layer().unwrap().weights.remove(0)
}

#[test]
fn a_file_gives_the_same_mapped_and_resident() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    fs::write(&path, files::gguf(TENSORS)).unwrap();
    for residency in [Residency::Mapped, Residency::Resident] {
        let round = round(&mut store(Checkpoint::open(&path).unwrap(), residency));
        assert_eq!(values(&round[0].weights[0]), [1.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn a_file_that_shrank_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let bytes = files::gguf(TENSORS);
    for residency in [Residency::Mapped, Residency::Resident] {
        fs::write(&path, &bytes).unwrap();
        let mut store = store(Checkpoint::open(&path).unwrap(), residency);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_len(bytes.len() as u64 - 4).unwrap();
        let error = store.next_layer().unwrap_err();
        assert!(matches!(error, StoreError::Changed { .. }), "{error}");
        file.set_len(bytes.len() as u64).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(store.next_layer().unwrap().section, 0, "the same section comes again");
    }
}

#[test]
fn a_tensor_of_the_wrong_size_is_an_error() {
    let checkpoint = checkpoint();
    let sections = vec![vec![source(&checkpoint, "table", [3, 2], Transform::None)]];
    let error = Store::new(Arc::new(checkpoint), sections, Residency::Mapped).next_layer().unwrap_err();
    assert_eq!(error.to_string(), "tensor `table`: found 16 bytes, expected 24 for [3, 2] of F32");
}
