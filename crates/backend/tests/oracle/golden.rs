//! Kept bits, so that no change of arithmetic goes unnoticed. They may change only together with
//! `docs/arithmetic.md`.

use dewdrop_backend::{Arithmetic, Backend, HeadOrder, KvType, Pairing};
use dewdrop_format::BlockType;

use crate::sample::{Knobs, Mixers, N_VOCAB, Sample, rows};

/// FNV-1a over the bits of the residual stream after each section, and of the logits.
fn bits(matrices: BlockType, kv: KvType) -> Vec<u64> {
    let knobs = Knobs {
        matrices,
        arithmetic: Arithmetic::Quantized,
        kv: kv.into(),
        mixers: Mixers::All,
        window: Some(40),
        pairing: Pairing::Adjacent,
        order: HeadOrder::Grouped,
        gated: true,
    };
    let sample = Sample::new(knobs, 42);
    let mut loaded = sample.oracle();
    let id = loaded.oracle.open_sequence();
    let tokens: Vec<u32> = (0..70).map(|i| i * i % N_VOCAB as u32).collect();
    loaded.oracle.begin(&rows(id, 0, &tokens)).unwrap();
    let mut found = Vec::new();
    for section in 0..sample.program.sections.len() {
        loaded.run(section);
        found.push(hash(&loaded.oracle.read(sample.program.residual)));
    }
    *found.last_mut().unwrap() = hash(loaded.oracle.logits().unwrap());
    found
}

fn hash(values: &[f32]) -> u64 {
    let byte = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    values.iter().flat_map(|value| value.to_bits().to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, byte)
}

#[test]
fn every_operation_keeps_its_bits() {
    let found: Vec<_> = GOLDEN.iter().map(|(matrices, kv, _)| bits(*matrices, *kv)).collect();
    let want: Vec<_> = GOLDEN.iter().map(|(_, _, want)| want.to_vec()).collect();
    assert_eq!(found, want, "found {found:#018x?}");
}

/// After the entry, attention with everything, delta rule, short convolution, plain attention; then the logits.
const GOLDEN: &[(BlockType, KvType, [u64; 6])] = &[
    (
        BlockType::F32,
        KvType::F32,
        [
            0xef92_8b71_9cc2_221f,
            0x8a02_b149_154c_0631,
            0x7477_50a0_8e40_4162,
            0xa096_0759_b290_5ae7,
            0x8dd8_4994_c148_d69c,
            0x0474_6504_7344_dd91,
        ],
    ),
    (
        BlockType::Q8_0,
        KvType::F16,
        [
            0xc9d1_8879_1edc_90d0,
            0x37c9_3ebe_b878_baa6,
            0x1dbd_aa0f_1437_457b,
            0x9adc_50d8_845d_f944,
            0x55d7_e78b_7361_95e7,
            0xc0c8_8e11_40c2_c8a3,
        ],
    ),
    (
        BlockType::Q8_0,
        KvType::Q8_0,
        [
            0xc9d1_8879_1edc_90d0,
            0x1b29_fac9_2c7c_96e9,
            0xedbf_5439_d341_5a2e,
            0xbf41_5006_d80c_1bc9,
            0x414a_3480_5788_1f3e,
            0xa055_be86_1799_1400,
        ],
    ),
    (
        BlockType::Q8_0,
        KvType::I16,
        [
            0xc9d1_8879_1edc_90d0,
            0xb920_7ed0_47b6_b17a,
            0x2fe5_a059_46d3_6f2c,
            0xe9b1_7f21_99e9_7588,
            0x6c79_eb28_03d9_53c7,
            0x7d18_2c3c_1e94_e667,
        ],
    ),
    (
        BlockType::F32,
        KvType::BF16,
        [
            0xef92_8b71_9cc2_221f,
            0xdc45_052a_5374_0643,
            0x4000_2dde_5c55_eef5,
            0x22cc_ee50_217a_81d2,
            0xc3c2_f1b5_61e8_758d,
            0x2c3b_ebc6_b380_3a3f,
        ],
    ),
    (
        BlockType::Q4_1,
        KvType::F16,
        [
            0xcff4_67e0_a195_3486,
            0xe0a5_d1a4_98b5_bddb,
            0xc96d_2540_7511_464b,
            0xcae9_75e2_cd98_1518,
            0x4ab9_fe59_fc61_0655,
            0xfcf6_9c96_5181_8feb,
        ],
    ),
];
