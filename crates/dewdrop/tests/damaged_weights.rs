//! Weights that are not finite end in an error that names the cause, never in a token.
#![cfg(feature = "built-in")]

use std::fs;
use std::path::Path;

use dewdrop::{Arithmetic, Checkpoint, Engine, EngineError, Error, Options, Sampling, Token};
use dewdrop_backend::{BackendError, Blocks};
use dewdrop_format::{BlockType, TensorInfo};

/// One of each place: table and head, norms at both ends, matrices of early and late layers.
const TENSORS: [&str; 6] = [
    "token_embd.weight",
    "blk.0.attn_norm.weight",
    "blk.0.attn_k.weight",
    "blk.4.attn_v.weight",
    "blk.7.ffn_down.weight",
    "output_norm.weight",
];

/// The same value in both widths.
#[derive(Clone, Copy, Debug)]
struct Damage {
    single: f32,
    half: u16,
}

const DAMAGES: [Damage; 3] = [
    Damage { single: f32::NAN, half: 0x7e00 },
    Damage { single: f32::INFINITY, half: 0x7c00 },
    Damage { single: f32::NEG_INFINITY, half: 0xfc00 },
];

#[test]
fn weights_that_are_not_finite_give_an_error_and_no_token() {
    let whole = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/dew-10m.gguf")).unwrap();
    let tensors = checkpoint(whole.clone()).tensors;
    for name in TENSORS {
        for damage in DAMAGES {
            let mut bytes = whole.clone();
            spoil(&mut bytes, &tensors[name], damage);
            for arithmetic in [Arithmetic::Quantized, Arithmetic::Exact] {
                let result = first_token(bytes.clone(), arithmetic);
                let Err(Error::Engine(EngineError::Backend(error @ BackendError::NotFinite { .. }))) = result
                else {
                    panic!("{name} with {damage:?} in {arithmetic:?} arithmetic: {result:?}");
                };
                assert!(error.to_string().contains("damaged weights?"), "{error}");
            }
        }
    }
}

fn checkpoint(bytes: Vec<u8>) -> Checkpoint {
    Checkpoint::from_blocks("damaged", Blocks::from(bytes)).expect("the file itself is in order")
}

/// Spoils the first weight, or the scale of the first block.
fn spoil(bytes: &mut [u8], tensor: &TensorInfo, damage: Damage) {
    let start = tensor.offset as usize;
    match tensor.block_type {
        BlockType::F32 => bytes[start..start + 4].copy_from_slice(&damage.single.to_le_bytes()),
        // Its scale is the last thing in a block.
        BlockType::Q6K => {
            let end = start + BlockType::Q6K.block().bytes;
            bytes[end - 2..end].copy_from_slice(&damage.half.to_le_bytes());
        }
        other => panic!("{} is {other}: say where its scale lies", tensor.name),
    }
}

fn first_token(bytes: Vec<u8>, arithmetic: Arithmetic) -> Result<Token, Error> {
    let options = Options { arithmetic, threads: Some(2), ..Options::default() };
    let mut session = Engine::from_checkpoint(checkpoint(bytes), options)?.session()?;
    session.prompt("Once upon a time")?;
    let mut generation = session.generate(&Sampling::default())?;
    generation.next().expect("a token or an error")
}
