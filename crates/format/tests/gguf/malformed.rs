//! One file per rule that it breaks, and the exact message.

use insta::assert_snapshot;

use super::{Raw, parse};

fn refusal(raw: Raw) -> String {
    parse(&raw.0).expect_err("a malformed file").to_string()
}

/// A file with one tensor that takes 128 bytes if it is 32 weights in F32.
fn one_tensor(sizes: &[u64], type_id: u32, offset: u64) -> Raw {
    Raw::new(1, 0).tensor("w", sizes, type_id, offset).data(128)
}

/// A file with one key, `k`, of this value type.
fn one_entry(type_id: u32) -> Raw {
    Raw::new(0, 1).string("k").u32(type_id)
}

#[test]
fn start_of_the_file() {
    assert_snapshot!(refusal(Raw::default()), @"m.gguf: first bytes: needs 4 bytes at byte 0, but the file ends at byte 0 (cut-off download? fetch it again)");
    assert_snapshot!(refusal(Raw::default().bytes(b"PK\x03\x04 and more")), @r#"m.gguf: starts with `PK\x03\x04`, expected `GGUF` (is this a GGUF file?)"#);
    assert_snapshot!(refusal(Raw::default().bytes(b"GGUF").u32(1)), @"m.gguf: version: version 1, expected version 2 or 3 (convert the model again with a current tool)");
    assert_snapshot!(refusal(Raw::default().bytes(b"GGUF").u32(3_u32.swap_bytes())), @"m.gguf: version: a big-endian file, expected version 2 or 3 (convert the model again for little-endian machines)");
    assert_snapshot!(refusal(Raw::default().bytes(b"GGUF").u32(3).u64(0)), @"m.gguf: number of keys: needs 8 bytes at byte 16, but the file ends at byte 16 (cut-off download? fetch it again)");
}

#[test]
fn counts_larger_than_the_file() {
    assert_snapshot!(refusal(Raw::new(u64::MAX, 0)), @"m.gguf: number of tensors: needs 18446744073709551615 bytes at byte 16, but the file ends at byte 24 (cut-off download? fetch it again)");
    assert_snapshot!(refusal(Raw::new(0, 1 << 60)), @"m.gguf: number of keys: needs 14987979559889010688 bytes at byte 24, but the file ends at byte 24 (cut-off download? fetch it again)");
    assert_snapshot!(refusal(Raw::new(0, 1).u64(1 << 40).bytes(&[0; 8])), @"m.gguf: name of key 0: needs 1099511627776 bytes at byte 32, but the file ends at byte 40 (cut-off download? fetch it again)");
    assert_snapshot!(refusal(one_entry(8).u64(1_000_000)), @"m.gguf: key `k`: needs 1000000 bytes at byte 45, but the file ends at byte 45 (cut-off download? fetch it again)");
    assert_snapshot!(refusal(one_entry(9).u32(8).u64(1_000_000_000_000_000_000)), @"m.gguf: key `k`: needs 8000000000000000000 bytes at byte 49, but the file ends at byte 49 (cut-off download? fetch it again)");
    assert_snapshot!(refusal(one_entry(9).u32(10).u64(2).u64(0)), @"m.gguf: key `k`: needs 16 bytes at byte 49, but the file ends at byte 57 (cut-off download? fetch it again)");
}

#[test]
fn values() {
    assert_snapshot!(refusal(one_entry(13).u64(0)), @"m.gguf: key `k`: value type 13, expected 0 to 12 (damaged file? fetch it again)");
    assert_snapshot!(refusal(one_entry(9).u32(99).u64(0)), @"m.gguf: key `k`: value type 99, expected 0 to 12 (damaged file? fetch it again)");
    assert_snapshot!(refusal(one_entry(7).bytes(&[2])), @"m.gguf: key `k`: truth value 2, expected 0 or 1 (damaged file? fetch it again)");
    assert_snapshot!(refusal(one_entry(4).bytes(&[2])), @"m.gguf: key `k`: needs 4 bytes at byte 37, but the file ends at byte 38 (cut-off download? fetch it again)");
    assert_snapshot!(refusal(one_entry(8).u64(2).bytes(b"\xff\xfe")), @"m.gguf: key `k`: bytes at byte 37 that are no text, expected UTF-8 (damaged file? fetch it again)");
    assert_snapshot!(refusal(Raw::new(0, 1).u64(1).bytes(b"\xff").u32(4).u32(0)), @"m.gguf: name of key 0: bytes at byte 24 that are no text, expected UTF-8 (damaged file? fetch it again)");
    assert_snapshot!(refusal(Raw::new(0, 2).entry("k", 1).entry("k", 2)), @"m.gguf: key `k` appears twice (damaged file? fetch it again)");
    assert_snapshot!(refusal(Raw::new(0, 1).string("evil\x1b[2J\nkey").u32(4)), @r#"m.gguf: key `evil\u{1b}[2J\nkey`: needs 4 bytes at byte 48, but the file ends at byte 48 (cut-off download? fetch it again)"#);
    assert_snapshot!(refusal(Raw::new(0, 1).string(&"long ".repeat(1000)).u32(4)), @"m.gguf: key `long long long long long long long long long long long long long long long long ...`: needs 4 bytes at byte 5036, but the file ends at byte 5036 (cut-off download? fetch it again)");
}

#[test]
fn arrays_nested_too_deep() {
    let nested = |depth| (0..depth).fold(one_entry(9), |raw, _| raw.u32(9).u64(1)).u32(0).u64(0);
    assert!(parse(&nested(3).0).is_ok());
    assert_snapshot!(refusal(nested(4)), @"m.gguf: key `k`: arrays nested more than 4 deep, expected fewer levels (damaged file? fetch it again)");
    assert_snapshot!(refusal(nested(100_000)), @"m.gguf: key `k`: arrays nested more than 4 deep, expected fewer levels (damaged file? fetch it again)");
}

#[test]
fn alignment() {
    for alignment in [8, 32, 1 << 20] {
        assert!(parse(&Raw::new(0, 1).entry("general.alignment", alignment).0).is_ok());
    }
    assert_snapshot!(refusal(Raw::new(0, 1).entry("general.alignment", 0)), @"m.gguf: key `general.alignment`: alignment 0, expected a power of two from 8 to 1048576 (written by a faulty tool? convert the model again)");
    assert_snapshot!(refusal(Raw::new(0, 1).entry("general.alignment", 48)), @"m.gguf: key `general.alignment`: alignment 48, expected a power of two from 8 to 1048576 (written by a faulty tool? convert the model again)");
    assert_snapshot!(refusal(Raw::new(0, 1).entry("general.alignment", 1 << 31)), @"m.gguf: key `general.alignment`: alignment 2147483648, expected a power of two from 8 to 1048576 (written by a faulty tool? convert the model again)");
    assert_snapshot!(refusal(Raw::new(0, 1).string("general.alignment").u32(8).string("32")), @"m.gguf: key `general.alignment`: found string `32`, expected a whole number from 0 up (written by a faulty tool? convert the model again)");
}

#[test]
fn shapes() {
    assert!(parse(&one_tensor(&[32], 0, 0).0).is_ok());
    assert!(parse(&one_tensor(&[32, 1, 1, 1], 0, 0).0).is_ok());
    assert_snapshot!(refusal(one_tensor(&[], 0, 0)), @"m.gguf: tensor `w`: 0 dimensions, expected 1 to 4 (damaged file? fetch it again)");
    assert_snapshot!(refusal(one_tensor(&[1; 5], 0, 0)), @"m.gguf: tensor `w`: 5 dimensions, expected 1 to 4 (damaged file? fetch it again)");
    assert_snapshot!(refusal(one_tensor(&[32, 0], 0, 0)), @"m.gguf: tensor `w`: shape [0, 32], expected no size of 0 (written by a faulty tool? convert the model again)");
    assert_snapshot!(refusal(one_tensor(&[1 << 32, 1 << 32], 0, 0)), @"m.gguf: tensor `w`: shape [4294967296, 4294967296], expected a size that fits in memory addresses (written by a faulty tool? convert the model again)");
    assert_snapshot!(refusal(one_tensor(&[u64::MAX], 1, 0)), @"m.gguf: tensor `w`: shape [18446744073709551615], expected a size that fits in memory addresses (written by a faulty tool? convert the model again)");
    assert_snapshot!(refusal(one_tensor(&[1 << 62], 0, 0)), @"m.gguf: tensor `w`: shape [4611686018427387904], expected a size that fits in memory addresses (written by a faulty tool? convert the model again)");
    assert_snapshot!(refusal(one_tensor(&[48, 2], 2, 0)), @"m.gguf: tensor `w`: rows of 48 weights in Q4_0, expected a multiple of 32 (written by a faulty tool? convert the model again)");
}

#[test]
fn types() {
    assert_snapshot!(refusal(one_tensor(&[256], 16, 0)), @"m.gguf: tensor `w`: type 16 (IQ2_XXS) is not supported (quantize the model to another type, such as Q4_K)");
    assert_snapshot!(refusal(one_tensor(&[256], 1000, 0)), @"m.gguf: tensor `w`: type 1000 is not supported (quantize the model to another type, such as Q4_K)");
}

#[test]
fn places() {
    assert_snapshot!(refusal(one_tensor(&[33], 0, 0)), @"m.gguf: tensor `w`: data ends at byte 196, but the file has 192 bytes (cut-off download? fetch it again)");
    assert_snapshot!(refusal(one_tensor(&[8], 0, 16)), @"m.gguf: tensor `w`: offset 16, expected a multiple of 32 (damaged file? fetch it again)");
    assert_snapshot!(refusal(one_tensor(&[8], 0, u64::MAX - 31)), @"m.gguf: tensor `w`: offset 18446744073709551584, expected an offset inside the file (damaged file? fetch it again)");
    let two = |name, offset| Raw::new(2, 0).tensor("a", &[32], 0, 0).tensor(name, &[32], 0, offset).data(256);
    assert!(parse(&two("b", 128).0).is_ok());
    assert_snapshot!(refusal(two("b", 96)), @"m.gguf: tensor `b` starts at byte 192, inside tensor `a`, which ends at byte 224 (damaged file? fetch it again)");
    assert_snapshot!(refusal(two("b", 0)), @"m.gguf: tensor `b` starts at byte 96, inside tensor `a`, which ends at byte 224 (damaged file? fetch it again)");
    assert_snapshot!(refusal(two("a", 128)), @"m.gguf: tensor `a` appears twice (damaged file? fetch it again)");
    assert_snapshot!(refusal(Raw::new(1, 0).u64(2).bytes(b"\xff\xfe").bytes(&[0; 64])), @"m.gguf: name of tensor 0: bytes at byte 24 that are no text, expected UTF-8 (damaged file? fetch it again)");
}

#[test]
fn queries_of_another_type() {
    let gguf = parse(&Raw::new(0, 2).entry("n", 7).string("s").u32(8).string("seven").0).unwrap();
    assert_snapshot!(gguf.metadata.get_str("n").unwrap_err(), @"m.gguf: key `n`: found u32 `7`, expected string (written by a faulty tool? convert the model again)");
    assert_snapshot!(gguf.metadata.get_u64("s").unwrap_err(), @"m.gguf: key `s`: found string `seven`, expected a whole number from 0 up (written by a faulty tool? convert the model again)");
    assert_snapshot!(gguf.metadata.get_u64s("n").unwrap_err(), @"m.gguf: key `n`: found u32 `7`, expected array of whole numbers from 0 up (written by a faulty tool? convert the model again)");
}
