//! Level A: a row's bits depend on its sequence alone, however batches are made up.

use dewdrop_backend::{Arithmetic, Backend, HeadOrder, KV_TYPES, KvType, KvTypes, Pairing, Register, Row};
use dewdrop_format::BlockType;
use proptest::prelude::*;

use crate::sample::{Knobs, Loaded, Mixers, N_VOCAB, Random, Sample, rows};

fn knobs(mixers: Mixers) -> impl Strategy<Value = Knobs> {
    let matrices = prop::sample::select(vec![
        BlockType::F32,
        BlockType::F16,
        BlockType::BF16,
        BlockType::Q4_0,
        BlockType::Q5_1,
        BlockType::Q8_0,
        BlockType::IQ4_NL,
        BlockType::MXFP4,
    ]);
    let kinds = (prop::bool::weighted(0.8), any::<bool>(), any::<bool>(), any::<bool>());
    let kv = || prop::sample::select(KV_TYPES.to_vec());
    let window = prop::option::of(1usize..90);
    (matrices, kinds, kv(), kv(), window).prop_map(
        move |(matrices, (quantized, halves, grouped, gated), keys, values, window)| Knobs {
            matrices,
            arithmetic: if quantized { Arithmetic::Quantized } else { Arithmetic::Exact },
            kv: KvTypes { keys, values },
            mixers,
            window,
            pairing: if halves { Pairing::Halves } else { Pairing::Adjacent },
            order: if grouped { HeadOrder::Grouped } else { HeadOrder::Tiled },
            gated,
        },
    )
}

fn tokens(random: &mut Random, n: usize) -> Vec<u32> {
    (0..n).map(|_| random.below(N_VOCAB) as u32).collect()
}

/// Random pieces of several sequences, mixed in random batches, some rows without logits.
fn mixed(loaded: &mut Loaded, sequences: &[Vec<u32>], random: &mut Random) -> Vec<Vec<(usize, Vec<u32>)>> {
    let ids: Vec<_> = sequences.iter().map(|_| loaded.oracle.open_sequence()).collect();
    let mut at = vec![0; sequences.len()];
    let mut found = vec![Vec::new(); sequences.len()];
    while at.iter().zip(sequences).any(|(at, tokens)| *at < tokens.len()) {
        let mut batch = Vec::new();
        for _ in 0..1 + random.below(40) {
            let s = random.below(sequences.len());
            if at[s] < sequences[s].len() {
                let wants_logits = random.below(4) > 0;
                batch.push(Row {
                    sequence: ids[s],
                    position: at[s],
                    token: sequences[s][at[s]],
                    wants_logits,
                });
                at[s] += 1;
            }
        }
        let logits = loaded.pass(&batch);
        for (row, logits) in batch.iter().filter(|row| row.wants_logits).zip(logits) {
            let s = ids.iter().position(|id| *id == row.sequence).unwrap();
            found[s].push((row.position, logits));
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn batches_do_not_matter(knobs in knobs(Mixers::All), seed: u64) {
        let sample = Sample::new(knobs, seed);
        let mut random = Random(!seed);
        let sequences: Vec<Vec<u32>> = [70, 9, 33].iter().map(|n| tokens(&mut random, *n)).collect();
        let mut loaded = sample.oracle();
        let mixed = mixed(&mut loaded, &sequences, &mut random);
        for (tokens, mixed) in sequences.iter().zip(mixed) {
            let mut alone = sample.oracle();
            let id = alone.oracle.open_sequence();
            let whole = alone.feed(id, 0, tokens);
            let id = alone.oracle.open_sequence();
            for (position, token) in tokens.iter().enumerate() {
                let logits = alone.feed(id, position, &[*token]);
                prop_assert_eq!(&logits[0], &whole[position], "alone, position {}", position);
            }
            for (position, logits) in mixed {
                prop_assert_eq!(&logits, &whole[position], "mixed, position {}", position);
            }
        }
    }

    #[test]
    fn truncated_is_never_fed(knobs in knobs(Mixers::Attention), seed: u64, keep in 0usize..80) {
        let sample = Sample::new(knobs, seed);
        let mut random = Random(!seed);
        let tokens = tokens(&mut random, 80);
        let mut loaded = sample.oracle();
        let id = loaded.oracle.open_sequence();
        let whole = loaded.feed(id, 0, &tokens);
        prop_assert!(loaded.oracle.truncate(id, keep));
        let other: Vec<u32> = tokens[keep..].iter().map(|token| (token + 1) % N_VOCAB as u32).collect();
        loaded.feed(id, keep, &other);
        prop_assert!(loaded.oracle.truncate(id, keep));
        prop_assert_eq!(&loaded.feed(id, keep, &tokens[keep..])[..], &whole[keep..]);
    }

    #[test]
    fn recurrence_starts_again_or_stays(knobs in knobs(Mixers::All), seed: u64) {
        let sample = Sample::new(knobs, seed);
        let mut random = Random(!seed);
        let tokens = tokens(&mut random, 12);
        let mut loaded = sample.oracle();
        let id = loaded.oracle.open_sequence();
        let whole = loaded.feed(id, 0, &tokens[..8]);
        prop_assert!(!loaded.oracle.truncate(id, 5));
        prop_assert!(loaded.oracle.truncate(id, 8));
        let rest = loaded.feed(id, 8, &tokens[8..]);
        prop_assert!(loaded.oracle.truncate(id, 0));
        let again = loaded.feed(id, 0, &tokens);
        prop_assert_eq!([whole, rest].concat(), again);
    }
}

#[test]
fn only_rows_that_want_logits_have_them() {
    let knobs = Knobs {
        matrices: BlockType::F32,
        arithmetic: Arithmetic::Quantized,
        kv: KvType::F16.into(),
        mixers: Mixers::Attention,
        window: None,
        pairing: Pairing::Halves,
        order: HeadOrder::Grouped,
        gated: false,
    };
    let mut loaded = Sample::new(knobs, 1).oracle();
    let id = loaded.oracle.open_sequence();
    let mut batch = rows(id, 0, &[3, 1, 4, 1, 5]);
    batch[1].wants_logits = false;
    loaded.try_pass(&batch);
    assert_eq!(loaded.oracle.logits().unwrap().len(), 4 * N_VOCAB);
    assert_eq!(loaded.oracle.read(Register(0)).len(), 5 * 64);
    assert!(loaded.oracle.sequences().bytes() > 0);
    loaded.oracle.close_sequence(id);
    assert_eq!(loaded.oracle.sequences().bytes(), 0);
}
