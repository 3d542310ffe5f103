use dewdrop_format::BLOCK_TYPES;
use proptest::prelude::*;

use super::*;
use crate::panel::{Panel, Range};

/// Weights and scales as numbers: `[n_inputs][16]`, `[n_groups][16]` twice.
fn content(form: Form, panel: &Panel, n: usize) -> (Vec<i32>, Vec<u32>) {
    let part = panel.part(form, n);
    let weight = |byte: u8| match form.range {
        Range::Signed => i32::from(byte.cast_signed()),
        Range::Small { bias, .. } => i32::from(byte) - bias,
    };
    let weights = part.steps.iter().flat_map(|step| step.0.map(weight)).collect();
    let floats =
        part.scales.iter().chain(part.minima).flat_map(|floats| floats.0.map(f32::to_bits)).collect();
    (weights, floats)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bytes are valid blocks; NaN scales too, whose bits are then all the same kind of NaN.
    #[test]
    fn fast_unpackers_agree_with_the_definition(random in prop::collection::vec(any::<u8>(), 16 * 2 * 210)) {
        for block in BLOCK_TYPES.iter().filter(|block| block.integers.is_some()) {
            let n_bytes = 2 * block.bytes;
            let channels = std::array::from_fn(|j| &random[j * n_bytes..][..n_bytes]);
            let source = Source { block_type: block.block_type, channels, soon: std::ptr::null() };
            let n = 2 * block.len;
            let definition = generic::unpacker(block.block_type).expect("integers");
            let mut want = Panel::new();
            (definition.unpack)(Isa::available()[0], &source, want.part_mut(definition.form, n));
            let want = content(definition.form, &want, n);
            let unpacker = Unpacker::of(block.block_type).expect("integers");
            for isa in Isa::available() {
                let mut got = Panel::new();
                (unpacker.unpack)(isa, &source, got.part_mut(unpacker.form, n));
                let got = content(unpacker.form, &got, n);
                prop_assert!(got.0 == want.0, "{} {}: weights", block.name, isa.name());
                for (got, want) in got.1.iter().zip(&want.1) {
                    let nan = f32::from_bits(*got).is_nan() && f32::from_bits(*want).is_nan();
                    prop_assert!(got == want || nan, "{} {}: {got:08x} {want:08x}", block.name, isa.name());
                }
            }
        }
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
