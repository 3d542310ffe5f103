//! Products held to the oracle, on every instruction set: types, rows, channels, spans, hostile values.

use dewdrop_backend::oracle::linear::{add_bias, linear};
use dewdrop_backend::quantize::Quantized;
use dewdrop_backend::{Arithmetic, Blocks, Weight, math};
use dewdrop_format::{BLOCK_TYPES, Block};
use proptest::prelude::*;

use std::sync::Mutex;

use super::linear::{Multiply, run};
use crate::activations::Activations;
use crate::body::glu::Glu;
use crate::body::target::End;
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::loaded::{Layout, Matrix};
use crate::panels;
use crate::pool::Pool;
use crate::rows::{Kind, Rounded};
use crate::scratch::Scratch;

/// Numbers of all sizes, zeros and denormals among them, from a seed.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let x = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
        match state >> 33 & 31 {
            0 => 0.0,
            1 => -0.0,
            2 => x * f32::MIN_POSITIVE,
            3 => x * 1000.0,
            _ => x,
        }
    };
    (0..n).map(|_| next()).collect()
}

fn weight(block: &Block, n_out: usize, n_in: usize, seed: u64) -> Weight {
    let values = values(n_out * n_in, seed);
    let mut bytes = vec![0; n_out * block.block_type.bytes_for(n_in)];
    (block.encode)(&values, &mut bytes);
    Weight { block_type: block.block_type, n_out, n_in, blocks: Blocks::from(bytes) }
}

fn scratch(threads: usize) -> Vec<Mutex<Scratch>> {
    (0..threads).map(|_| Mutex::default()).collect()
}

fn product(
    isa: Isa,
    threads: usize,
    matrix: &Matrix,
    arithmetic: Arithmetic,
    x: &[f32],
    end: End<'_>,
) -> Vec<f32> {
    let mut pool = Pool::new(threads).unwrap();
    let (kind, mut rounded) = (Kind::of(matrix.block_type, arithmetic), Rounded::default());
    rounded.prepare(&kind, isa, &mut pool, x, matrix.n_in);
    let rows = rounded.rows(&kind, x);
    let scratch = scratch(threads);
    let mut out = vec![f32::NAN; x.len() / matrix.n_in * matrix.n_out];
    let (width, target) = (matrix.n_out, Disjoint::new(&mut out));
    let product = Multiply { isa, matrix, rows, end, out: target, width, first: 0 };
    run(&mut pool, &scratch, &[product]);
    out
}

/// The matrix in every layout that it can have, come to in every way.
fn layouts(isa: Isa, weight: &Weight) -> Vec<Matrix> {
    let file = Matrix::from(weight.clone());
    let Some(arrange) = panels::arrangement(file.block_type, file.n_in) else { return vec![file] };
    let (mut pool, &Weight { block_type, n_out, n_in, .. }) = (Pool::new(2).unwrap(), weight);
    let channel_bytes = block_type.bytes_for(n_in);
    let arranged = |panels: Vec<u8>| Matrix {
        layout: Layout::Panels,
        blocks: Blocks::from(panels),
        ..Matrix::from(weight.clone())
    };
    let mut moved = vec![0; panels::bytes(block_type, n_out, n_in)];
    panels::rearrange(&mut pool, isa, arrange, &weight.blocks, channel_bytes, &mut moved);
    let mut all = vec![file, arranged(moved)];
    if panels::fits_in_place(n_out) {
        let mut in_place = weight.blocks.to_vec();
        panels::rearrange_in_place(&mut pool, &scratch(2), isa, arrange, &mut in_place, channel_bytes);
        all.push(arranged(in_place));
    }
    all
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn check(block: &Block, n_out: usize, n_in: usize, n_rows: usize, seed: u64) {
    let (weight, x) = (weight(block, n_out, n_in, seed), values(n_rows * n_in, seed ^ 1));
    let (bias, old) = (values(n_out, seed ^ 2), values(n_rows * n_out, seed ^ 3));
    for arithmetic in [Arithmetic::Quantized, Arithmetic::Exact] {
        let plain = linear(&weight, arithmetic, &x);
        let mut ended = plain.clone();
        add_bias(&mut ended, &bias);
        ended.iter_mut().zip(&old).for_each(|(y, old)| *y += old);
        let matrices = |isa| layouts(isa, &weight).into_iter().map(move |matrix| (isa, matrix));
        for (isa, matrix) in Isa::all().into_iter().flat_map(matrices) {
            let matrix = &matrix;
            if arithmetic == Arithmetic::Exact && matrix.layout == Layout::Panels {
                continue;
            }
            let what = format!("{} {} {arithmetic:?} {n_out}x{n_in}, {n_rows} rows", isa.name(), block.name);
            let got = product(isa, 1, matrix, arithmetic, &x, End { bias: None, old: None });
            assert!(bits(&got) == bits(&plain), "{what}, {:?}", matrix.layout);
            let end = End { bias: Some(&bias), old: Some(&old) };
            let got = product(isa, 3, matrix, arithmetic, &x, end);
            assert!(bits(&got) == bits(&ended), "{what}, {:?}, with bias and sum", matrix.layout);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_have_the_oracles_bits(
        block in prop::sample::select(BLOCK_TYPES.to_vec()),
        n_out in 1..40usize,
        blocks in 1..6usize,
        n_rows in 1..34usize,
        seed in any::<u64>(),
    ) {
        let n_in = match block.len {
            1 => 7 * blocks * blocks,
            len => len * blocks,
        };
        check(block, n_out, n_in, n_rows, seed);
    }

    #[test]
    fn quantizing_is_the_oracles(seed in any::<u64>(), blocks in 1..9usize, bad in prop::option::of(0..32usize)) {
        let mut x = values(32 * blocks, seed);
        if let Some(bad) = bad {
            x[bad] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-38][bad % 4];
        }
        let want = Quantized::new(&x);
        for isa in Isa::available() {
            let mut got = Activations::default();
            got.fill(isa, &mut Pool::new(1).unwrap(), &x, x.len());
            for group in [16, 32] {
                let tile = got.tile(0, 0, x.len(), group, 0);
                prop_assert_eq!(tile.q.as_flattened(), &want.q[..]);
                for g in 0..x.len() / group {
                    let scale = tile.scales[g * group / 32];
                    let sum = tile.scaled_sums[g];
                    prop_assert!(scale.to_bits() == want.scale(group, g).to_bits() || scale.is_nan());
                    prop_assert!(sum.to_bits() == want.group_sum(group, g).to_bits() || scale.is_nan());
                    prop_assert_eq!(scale.is_nan(), want.scale(group, g).is_nan());
                }
            }
        }
    }

    #[test]
    fn functions_have_the_oracles_bits(x in prop::collection::vec(any::<f32>(), 33), scale in 0..4) {
        use dewdrop_backend::Activation::{GeluTanh, Silu};
        let x: Vec<f32> = if scale == 0 { x } else { values(33, x[0].to_bits().into()) };
        let x: Vec<f32> = x.iter().map(|x| x * [1.0, 1.0, 20.0, 100.0][scale as usize]).collect();
        for isa in Isa::available() {
            for (activation, f) in [(Silu, math::silu as fn(f32) -> f32), (GeluTanh, math::gelu_tanh)] {
                let mut out = vec![0.0; x.len()];
                isa.run(Glu { gate: &x, up: &vec![1.0; x.len()], activation, out: &mut out });
                for (x, out) in x.iter().zip(&out) {
                    let want = f(*x) * 1.0;
                    prop_assert!(out.to_bits() == want.to_bits() || out.is_nan() && want.is_nan(), "{x}: {out} {want}");
                }
            }
        }
    }
}

/// Every type over several spans, the last of them short; with rows for every kernel, of few rows and of tiles; and with an odd
/// number of inputs where there can be one.
#[test]
fn spans_and_many_rows() {
    for block in BLOCK_TYPES {
        check(block, 33, 2 * 1024 + 512, 5, 3);
        // More than a panel holds, by more than a span.
        check(block, 33, 6 * 1024, 25, 5);
        // Panels side by side on each of several threads, and one left over.
        check(block, 100, 512, 27, 6);
        for n_rows in [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 24, 31] {
            check(block, 17, 512, n_rows, n_rows as u64);
        }
        if block.len == 1 {
            check(block, 3, 63, 2, 1);
            check(block, 40, 63, 19, 1);
        }
    }
    for n_rows in [32, 64] {
        check(BLOCK_TYPES[7], 20, 256, n_rows, 4);
    }
}

/// Weights and rows so small that sums of their products would be denormal if rows were not lifted: instructions that drop
/// denormals have the same bits.
#[test]
fn tiny_halves() {
    let (n_out, n_in) = (20, 96);
    let weights = values(n_out * n_in, 5).into_iter().map(f32::to_bits).enumerate();
    let tiny = |(i, bits): (usize, u32)| ((bits >> 16) as u16 & 0x807f | (i as u16 % 4) << 7).to_le_bytes();
    let blocks: Vec<u8> = weights.flat_map(tiny).collect();
    let block = BLOCK_TYPES.iter().find(|block| block.name == "BF16").expect("a type");
    let weight = Weight { block_type: block.block_type, n_out, n_in, blocks: Blocks::from(blocks) };
    for exponent in [-60, -59, 0, 100] {
        let x: Vec<f32> = values(9 * n_in, 6).iter().map(|x| x / 1000.0 * 2f32.powi(exponent)).collect();
        let want = linear(&weight, Arithmetic::Quantized, &x);
        for (isa, matrix) in
            Isa::all().into_iter().flat_map(|isa| layouts(isa, &weight).into_iter().map(move |m| (isa, m)))
        {
            let end = End { bias: None, old: None };
            let got = product(isa, 2, &matrix, Arithmetic::Quantized, &x, end);
            assert!(bits(&got) == bits(&want), "{} {:?}, 2^{exponent}", isa.name(), matrix.layout);
        }
    }
}
