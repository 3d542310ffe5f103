//! Each operation against f64.

use dewdrop_backend::halves::Halves;
use dewdrop_backend::oracle::{attend, delta_rule, embed, glu, linear, norm, short_conv, unembed};
use dewdrop_backend::quantize::Quantized;
use dewdrop_backend::rope::RopeTable;
use dewdrop_backend::state::{AttentionState, RecurrentState};
use dewdrop_backend::{
    Activation, Arithmetic, Attention, DeltaRule, HeadOrder, KvType, Pairing, Rope, ShortConv, Weight,
};
use dewdrop_format::{BLOCK_TYPES, BlockType};

use crate::exact::{self, assert_close, wide};
use crate::sample::{Random, weight};

/// Two spans of 1,024 and a short one.
const N_IN: usize = 2304;

fn decoded(weight: &Weight) -> Vec<Vec<f64>> {
    (0..weight.n_out).map(|channel| wide(&linear::decode_channel(weight, channel))).collect()
}

/// Activations as the integers say.
fn requantized(x: &[f32]) -> Vec<f64> {
    let quantized = Quantized::new(x);
    let scale = |i: usize| f64::from(quantized.scales[i / 32]);
    quantized.q.iter().enumerate().map(|(i, q)| f64::from(*q) * scale(i)).collect()
}

/// Activations as bfloat16 says.
fn rounded(x: &[f32]) -> Vec<f64> {
    let Halves { values, scale } = Halves::new(x);
    values.into_iter().map(|h| f64::from(h) * f64::from(scale)).collect()
}

#[test]
fn linear_is_a_matrix_product_for_every_block_type() {
    for block in BLOCK_TYPES {
        let mut random = Random(block.gguf_id.into());
        let weight = weight(block.block_type, 3, &random.floats(3 * N_IN, 0.5));
        let x = random.floats(2 * N_IN, 2.0);
        for arithmetic in [Arithmetic::Quantized, Arithmetic::Exact] {
            let y = linear::linear(&weight, arithmetic, &x);
            for (x, y) in x.chunks_exact(N_IN).zip(y.chunks_exact(3)) {
                let x = match (arithmetic, block.block_type) {
                    (Arithmetic::Quantized, BlockType::BF16) => rounded(x),
                    (Arithmetic::Quantized, _) if block.integers.is_some() => requantized(x),
                    _ => wide(x),
                };
                for (w, y) in decoded(&weight).iter().zip(y) {
                    let size: f64 = w.iter().zip(&x).map(|(w, x)| (w * x).abs()).sum();
                    let error = (f64::from(*y) - exact::dot(w, &x)).abs();
                    assert!(error <= 3e-6 * size, "{} {arithmetic:?}: off by {error} of {size}", block.name);
                }
            }
        }
    }
}

#[test]
fn linear_rows_do_not_see_each_other() {
    for block in BLOCK_TYPES {
        let mut random = Random(block.gguf_id.into());
        let weight = weight(block.block_type, 2, &random.floats(2 * N_IN, 0.5));
        let x = random.floats(3 * N_IN, 2.0);
        let together = linear::linear(&weight, Arithmetic::Quantized, &x);
        let alone = x.chunks_exact(N_IN).flat_map(|x| linear::linear(&weight, Arithmetic::Quantized, x));
        assert!(together.iter().map(|y| y.to_bits()).eq(alone.map(|y| y.to_bits())), "{}", block.name);
    }
}

#[test]
fn linear_spreads_what_is_not_finite() {
    for block_type in [BlockType::Q8_0, BlockType::BF16] {
        let weight = weight(block_type, 1, &[0.5; 64]);
        let mut x = [1.0; 64];
        assert!((linear::linear(&weight, Arithmetic::Quantized, &x)[0] - 32.0).abs() < 0.01);
        x[40] = f32::INFINITY;
        assert!(linear::linear(&weight, Arithmetic::Quantized, &x)[0].is_nan());
        assert_eq!(linear::linear(&weight, Arithmetic::Exact, &x)[0], f32::INFINITY);
    }
}

#[test]
fn embed_takes_a_row() {
    let values = Random(1).floats(4 * 64, 1.0);
    let table = weight(BlockType::F32, 4, &values);
    assert_eq!(embed::embed(&table, 2, 1.0), values[128..192]);
    let doubled: Vec<f32> = values[128..192].iter().map(|x| x * 2.0).collect();
    assert_eq!(embed::embed(&table, 2, 2.0), doubled);
}

#[test]
fn norm_and_glu() {
    let mut random = Random(2);
    for n in [1, 7, 16, 100] {
        let (x, weight) = (random.floats(n, 3.0), random.floats(n, 2.0));
        let want = exact::norm(&wide(&x), &wide(&weight), 1e-5);
        assert_close(&norm::norm(&x, Some(&weight), 1e-5), &want, 1e-6, "norm");
        let bare = exact::norm(&wide(&x), &vec![1.0; n], 1e-5);
        assert_close(&norm::norm(&x, None, 1e-5), &bare, 1e-6, "bare norm");
        for (activation, f) in
            [(Activation::Silu, exact::silu as fn(f64) -> f64), (Activation::GeluTanh, exact::gelu_tanh)]
        {
            let want: Vec<f64> = wide(&x).iter().zip(wide(&weight)).map(|(g, u)| f(*g) * u).collect();
            assert_close(&glu::glu(&x, &weight, activation), &want, 1e-6, "glu");
        }
    }
    assert_eq!(norm::norm(&[0.0; 5], None, 1e-6), [0.0; 5]);
}

#[test]
fn unembed_caps() {
    let mut random = Random(3);
    let weight = weight(BlockType::F32, 5, &random.floats(5 * 40, 1.0));
    let x = random.floats(2 * 40, 2.0);
    let y = wide(&linear::linear(&weight, Arithmetic::Quantized, &x));
    assert_close(&unembed::unembed(&weight, Arithmetic::Quantized, &x, None), &y, 0.0, "logits");
    let capped: Vec<f64> = y.iter().map(|y| 4.0 * (y / 4.0).tanh()).collect();
    assert_close(
        &unembed::unembed(&weight, Arithmetic::Quantized, &x, Some(4.0)),
        &capped,
        2e-6,
        "capped logits",
    );
}

struct AttendCase {
    window: Option<usize>,
    gated: bool,
    kv: KvType,
}

#[test]
fn attend_is_softmax_attention() {
    for case in [
        AttendCase { window: None, gated: false, kv: KvType::F32 },
        AttendCase { window: Some(1), gated: false, kv: KvType::F32 },
        AttendCase { window: Some(30), gated: true, kv: KvType::F16 },
        AttendCase { window: Some(64), gated: false, kv: KvType::F32 },
        AttendCase { window: Some(65), gated: true, kv: KvType::F32 },
        AttendCase { window: Some(65), gated: false, kv: KvType::BF16 },
        AttendCase { window: Some(65), gated: false, kv: KvType::I16 },
        AttendCase { window: Some(65), gated: true, kv: KvType::Q8_0 },
    ] {
        check_attend(&case);
    }
}

fn check_attend(case: &AttendCase) {
    let (n_heads, n_kv_heads, n) = (4, 2, 150);
    // Of integers of 16 bits a group and a half.
    let head_dim = [12, 48, 32].into_iter().find(|&dim| case.kv.fits(dim)).unwrap();
    let spec = Attention {
        n_heads,
        n_kv_heads,
        head_dim,
        q_norm: None,
        k_norm: None,
        norm_eps: 1e-6,
        rope: Some(0),
        window: case.window,
        scale: 0.7,
        gated: case.gated,
    };
    let frequencies = vec![1.0, 0.1, 0.01, 0.001];
    let mut table =
        RopeTable::new(&Rope { pairing: Pairing::Halves, frequencies: frequencies.clone(), factor: 1.0 });
    table.reserve(n);
    let mut random = Random(4);
    let (q_norm, k_norm) = (random.floats(head_dim, 1.5), random.floats(head_dim, 1.5));
    let heads = attend::Heads { q_norm: Some(&q_norm), k_norm: Some(&k_norm), rope: Some(&table) };
    let mut state = AttentionState::new(n_kv_heads, head_dim, case.window, case.kv);
    state.resize(n);
    let (mut keys, mut values) = (vec![Vec::new(); n_kv_heads], vec![Vec::new(); n_kv_heads]);
    let tolerance = match case.kv {
        KvType::F32 => 3e-6,
        KvType::F16 | KvType::I16 => 4e-3,
        // Scores are large here, so that roundings of a key show.
        KvType::BF16 | KvType::Q8_0 => 0.1,
    };
    for position in 0..n {
        let q = random.floats(n_heads * head_dim * if case.gated { 2 } else { 1 }, 2.0);
        let k = random.floats(n_kv_heads * head_dim, 2.0);
        let v = random.floats(n_kv_heads * head_dim, 2.0);
        let out = attend::attend(&spec, heads, attend::Inputs { q: &q, k: &k, v: &v }, &mut state, position);
        let prepared = |head: &[f32], weight: &[f32]| {
            let mut head = exact::norm(&wide(head), &wide(weight), 1e-6);
            exact::rope(&mut head, &frequencies, position);
            head
        };
        for h in 0..n_kv_heads {
            keys[h].push(prepared(&k[h * head_dim..][..head_dim], &k_norm));
            values[h].push(wide(&v[h * head_dim..][..head_dim]));
        }
        let first = case.window.map_or(0, |window| (position + 1).saturating_sub(window));
        for (h, head) in q.chunks_exact(q.len() / n_heads).enumerate() {
            let (q, gate) = head.split_at(head_dim);
            let (keys, values) = (&keys[h / 2][first..], &values[h / 2][first..]);
            let mut want = exact::attend(&prepared(q, &q_norm), keys, values, 0.7);
            want.iter_mut().zip(gate).for_each(|(want, gate)| *want *= exact::sigmoid(f64::from(*gate)));
            assert_close(
                &out[h * head_dim..][..head_dim],
                &want,
                tolerance,
                &format!("head {h} at {position}"),
            );
        }
    }
}

#[test]
fn short_conv_is_a_gated_convolution() {
    let (width, kernel, n) = (5, 3, 8);
    let mut random = Random(5);
    let (taps, bias) = (random.floats(width * kernel, 1.0), random.floats(width, 1.0));
    let mut state = RecurrentState::new(width, kernel - 1, 0, 0, 0);
    let mut inputs = Vec::new();
    for t in 0..n {
        let bcx = random.floats(3 * width, 1.5);
        let spec = ShortConv { width, kernel };
        let out = short_conv::short_conv(&spec, &taps, Some(&bias), &bcx, &mut state);
        let bcx = wide(&bcx);
        inputs.push((0..width).map(|i| bcx[i] * bcx[2 * width + i]).collect());
        let mut want = exact::conv(&inputs, &wide(&taps), t);
        for (i, want) in want.iter_mut().enumerate() {
            *want = bcx[width + i] * (*want + f64::from(bias[i]));
        }
        assert_close(&out, &want, 1e-6, "short convolution");
    }
}

#[test]
fn delta_rule_is_the_gated_delta_rule() {
    for order in [HeadOrder::Grouped, HeadOrder::Tiled] {
        check_delta_rule(order);
    }
}

fn check_delta_rule(order: HeadOrder) {
    let spec = DeltaRule {
        n_key_heads: 2,
        n_value_heads: 6,
        key_dim: 10,
        value_dim: 7,
        kernel: 4,
        norm_eps: 1e-6,
        order,
    };
    let (key_dim, value_dim, channels) = (10, 7, 2 * 2 * 10 + 6 * 7);
    let mut random = Random(6);
    let taps = random.floats(channels * 4, 1.0);
    let decay: Vec<f32> = random.floats(6, 1.0).iter().map(|x| -x.abs()).collect();
    let (dt_bias, norm_weight) = (random.floats(6, 1.0), random.floats(value_dim, 1.5));
    let weights = delta_rule::Weights { conv: &taps, decay: &decay, dt_bias: &dt_bias, norm: &norm_weight };
    let mut state = RecurrentState::new(channels, 3, 6, key_dim, value_dim);
    let mut exact_state = vec![vec![vec![0.0; value_dim]; key_dim]; 6];
    let mut inputs = Vec::new();
    for t in 0..40 {
        let (qkv, z) = (random.floats(channels, 2.0), random.floats(6 * value_dim, 2.0));
        let (beta, alpha) = (random.floats(6, 3.0), random.floats(6, 3.0));
        let row = delta_rule::Inputs { qkv: &qkv, z: &z, beta: &beta, alpha: &alpha };
        let out = delta_rule::delta_rule(&spec, weights, row, &mut state);
        inputs.push(wide(&qkv));
        let mixed: Vec<f64> = exact::conv(&inputs, &wide(&taps), t).iter().map(|x| exact::silu(*x)).collect();
        for h in 0..6 {
            let key_head = if order == HeadOrder::Grouped { h / 3 } else { h % 2 };
            let unit = |at: usize| {
                let head = &mixed[at..at + key_dim];
                let length = (exact::dot(head, head) + 1e-6).sqrt();
                head.iter().map(|x| x / length).collect::<Vec<f64>>()
            };
            let (q, k) = (unit(key_head * key_dim), unit((2 + key_head) * key_dim));
            let v = &mixed[4 * key_dim + h * value_dim..][..value_dim];
            let beta = exact::sigmoid(f64::from(beta[h]));
            let g = (f64::from(decay[h]) * exact::softplus(f64::from(alpha[h] + dt_bias[h]))).exp();
            let s = &mut exact_state[h];
            s.iter_mut().flatten().for_each(|s| *s *= g);
            let mut o = vec![0.0; value_dim];
            for j in 0..value_dim {
                let r: f64 = (0..key_dim).map(|i| s[i][j] * k[i]).sum();
                (0..key_dim).for_each(|i| s[i][j] += k[i] * beta * (v[j] - r));
                o[j] = (0..key_dim).map(|i| s[i][j] * q[i]).sum::<f64>() / (key_dim as f64).sqrt();
            }
            let mut want = exact::norm(&o, &wide(&norm_weight), 1e-6);
            for (want, z) in want.iter_mut().zip(&z[h * value_dim..]) {
                *want *= exact::silu(f64::from(*z));
            }
            // The norm amplifies roundings where the head's output is small.
            assert_close(
                &out[h * value_dim..][..value_dim],
                &want,
                1e-4,
                &format!("{order:?} head {h} at {t}"),
            );
        }
    }
}
