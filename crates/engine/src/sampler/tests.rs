//! The sampler as a whole.

use super::*;

fn sampler(sampling: &Sampling, n_choices: usize) -> Sampler {
    Sampler::new(sampling, n_choices).expect("valid parameters")
}

/// Plain sampling: no filters.
fn plain(temperature: f32, seed: u64) -> Sampling {
    Sampling { temperature, seed, ..Sampling::greedy() }
}

#[test]
fn greedy_takes_the_lower_id_on_ties() {
    assert_eq!(sampler(&Sampling::greedy(), 4).choose(&[0.0, 3.0, 3.0, 1.0], &[]), 1);
}

#[test]
fn padded_ids_are_never_chosen() {
    let logits = [0.0, 1.0, 0.5, 100.0];
    assert_eq!(sampler(&Sampling::greedy(), 3).choose(&logits, &[]), 1);
    let mut sampler = sampler(&plain(100.0, 1), 3);
    let history: Vec<u32> = vec![0; 200];
    assert!((0..200).all(|n| sampler.choose(&logits, &history[..n]) < 3));
}

#[test]
fn bias_moves_the_choice() {
    let sampling = Sampling { bias: vec![(0, 5.0)], ..Sampling::greedy() };
    assert_eq!(sampler(&sampling, 3).choose(&[0.0, 3.0, 1.0], &[]), 0);
    let error = Sampler::new(&sampling, 0).err();
    assert_eq!(error, Some(SamplingError::BiasToken { id: 0, n_choices: 0 }));
}

#[test]
fn the_choice_depends_on_position_and_seed_alone() {
    let logits: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin()).collect();
    let mut first = sampler(&plain(1.0, 7), 50);
    let a = first.choose(&logits, &[1, 2, 3]);
    first.choose(&logits, &[1, 2, 3, 4]);
    assert_eq!(first.choose(&logits, &[9, 9, 9]), a, "no memory of earlier draws");
    let differs = (0..20).any(|seed| sampler(&plain(1.0, seed), 50).choose(&logits, &[1, 2, 3]) != a);
    assert!(differs);
}

/// Our own golden tokens, computed apart by a program of another language. A change here changes what every seed means.
#[test]
fn golden_tokens() {
    let logits: Vec<f32> = (0..1000).map(|i| (i * 7919 % 4093) as f32 / 512.0).collect();
    let history = [0u32; 12];
    let draw = |sampling: &Sampling| -> Vec<u32> {
        let mut sampler = sampler(sampling, logits.len());
        (0..12).map(|n| sampler.choose(&logits, &history[..n])).collect()
    };
    let unfiltered = [171, 814, 768, 430, 815, 833, 523, 736, 646, 630, 951, 971];
    assert_eq!(draw(&plain(1.0, 42)), unfiltered);
    let filtered = [123, 966, 736, 261, 169, 675, 782, 276, 368, 261, 920, 874];
    assert_eq!(draw(&Sampling { seed: 0xDEAD_BEEF_0000_0001, ..Sampling::default() }), filtered);
}

/// Pearson's statistic over 40,000 draws; its 99.99 % point for 9 degrees of freedom is 33.7.
#[test]
fn frequencies_follow_the_softmax() {
    for temperature in [0.5, 1.0, 2.0] {
        let logits = [1.0, 0.0, -1.0, 2.0, 0.5, 0.25, -0.5, 1.5, -2.0, 0.75f32];
        let n_draws = 40_000;
        let mut sampler = sampler(&plain(temperature, 3), logits.len());
        let history = vec![0u32; n_draws];
        let mut counts = [0usize; 10];
        for position in 0..n_draws {
            counts[sampler.choose(&logits, &history[..position]) as usize] += 1;
        }
        let weights = logits.map(|logit| f64::from(logit / temperature).exp());
        let total: f64 = weights.iter().sum();
        let term = |(count, weight): (&usize, &f64)| {
            let expected = weight / total * n_draws as f64;
            (*count as f64 - expected).powi(2) / expected
        };
        let statistic: f64 = counts.iter().zip(&weights).map(term).sum();
        assert!(statistic < 33.7, "temperature {temperature}: {statistic}, {counts:?}");
    }
}

#[test]
fn skipping_hopeless_candidates_changes_nothing() {
    let logits: Vec<f32> = (0..500).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.8).collect();
    let history = [0u32; 50];
    let mut sampler = sampler(&plain(1.0, 11), logits.len());
    for position in 0..50 {
        let score = |id: u32| logits[id as usize] + sampler.noise.gumbel(id, position);
        let mut best = 0;
        for id in 1..500 {
            if score(id) > score(best) {
                best = id;
            }
        }
        assert_eq!(sampler.choose(&logits, &history[..position]), best);
    }
}
