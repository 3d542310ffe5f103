//! Safetensors headers and indices, right and wrong.

use std::error::Error;
use std::path::Path;

use dewdrop_format::safetensors::{Header, parse_header, parse_index};
use dewdrop_format::{BlockType, FormatError};
use insta::assert_snapshot;
use proptest::prelude::*;

const WHOLE: &str = r#"{"__metadata__": {"format": "pt"},
    "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [16, 28]},
    "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
    "tower": {"dtype": "I64", "shape": [], "data_offsets": [28, 36]},
    "scalar": {"dtype": "F16", "shape": [], "data_offsets": [36, 38]},
    "empty": {"dtype": "F16", "shape": [0, 4], "data_offsets": [38, 38]}}"#;

/// A file with this header and `n` bytes of data.
fn file(json: &str, n: usize) -> Vec<u8> {
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.resize(bytes.len() + n, 0);
    bytes
}

fn parse(bytes: &[u8]) -> Result<Header, FormatError> {
    parse_header(Path::new("m.safetensors"), bytes, bytes.len() as u64, 5)
}

/// The message and those of its causes.
fn message(error: FormatError) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn refusal(bytes: &[u8]) -> String {
    message(parse(bytes).expect_err("a malformed file"))
}

/// A file with one tensor of 16 bytes of data.
fn one_tensor(dtype: &str, shape: &str, offsets: &str) -> String {
    refusal(&file(
        &format!(r#"{{"w": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}}}"#),
        16,
    ))
}

#[test]
fn a_whole_file() {
    let header = parse(&file(WHOLE, 38)).unwrap();
    let start = 8 + WHOLE.len() as u64;
    let tensors: Vec<_> = header
        .tensors
        .iter()
        .map(|tensor| {
            assert_eq!(tensor.file, 5);
            (tensor.name.as_str(), &tensor.shape[..], tensor.block_type, tensor.offset - start, tensor.len)
        })
        .collect();
    let expected: [(&str, &[usize], BlockType, u64, u64); 4] = [
        ("b", &[2, 3], BlockType::BF16, 16, 12),
        ("a", &[4], BlockType::F32, 0, 16),
        ("scalar", &[], BlockType::F16, 36, 2),
        ("empty", &[0, 4], BlockType::F16, 38, 0),
    ];
    assert_eq!(tensors, expected);
    assert_eq!(header.unsupported, [("tower".into(), "I64".into())]);
}

#[test]
fn the_header_is_enough() {
    let bytes = file(WHOLE, 38);
    let path = Path::new("m.safetensors");
    let header = parse_header(path, &bytes[..8 + WHOLE.len()], bytes.len() as u64, 5).unwrap();
    assert_eq!(header, parse(&bytes).unwrap());
}

#[test]
fn headers() {
    assert_snapshot!(refusal(b"short"), @"m.safetensors: header: needs 8 bytes at byte 0, but the file ends at byte 5 (cut-off download? fetch it again)");
    assert_snapshot!(refusal(b"GGUF\x03\0\0\0 and more"), @"m.safetensors: header: a length of 14064895815 bytes, expected at most 100000000 (is this a safetensors file?)");
    assert_snapshot!(refusal(b"\x40\0\0\0\0\0\0\0{}"), @"m.safetensors: header: needs 64 bytes at byte 8, but the file ends at byte 10 (cut-off download? fetch it again)");
    assert_snapshot!(refusal(&file("", 0)), @"m.safetensors: header: not the JSON that belongs there (damaged file? fetch it again): EOF while parsing a value at line 1 column 0");
    assert_snapshot!(refusal(&file("[1, 2]", 0)), @"m.safetensors: header: not the JSON that belongs there (damaged file? fetch it again): invalid type: sequence, expected an object of tensors at line 1 column 0");
    assert_snapshot!(refusal(&file(r#"{"w": {"dtype": "F32", "shape": [4]}}"#, 16)), @"m.safetensors: header: not the JSON that belongs there (damaged file? fetch it again): missing field `data_offsets` at line 1 column 36");
    assert_snapshot!(refusal(&file(&"[".repeat(100_000), 0)), @"m.safetensors: header: not the JSON that belongs there (damaged file? fetch it again): invalid type: sequence, expected an object of tensors at line 1 column 0");
    assert_snapshot!(refusal(&file(&format!(r#"{{"__metadata__": {}"#, "[".repeat(100_000)), 0)), @"m.safetensors: header: not the JSON that belongs there (damaged file? fetch it again): EOF while parsing a list at line 1 column 100017");
}

#[test]
fn tensors() {
    assert_snapshot!(one_tensor("F32", "[4]", "[8, 24]"), @"m.safetensors: tensor `w`: data ends at byte 94, but the file has 86 bytes (cut-off download? fetch it again)");
    assert_snapshot!(one_tensor("F32", "[4]", "[16, 0]"), @"m.safetensors: tensor `w`: data_offsets 16 to 0, expected an ascending range inside the file (damaged file? fetch it again)");
    assert_snapshot!(one_tensor("F32", "[4]", "[0, 8]"), @"m.safetensors: tensor `w`: 8 bytes for shape [4] in F32, expected 16 bytes (written by a faulty tool? convert the model again)");
    assert_snapshot!(one_tensor("F32", "[4]", "[0, -8]"), @"m.safetensors: header: not the JSON that belongs there (damaged file? fetch it again): invalid value: integer `-8`, expected u64 at line 1 column 59");
    assert_snapshot!(one_tensor("F32", "[4294967296, 4294967296]", "[0, 0]"), @"m.safetensors: tensor `w`: 0 bytes for shape [4294967296, 4294967296] in F32, expected a smaller shape (written by a faulty tool? convert the model again)");
    assert_snapshot!(one_tensor("I32", "[4]", "[8, 24]"), @"m.safetensors: tensor `w`: data ends at byte 94, but the file has 86 bytes (cut-off download? fetch it again)");
    assert_snapshot!(one_tensor("I32", "[4]", "[18446744073709551600, 18446744073709551615]"), @"m.safetensors: tensor `w`: data_offsets 18446744073709551600 to 18446744073709551615, expected an ascending range inside the file (damaged file? fetch it again)");
}

#[test]
fn tensors_that_share() {
    let two = |name: &str, begin: u64| {
        let entry = |begin: u64| {
            format!(r#"{{"dtype": "F32", "shape": [4], "data_offsets": [{begin}, {}]}}"#, begin + 16)
        };
        file(&format!(r#"{{"a": {}, "{name}": {}}}"#, entry(0), entry(begin)), 32)
    };
    assert!(parse(&two("b", 16)).is_ok());
    assert_snapshot!(refusal(&two("b", 12)), @"m.safetensors: tensor `b` starts at byte 145, inside tensor `a`, which ends at byte 149 (damaged file? fetch it again)");
    assert_snapshot!(refusal(&two("a", 16)), @"m.safetensors: tensor `a` appears twice (damaged file? fetch it again)");
}

#[test]
fn index() {
    let path = Path::new("model.safetensors.index.json");
    let parsed = parse_index(
        path,
        br#"{"metadata": {"total_size": 1}, "weight_map": {"w": "model-00001-of-00002.safetensors"}}"#,
    );
    assert_eq!(parsed.unwrap()["w"], "model-00001-of-00002.safetensors");
    for name in
        ["", "..", "../m.safetensors", "a/m.safetensors", "a\\\\m.safetensors", "c:m.safetensors", "m.bin"]
    {
        let json = format!(r#"{{"weight_map": {{"w": "{name}"}}}}"#);
        assert!(parse_index(path, json.as_bytes()).is_err(), "{name}");
    }
    let refusal = |json: &str| message(parse_index(path, json.as_bytes()).unwrap_err());
    assert_snapshot!(refusal(r#"{"weight_map": {"w": "../secret.safetensors"}}"#), @"model.safetensors.index.json: tensor `w`: file `../secret.safetensors`, expected the name of a .safetensors file in the same folder (damaged file? fetch it again)");
    assert_snapshot!(refusal("{}"), @"model.safetensors.index.json: index: not the JSON that belongs there (damaged file? fetch it again): missing field `weight_map` at line 1 column 2");
}

proptest! {
    #[test]
    fn flipped_bits_never_panic(flips in prop::collection::vec((0_usize..512, 0_u8..8), 1..6), len in 0_usize..512) {
        let mut bytes = file(WHOLE, 38);
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        let len = len.min(bytes.len());
        for bytes in [&bytes[..], &bytes[..len]] {
            for tensor in parse(bytes).into_iter().flat_map(|header| header.tensors) {
                prop_assert!(tensor.offset + tensor.len <= bytes.len() as u64);
                prop_assert_eq!(tensor.block_type.bytes_for(tensor.n_weights()) as u64, tensor.len);
            }
        }
    }
}
