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
    assert_snapshot!(refusal(Raw::default()), @"");
    assert_snapshot!(refusal(Raw::default().bytes(b"PK\x03\x04 and more")), @"");
    assert_snapshot!(refusal(Raw::default().bytes(b"GGUF").u32(1)), @"");
    assert_snapshot!(refusal(Raw::default().bytes(b"GGUF").u32(3_u32.swap_bytes())), @"");
    assert_snapshot!(refusal(Raw::default().bytes(b"GGUF").u32(3).u64(0)), @"");
}

#[test]
fn counts_larger_than_the_file() {
    assert_snapshot!(refusal(Raw::new(u64::MAX, 0)), @"");
    assert_snapshot!(refusal(Raw::new(0, 1 << 60)), @"");
    assert_snapshot!(refusal(Raw::new(0, 1).u64(1 << 40).bytes(&[0; 8])), @"");
    assert_snapshot!(refusal(one_entry(8).u64(1_000_000)), @"");
    assert_snapshot!(refusal(one_entry(9).u32(8).u64(1_000_000_000_000_000_000)), @"");
    assert_snapshot!(refusal(one_entry(9).u32(10).u64(2).u64(0)), @"");
}

#[test]
fn values() {
    assert_snapshot!(refusal(one_entry(13).u64(0)), @"");
    assert_snapshot!(refusal(one_entry(9).u32(99).u64(0)), @"");
    assert_snapshot!(refusal(one_entry(7).bytes(&[2])), @"");
    assert_snapshot!(refusal(one_entry(4).bytes(&[2])), @"");
    assert_snapshot!(refusal(one_entry(8).u64(2).bytes(b"\xff\xfe")), @"");
    assert_snapshot!(refusal(Raw::new(0, 1).u64(1).bytes(b"\xff").u32(4).u32(0)), @"");
    assert_snapshot!(refusal(Raw::new(0, 2).entry("k", 1).entry("k", 2)), @"");
    assert_snapshot!(refusal(Raw::new(0, 1).string("evil\x1b[2J\nkey").u32(4)), @"");
    assert_snapshot!(refusal(Raw::new(0, 1).string(&"long ".repeat(1000)).u32(4)), @"");
}

#[test]
fn arrays_nested_too_deep() {
    let nested = |depth| (0..depth).fold(one_entry(9), |raw, _| raw.u32(9).u64(1)).u32(0).u64(0);
    assert!(parse(&nested(3).0).is_ok());
    assert_snapshot!(refusal(nested(4)), @"");
    assert_snapshot!(refusal(nested(100_000)), @"");
}

#[test]
fn alignment() {
    for alignment in [8, 32, 1 << 20] {
        assert!(parse(&Raw::new(0, 1).entry("general.alignment", alignment).0).is_ok());
    }
    assert_snapshot!(refusal(Raw::new(0, 1).entry("general.alignment", 0)), @"");
    assert_snapshot!(refusal(Raw::new(0, 1).entry("general.alignment", 48)), @"");
    assert_snapshot!(refusal(Raw::new(0, 1).entry("general.alignment", 1 << 31)), @"");
    assert_snapshot!(refusal(Raw::new(0, 1).string("general.alignment").u32(8).string("32")), @"");
}

#[test]
fn shapes() {
    assert!(parse(&one_tensor(&[32], 0, 0).0).is_ok());
    assert!(parse(&one_tensor(&[32, 1, 1, 1], 0, 0).0).is_ok());
    assert_snapshot!(refusal(one_tensor(&[], 0, 0)), @"");
    assert_snapshot!(refusal(one_tensor(&[1; 5], 0, 0)), @"");
    assert_snapshot!(refusal(one_tensor(&[32, 0], 0, 0)), @"");
    assert_snapshot!(refusal(one_tensor(&[1 << 32, 1 << 32], 0, 0)), @"");
    assert_snapshot!(refusal(one_tensor(&[u64::MAX], 1, 0)), @"");
    assert_snapshot!(refusal(one_tensor(&[1 << 62], 0, 0)), @"");
    assert_snapshot!(refusal(one_tensor(&[48, 2], 2, 0)), @"");
}

#[test]
fn types() {
    assert_snapshot!(refusal(one_tensor(&[256], 16, 0)), @"");
    assert_snapshot!(refusal(one_tensor(&[256], 1000, 0)), @"");
}

#[test]
fn places() {
    assert_snapshot!(refusal(one_tensor(&[33], 0, 0)), @"");
    assert_snapshot!(refusal(one_tensor(&[8], 0, 16)), @"");
    assert_snapshot!(refusal(one_tensor(&[8], 0, u64::MAX - 31)), @"");
    let two = |name, offset| Raw::new(2, 0).tensor("a", &[32], 0, 0).tensor(name, &[32], 0, offset).data(256);
    assert!(parse(&two("b", 128).0).is_ok());
    assert_snapshot!(refusal(two("b", 96)), @"");
    assert_snapshot!(refusal(two("b", 0)), @"");
    assert_snapshot!(refusal(two("a", 128)), @"");
    assert_snapshot!(refusal(Raw::new(1, 0).u64(2).bytes(b"\xff\xfe").bytes(&[0; 64])), @"");
}

#[test]
fn queries_of_another_type() {
    let gguf = parse(&Raw::new(0, 2).entry("n", 7).string("s").u32(8).string("seven").0).unwrap();
    assert_snapshot!(gguf.metadata.get_str("n").unwrap_err(), @"");
    assert_snapshot!(gguf.metadata.get_u64("s").unwrap_err(), @"");
    assert_snapshot!(gguf.metadata.get_u64s("n").unwrap_err(), @"");
}
