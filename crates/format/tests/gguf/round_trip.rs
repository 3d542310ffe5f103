//! What is written is read again.

use std::path::Path;

use dewdrop_format::gguf::{Array, Gguf, Metadata, Value, Writer};
use dewdrop_format::{BLOCK_TYPES, BlockType};
use proptest::prelude::*;

use super::parse;

/// One entry of each type.
fn every_value() -> Vec<Value> {
    vec![
        Value::U8(255),
        Value::I8(-128),
        Value::U16(65535),
        Value::I16(-3),
        Value::U32(7),
        Value::I32(-7),
        Value::F32(1e-6),
        Value::Bool(true),
        Value::String("grüezi".into()),
        Value::U64(u64::MAX),
        Value::I64(i64::MIN),
        Value::F64(0.1),
        Value::Array(Array::U8(vec![1, 2])),
        Value::Array(Array::I8(vec![-1])),
        Value::Array(Array::U16(vec![300])),
        Value::Array(Array::I16(vec![-300, 4])),
        Value::Array(Array::U32(vec![])),
        Value::Array(Array::I32(vec![-1, 1])),
        Value::Array(Array::F32(vec![0.5])),
        Value::Array(Array::Bool(vec![true, false])),
        Value::Array(Array::String(["a", ""].iter().collect())),
        Value::Array(Array::Array(vec![Array::U8(vec![1]), Array::String(["x"].iter().collect())])),
        Value::Array(Array::U64(vec![1 << 60])),
        Value::Array(Array::I64(vec![-1 << 60])),
        Value::Array(Array::F64(vec![1e300])),
    ]
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::new(Path::new("out.gguf"));
    for (i, value) in every_value().into_iter().enumerate() {
        metadata.insert(&format!("key.{i}"), value);
    }
    metadata
}

/// Writes one tensor of two rows per block type, in pieces, and gives each its position as bytes.
fn written(metadata: Metadata) -> Vec<u8> {
    let mut writer = Writer::new(metadata).unwrap();
    for block in BLOCK_TYPES {
        writer.declare(block.name, &[2, 3 * block.len], block.block_type).unwrap();
    }
    let mut out = writer.start(Vec::new()).unwrap();
    for (i, block) in BLOCK_TYPES.iter().enumerate() {
        let data = vec![i as u8 + 1; 6 * block.bytes];
        for piece in data.chunks(5) {
            out.write(block.name, piece).unwrap();
        }
    }
    out.finish().unwrap()
}

fn check_tensors(gguf: &Gguf, bytes: &[u8]) {
    assert_eq!(gguf.tensors.len(), BLOCK_TYPES.len());
    for (i, (tensor, block)) in gguf.tensors.iter().zip(BLOCK_TYPES).enumerate() {
        assert_eq!((tensor.name.as_str(), tensor.block_type), (block.name, block.block_type));
        assert_eq!(tensor.shape, [2, 3 * block.len]);
        assert!(tensor.offset.is_multiple_of(gguf.alignment));
        let data = &bytes[tensor.offset as usize..][..tensor.len as usize];
        assert_eq!(data, vec![i as u8 + 1; 6 * block.bytes]);
    }
}

#[test]
fn everything_comes_back() {
    let bytes = written(metadata());
    let gguf = parse(&bytes).unwrap();
    assert_eq!((gguf.version, gguf.alignment), (3, 32));
    assert_eq!(gguf.metadata, metadata());
    check_tensors(&gguf, &bytes);
}

#[test]
fn alignment_is_kept() {
    let mut metadata = metadata();
    metadata.insert("general.alignment", 4096);
    let bytes = written(metadata);
    let gguf = parse(&bytes).unwrap();
    assert_eq!(gguf.alignment, 4096);
    check_tensors(&gguf, &bytes);
}

#[test]
fn the_header_is_enough() {
    let bytes = written(metadata());
    let whole = parse(&bytes).unwrap();
    let header = &bytes[..whole.tensors[0].offset as usize];
    let path = Path::new("m.gguf");
    assert_eq!(dewdrop_format::gguf::parse(path, header, bytes.len() as u64, 0).unwrap(), whole);
}

#[test]
fn a_file_of_the_python_package() {
    let bytes = include_bytes!("../data/python.gguf");
    let gguf = parse(bytes).unwrap();
    let metadata = &gguf.metadata;
    assert_eq!(metadata.get_str("general.architecture").unwrap(), Some("llama"));
    assert_eq!(metadata.get_u64("n.u8").unwrap(), Some(200));
    assert_eq!(metadata.get_i64("n.i16").unwrap(), Some(-300));
    assert_eq!(metadata.get_i64("n.i64").unwrap(), Some(-(1 << 40)));
    assert_eq!(metadata.get_u64("n.u64").unwrap(), Some(1 << 63));
    assert_eq!(metadata.get_f32("n.f32").unwrap(), Some(1e-5));
    assert_eq!(metadata.get_f32("n.f64").unwrap(), Some(0.1));
    assert_eq!(metadata.get_bool("n.bool").unwrap(), Some(true));
    assert_eq!(metadata.get_str("n.string").unwrap(), Some("grüezi"));
    assert_eq!(metadata.get_i64s("a.i32").unwrap(), Some(vec![1, -2, 3]));
    assert_eq!(metadata.get_f32s("a.f32").unwrap(), Some(&[0.5, -1.5][..]));
    assert_eq!(metadata.get_bools("a.bool").unwrap(), Some(&[true, false][..]));
    assert_eq!(*metadata.get_strings("a.string").unwrap().unwrap(), ["a", "", "ж"].iter().collect());
    assert_eq!(metadata.get_str("absent").unwrap(), None);
    let tensors: Vec<_> = gguf
        .tensors
        .iter()
        .map(|tensor| (tensor.name.as_str(), &tensor.shape[..], tensor.block_type))
        .collect();
    let expected: [(&str, &[usize], BlockType); 3] = [
        ("norm", &[5], BlockType::F32),
        ("half", &[3, 7], BlockType::F16),
        ("matrix", &[2, 64], BlockType::Q8_0),
    ];
    assert_eq!(tensors, expected);
    let norm = &bytes[gguf.tensors[0].offset as usize..][..gguf.tensors[0].len as usize];
    let mut weights = [0.0; 5];
    (BlockType::F32.block().decode)(norm, &mut weights);
    assert_eq!(weights, [0.0, 1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn writing_out_of_turn_is_refused() {
    let start = || {
        let mut writer = Writer::new(metadata()).unwrap();
        writer.declare("a", &[4], BlockType::F32).unwrap();
        writer.declare("b", &[4], BlockType::F32).unwrap();
        writer.start(Vec::new()).unwrap()
    };
    let errors = [
        start().write("b", &[0; 16]).unwrap_err(),
        start().write("a", &[0; 17]).unwrap_err(),
        start().finish().unwrap_err(),
    ];
    insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"), @"
    out.gguf: writing tensor `b`: its bytes, expected tensor `a`
    out.gguf: writing tensor `a`: 17 bytes, expected at most 16
    out.gguf: writing tensor `a`: the end, expected 16 more bytes
    ");
}

proptest! {
    #[test]
    fn flipped_bits_never_panic(
        flips in prop::collection::vec((0_usize..2048, 0_u8..8), 1..6),
        len in 0_usize..4096,
    ) {
        let mut bytes = written(metadata());
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        let len = len.min(bytes.len());
        // Any file, whole or cut off, is either refused or within its bounds.
        for (bytes, file_len) in [(&bytes[..], bytes.len()), (&bytes[..len], len), (&bytes[..len], bytes.len())] {
            let parsed = dewdrop_format::gguf::parse(Path::new("m.gguf"), bytes, file_len as u64, 0);
            for tensor in parsed.into_iter().flat_map(|gguf| gguf.tensors) {
                prop_assert!(tensor.offset + tensor.len <= file_len as u64);
                prop_assert_eq!(tensor.block_type.bytes_for(tensor.n_weights()) as u64, tensor.len);
            }
        }
    }
}
