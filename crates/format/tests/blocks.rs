//! Every block type against recorded values, and laws that hold for all of them.

use dewdrop_format::{BLOCK_TYPES, Block, BlockType};
use proptest::prelude::*;

/// Per quantized type: the largest error of one weight as a share of the block's largest weight, and the error of
/// normally distributed weights (root of the mean square) as a share of their deviation.
///
/// The first is half a step, or a whole one where the positive end reaches less far than the negative, plus what
/// rounding the scales costs.
const ERRORS: &[(BlockType, f32, f64)] = &[
    (BlockType::Q4_0, 0.127, 0.089),
    (BlockType::Q4_1, 0.07, 0.08),
    (BlockType::Q5_0, 0.064, 0.044),
    (BlockType::Q5_1, 0.035, 0.039),
    (BlockType::Q8_0, 0.0045, 0.0055),
    (BlockType::Q2K, 0.44, 0.33),
    (BlockType::Q3K, 0.29, 0.157),
    (BlockType::Q4K, 0.095, 0.08),
    (BlockType::Q5K, 0.06, 0.039),
    (BlockType::Q6K, 0.04, 0.019),
    (BlockType::IQ4_NL, 0.115, 0.081),
    (BlockType::IQ4_XS, 0.145, 0.081),
    (BlockType::MXFP4, 0.26, 0.113),
];

/// Types whose scale survives decoding, so that encoding again gives the same weights.
const LASTING: &[BlockType] = &[
    BlockType::F32,
    BlockType::F16,
    BlockType::BF16,
    BlockType::Q4_0,
    BlockType::Q5_0,
    BlockType::Q8_0,
    BlockType::IQ4_NL,
];

fn decode(block: &Block, bytes: &[u8]) -> Vec<f32> {
    let mut weights = vec![0.0; bytes.len() / block.bytes * block.len];
    (block.decode)(bytes, &mut weights);
    weights
}

fn encode(block: &Block, weights: &[f32]) -> Vec<u8> {
    // Not zeroed: encoding writes every bit.
    let mut bytes = vec![0xAA; block.block_type.bytes_for(weights.len())];
    (block.encode)(weights, &mut bytes);
    bytes
}

/// What `integers` say the weights of one block are, in the order of operations that the type documents.
fn through_integers(block: &Block, bytes: &[u8]) -> Option<Vec<f32>> {
    let integers = block.integers.as_ref()?;
    let n_groups = block.len / integers.group;
    let mut quants = vec![0; block.len];
    let mut scales = vec![f32::NAN; n_groups];
    let mut minima = vec![f32::NAN; if integers.has_minimum { n_groups } else { 0 }];
    (integers.unpack)(bytes, &mut quants, &mut scales, &mut minima);
    let weight = |i: usize| {
        let product = scales[i / integers.group] * f32::from(quants[i]);
        if integers.has_minimum { product + minima[i / integers.group] } else { product }
    };
    Some((0..block.len).map(weight).collect())
}

fn largest(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |most: f32, weight| most.max(weight.abs()))
}

/// Same bits, or both not a number.
fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
}

/// Normally distributed weights from a fixed generator (Box and Muller's method over a linear congruence).
fn normal(n: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    (0..n)
        .map(|_| ((-2.0 * uniform().ln()).sqrt() * (uniform() * std::f64::consts::TAU).cos()) as f32)
        .collect()
}

#[test]
fn decoding_agrees_with_recorded_values() {
    let mut rest: &[u8] = include_bytes!("data/blocks.bin");
    let mut take = |n: usize| rest.split_off(..n).expect("a whole record");
    let mut checked = Vec::new();
    // F32 needs no record.
    for _ in 1..BLOCK_TYPES.len() {
        let name = std::str::from_utf8(take(8)).unwrap().trim_end_matches('\0');
        let block = BlockType::from_name(name).unwrap().block();
        let [n_bytes, n_weights] = [(); 2].map(|()| u32::from_le_bytes(take(4).try_into().unwrap()) as usize);
        let bytes = take(n_bytes);
        let want: Vec<f32> =
            take(4 * n_weights).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert!(same(&decode(block, bytes), &want), "{name}");
        checked.push(name);
    }
    assert_eq!(checked, BLOCK_TYPES[1..].iter().map(|block| block.name).collect::<Vec<_>>());
}

#[test]
fn normal_weights_lose_little() {
    let weights = normal(64 * 256);
    for &(block_type, _, most) in ERRORS {
        let block = block_type.block();
        let decoded = decode(block, &encode(block, &weights));
        let squares: f64 = weights.iter().zip(&decoded).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let error = (squares / weights.len() as f64).sqrt();
        assert!(error < most, "{block_type}: {error}");
    }
}

#[test]
fn every_quantized_type_has_its_errors_listed() {
    let listed: Vec<_> = ERRORS.iter().map(|(block_type, ..)| *block_type).collect();
    let quantized = BLOCK_TYPES.iter().filter(|block| block.integers.is_some());
    assert_eq!(listed, quantized.map(|block| block.block_type).collect::<Vec<_>>());
}

#[test]
#[should_panic(expected = "33 weights in blocks of 32, but 18 bytes in blocks of 18")]
fn lengths_that_do_not_fit_panic() {
    (BlockType::Q4_0.block().decode)(&[0; 18], &mut [0.0; 33]);
}

proptest! {
    #[test]
    fn encoding_stays_within_its_error(
        weights in prop::collection::vec(-1.0_f32..1.0, 512),
        // Some groups much smaller than others, and whole tensors small or large.
        shares in prop::collection::vec(prop::sample::select(vec![0.0_f32, 0.01, 0.3, 1.0]), 16),
        size in prop::sample::select(vec![0.02_f32, 1.0, 300.0]),
    ) {
        let weights: Vec<f32> =
            weights.iter().enumerate().map(|(i, weight)| weight * shares[i / 32] * size).collect();
        for &(block_type, most, _) in ERRORS {
            let block = block_type.block();
            let decoded = decode(block, &encode(block, &weights));
            for (weights, decoded) in weights.chunks(block.len).zip(decoded.chunks(block.len)) {
                // Scales of the smallest blocks are subnormal halves: wrong by up to 2^-25, which counts up to
                // 128 * 32 times.
                let most = most * largest(weights) + 4096.0 * 2.0_f32.powi(-25) * 1.01;
                for (weight, decoded) in weights.iter().zip(decoded) {
                    prop_assert!((weight - decoded).abs() <= most, "{}: {} -> {}", block_type, weight, decoded);
                }
            }
        }
    }

    #[test]
    fn encoding_again_changes_nothing(weights in prop::collection::vec(-1.0_f32..1.0, 256)) {
        for block_type in LASTING {
            let block = block_type.block();
            let once = decode(block, &encode(block, &weights));
            let twice = decode(block, &encode(block, &once));
            prop_assert!(once == twice, "{}: {:?} -> {:?}", block_type, once, twice);
        }
    }

    #[test]
    fn anything_can_be_encoded(bits in prop::collection::vec(any::<u32>(), 256)) {
        let weights: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        for block in BLOCK_TYPES {
            let decoded = decode(block, &encode(block, &weights));
            prop_assert!(block.integers.is_none() || decoded.iter().all(|weight| weight.is_finite()), "{}", block.name);
        }
    }

    #[test]
    fn integers_agree_with_decoding(bytes in prop::collection::vec(any::<u8>(), 256)) {
        for block in BLOCK_TYPES {
            let bytes = &bytes[..block.bytes];
            if let Some(weights) = through_integers(block, bytes) {
                prop_assert!(same(&weights, &decode(block, bytes)), "{}", block.name);
            }
        }
    }

    #[test]
    fn many_blocks_decode_like_each_alone(bytes in prop::collection::vec(any::<u8>(), 3 * 256)) {
        for block in BLOCK_TYPES {
            let bytes = &bytes[..3 * block.bytes];
            let alone: Vec<f32> = bytes.chunks(block.bytes).flat_map(|bytes| decode(block, bytes)).collect();
            prop_assert!(same(&alone, &decode(block, bytes)), "{}", block.name);
        }
    }
}
