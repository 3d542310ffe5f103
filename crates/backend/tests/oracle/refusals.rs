//! What input can cause is an error, and changes nothing.

use dewdrop_backend::oracle::Oracle;
use dewdrop_backend::{Arithmetic, Backend, BackendError, Blocks, HeadOrder, KvType, Pairing};
use dewdrop_format::BlockType;

use crate::sample::{Knobs, Mixers, N_VOCAB, Sample, rows, weight};

fn sample() -> Sample {
    let knobs = Knobs {
        matrices: BlockType::Q8_0,
        arithmetic: Arithmetic::Quantized,
        kv: KvType::F32.into(),
        mixers: Mixers::All,
        window: None,
        pairing: Pairing::Halves,
        order: HeadOrder::Tiled,
        gated: true,
    };
    Sample::new(knobs, 7)
}

#[test]
fn rows_that_do_not_fit() {
    let mut loaded = sample().oracle();
    let id = loaded.oracle.open_sequence();
    let first = loaded.feed(id, 0, &[1, 2]);
    let error = loaded.oracle.begin(&rows(id, 2, &[N_VOCAB as u32])).unwrap_err();
    assert_eq!(error.to_string(), "token 37 is outside of the vocabulary of 37");
    let error = loaded.oracle.begin(&rows(id, 3, &[1])).unwrap_err();
    assert_eq!(error.to_string(), "row at position 3 does not continue its sequence of 2 positions");
    assert!(loaded.oracle.begin(&rows(id, 0, &[1])).is_err());
    let third = loaded.feed(id, 2, &[3]);
    let other = loaded.oracle.open_sequence();
    assert_eq!(loaded.feed(other, 0, &[1, 2, 3]), [first, third].concat());
}

#[test]
fn weights_that_do_not_fit() {
    let sample = sample();
    let mut oracle = Oracle::new(sample.program.clone(), Arithmetic::Quantized, KvType::F32);
    let mut with = |change: &dyn Fn(&mut dewdrop_backend::Weight)| {
        let mut weights = sample.weights[0].clone();
        change(&mut weights[0]);
        oracle.load(0, weights)
    };
    assert!(with(&|_| ()).is_ok());
    let error = with(&|weight| weight.n_out += 1).unwrap_err();
    let message = "weight `weight 0`: found [38, 64] in 2516 bytes, expected [37, 64]";
    assert_eq!(error.to_string(), message);
    let short = |weight: &mut dewdrop_backend::Weight| weight.blocks = weight.blocks.slice(0..2515);
    assert!(matches!(with(&short), Err(BackendError::Weight { bytes: 2515, .. })));
    // Channels that are no whole super-blocks, though the bytes might do.
    assert!(with(&|weight| weight.block_type = BlockType::Q4K).is_err());
    assert!(with(&|weight| weight.blocks = Blocks::from(Vec::new())).is_err());
}

#[test]
fn logits_that_are_not_finite() {
    let mut sample = sample();
    let last = sample.weights.len() - 1;
    let head = sample.weights[last].last_mut().unwrap();
    *head = weight(BlockType::F32, N_VOCAB, &[1.0; 64 * N_VOCAB]);
    let mut bytes = head.blocks.to_vec();
    bytes[64 * 4..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    head.blocks = bytes.into();
    let mut loaded = sample.oracle();
    let id = loaded.oracle.open_sequence();
    loaded.try_pass(&rows(id, 0, &[1, 2]));
    assert!(matches!(loaded.oracle.logits(), Err(BackendError::NotFinite { row: 0 })));
}

#[test]
#[should_panic(expected = "truncate at 3 of a sequence of 2 positions")]
fn truncating_beyond_the_end_is_a_mistake() {
    let mut loaded = sample().oracle();
    let id = loaded.oracle.open_sequence();
    loaded.feed(id, 0, &[1, 2]);
    loaded.oracle.truncate(id, 3);
}
