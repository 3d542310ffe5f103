use dewdrop_format::{BLOCK_TYPES, Block};
use proptest::prelude::*;

use super::*;
use crate::panel::{Panel, Range};

/// Weights and scales as numbers: `[n_inputs][16]`, `[n_groups][16]` twice.
fn content(isa: Isa, form: Form, panel: &Panel, n: usize) -> (Vec<i32>, Vec<u32>) {
    let part = panel.part(form, n);
    let weight = |byte: u8| match isa.bias(form.range) {
        0 if form.range == Range::Signed => i32::from(byte.cast_signed()),
        bias => i32::from(byte) - bias,
    };
    let weights = part.steps.iter().flat_map(|step| step.0.map(weight)).collect();
    let floats =
        part.scales.iter().chain(part.minima).flat_map(|floats| floats.0.map(f32::to_bits)).collect();
    (weights, floats)
}

/// What a type's definition makes of the channels: the same numbers as [`content`].
fn definition(block: &Block, channels: [&[u8]; CHANNELS]) -> (Vec<i32>, Vec<u32>) {
    let integers = block.integers.as_ref().expect("integers");
    let n_groups = block.len / integers.group;
    let n_minima = if integers.has_minimum { n_groups } else { 0 };
    let (mut weights, mut scales, mut minima) = (Vec::new(), Vec::new(), Vec::new());
    for channel in channels {
        for bytes in channel.chunks_exact(block.bytes) {
            let (q, s, m) = (weights.len(), scales.len(), minima.len());
            weights.resize(q + block.len, 0);
            scales.resize(s + n_groups, 0.0);
            minima.resize(m + n_minima, 0.0);
            (integers.unpack)(bytes, &mut weights[q..], &mut scales[s..], &mut minima[m..]);
        }
    }
    // Channel by channel so far.
    let per_channel = weights.len() / CHANNELS;
    let weights = (0..weights.len()).map(|i| {
        let (step, j, b) = (i / 64, i % 64 / 4, i % 4);
        i32::from(weights[j * per_channel + 4 * step + b])
    });
    let turned = |values: &[f32]| -> Vec<u32> {
        let n = values.len() / CHANNELS;
        (0..values.len()).map(|i| values[i % CHANNELS * n + i / CHANNELS].to_bits()).collect()
    };
    (weights.collect(), [turned(&scales), turned(&minima)].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bytes are valid blocks; NaN scales too, whose bits are then all the same kind of NaN.
    #[test]
    fn unpackers_agree_with_the_definition(random in prop::collection::vec(any::<u8>(), 16 * 2 * 210)) {
        for block in BLOCK_TYPES.iter().filter(|block| block.integers.is_some()) {
            let (n, n_bytes) = (2 * block.len, 2 * block.bytes);
            let file = &random[..CHANNELS * n_bytes];
            let channels = std::array::from_fn(|j| &file[j * n_bytes..][..n_bytes]);
            let want = definition(block, channels);
            let unpacker = Unpacker::of(block.block_type).expect("integers");
            for isa in Isa::available() {
                let mut arranged = vec![0; file.len()];
                (unpacker.arrange)(isa, channels, &mut arranged);
                let mut got = Box::<Panel>::default();
                (unpacker.unpack)(isa, &arranged, got.part_mut(unpacker.form, n));
                let got = content(isa, unpacker.form, &got, n);
                prop_assert!(got.0 == want.0, "{} {}: weights", block.name, isa.name());
                for (got, want) in got.1.iter().zip(&want.1) {
                    let nan = f32::from_bits(*got).is_nan() && f32::from_bits(*want).is_nan();
                    prop_assert!(got == want || nan, "{} {}: {got:08x} {want:08x}", block.name, isa.name());
                }
            }
        }
    }
}

#[test]
fn every_type_with_integers_has_an_unpacker() {
    for block in BLOCK_TYPES {
        let unpacker = Unpacker::of(block.block_type);
        let form = unpacker.map(|unpacker| (unpacker.form.group, unpacker.form.minima));
        let integers = block.integers.as_ref().map(|integers| (integers.group, integers.has_minimum));
        assert_eq!(form, integers, "{}", block.name);
    }
}

/// What the integer product relies on: sums of pairs over `steps` steps fit into 16 bits.
#[test]
fn small_ranges_do_not_overflow() {
    for (block_type, unpacker) in UNPACKERS {
        let Range::Small { bias, steps } = unpacker.form.range else { continue };
        let block = block_type.block();
        let integers = block.integers.as_ref().expect("integers");
        let mut quants = vec![0; block.len];
        let n_groups = block.len / integers.group;
        let mut minima = vec![0.0; if integers.has_minimum { n_groups } else { 0 }];
        let mut most = 0;
        for byte in 0..=255 {
            let bytes = vec![byte; block.bytes];
            (integers.unpack)(&bytes, &mut quants, &mut vec![0.0; n_groups], &mut minima);
            for quant in &quants {
                let stored = i32::from(*quant) + bias;
                assert!(stored >= 0, "{block_type}");
                most = most.max(stored);
            }
        }
        assert!(2 * most * 127 * steps as i32 <= i32::from(i16::MAX), "{block_type}: up to {most}");
        assert!((integers.group / 4).is_multiple_of(steps), "{block_type}");
    }
}
