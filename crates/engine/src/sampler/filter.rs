//! Filters that leave the tokens worth choosing from.
//!
//! Everything is decided by logits and ids alone: equal logits rank by id, and sums of probabilities run in f64 over the
//! ranked tokens in descending order, so that the same logits leave the same tokens everywhere.

use std::cmp::Ordering;

use dewdrop_backend::maximum;

/// A token that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub id: u32,
    /// Its logit after bias and penalties.
    pub logit: f32,
}

/// Larger logits first, lower ids first among equals.
pub(super) fn rank_order(a: &Candidate, b: &Candidate) -> Ordering {
    // Adding zero makes -0 equal to 0.
    (b.logit + 0.0).total_cmp(&(a.logit + 0.0)).then(a.id.cmp(&b.id))
}

/// Logits whose largest is looked for at once.
const CHUNK: usize = 256;

/// Collects the `k` best of all tokens, in no order; 0 collects all.
///
/// Large vocabularies have more than 100,000 tokens, of which few can be among the best: of chunks' largest logits the `k`th
/// is none too large, and most chunks have nothing as large.
pub fn top_k(logits: &[f32], k: usize, candidates: &mut Vec<Candidate>) {
    candidates.clear();
    let candidate = |(id, &logit): (usize, &f32)| Candidate { id: id as u32, logit };
    if k == 0 || k >= logits.len().div_ceil(CHUNK) {
        candidates.extend(logits.iter().enumerate().map(candidate));
    } else {
        let maxima: Vec<f32> = logits.chunks(CHUNK).map(maximum).collect();
        let least = *maxima.clone().select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1;
        for (i, chunk) in logits.chunks(CHUNK).enumerate().filter(|(i, _)| maxima[*i] >= least) {
            let of_chunk = (i * CHUNK..).zip(chunk).map(candidate);
            candidates.extend(of_chunk.filter(|candidate| candidate.logit >= least));
        }
    }
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, rank_order);
        candidates.truncate(k);
    }
}

/// Leaves the fewest of the best whose probabilities reach `p` together, best first; 1 leaves all.
pub fn top_p(candidates: &mut Vec<Candidate>, p: f32) {
    if p >= 1.0 || candidates.is_empty() {
        return;
    }
    candidates.sort_unstable_by(rank_order);
    let largest = f64::from(candidates[0].logit);
    let weight = |candidate: &Candidate| libm::exp(f64::from(candidate.logit) - largest);
    let total: f64 = candidates.iter().map(weight).sum();
    let enough = f64::from(p) * total;
    let mut sum = 0.0;
    let n_below =
        candidates.iter().take_while(|candidate| reach(&mut sum, weight(candidate)) < enough).count();
    candidates.truncate(n_below + 1);
}

/// Leaves those at least `p` times as probable as the best, in the order they stand; 0 leaves all.
pub fn min_p(candidates: &mut Vec<Candidate>, p: f32) {
    let Some(largest) = candidates.iter().map(|candidate| candidate.logit).reduce(f32::max) else { return };
    if p <= 0.0 {
        return;
    }
    let least = f64::from(largest) + libm::log(f64::from(p));
    candidates.retain(|candidate| f64::from(candidate.logit) >= least);
}

fn reach(sum: &mut f64, term: f64) -> f64 {
    *sum += term;
    *sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few different values, so that there are ties.
    fn logits(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f32>> {
        let logit = (-20i8..20).prop_map(|logit| f32::from(logit) * 0.3);
        prop::collection::vec(logit, n)
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        logits(1..60).prop_map(|logits| all(&logits))
    }

    fn all(logits: &[f32]) -> Vec<Candidate> {
        let mut all = Vec::new();
        top_k(logits, 0, &mut all);
        all
    }

    fn ranked(candidates: &[Candidate]) -> Vec<Candidate> {
        let mut ranked = candidates.to_vec();
        ranked.sort_by(|a, b| b.logit.partial_cmp(&a.logit).unwrap().then(a.id.cmp(&b.id)));
        ranked
    }

    fn probabilities(ranked: &[Candidate]) -> Vec<f64> {
        let total: f64 = ranked.iter().map(|candidate| f64::from(candidate.logit).exp()).sum();
        ranked.iter().map(|candidate| f64::from(candidate.logit).exp() / total).collect()
    }

    proptest! {
        #[test]
        fn top_k_is_the_start_of_the_ranking(logits in logits(1..4000), k in 0usize..70) {
            let candidate = |(id, &logit): (usize, &f32)| Candidate { id: id as u32, logit };
            let all: Vec<Candidate> = logits.iter().enumerate().map(candidate).collect();
            let mut left = Vec::new();
            top_k(&logits, k, &mut left);
            let n = if k == 0 { all.len() } else { k.min(all.len()) };
            prop_assert_eq!(ranked(&left), &ranked(&all)[..n]);
        }

        #[test]
        fn top_p_is_the_shortest_start_that_reaches_p(all in candidates(), p in 0.01f32..1.0) {
            let mut left = all.clone();
            top_p(&mut left, p);
            let ranking = ranked(&all);
            prop_assert_eq!(&left, &ranking[..left.len()]);
            let probabilities = probabilities(&ranking);
            let before: f64 = probabilities[..left.len() - 1].iter().sum();
            let with: f64 = probabilities[..left.len()].iter().sum();
            prop_assert!(before < f64::from(p) + 1e-9);
            prop_assert!(with > f64::from(p) - 1e-9);
        }

        #[test]
        fn min_p_compares_with_the_best(all in candidates(), p in 0.01f32..1.0) {
            let mut left = all.clone();
            min_p(&mut left, p);
            let ranking = ranked(&all);
            let probabilities = probabilities(&ranking);
            // Margins: a logit that stands on the border may fall either way in the naive form.
            let surely = probabilities.iter().filter(|q| **q > f64::from(p) * probabilities[0] * (1.0 + 1e-9)).count();
            let perhaps = probabilities.iter().filter(|q| **q > f64::from(p) * probabilities[0] * (1.0 - 1e-9)).count();
            prop_assert!((surely..=perhaps).contains(&left.len()));
            prop_assert_eq!(ranked(&left), &ranking[..left.len()]);
        }

        #[test]
        fn every_filter_leaves_the_best(logits in logits(1..300), k in 0usize..5, p in 0.001f32..1.0) {
            let mut left = Vec::new();
            top_k(&logits, k, &mut left);
            top_p(&mut left, p);
            min_p(&mut left, p);
            prop_assert_eq!(ranked(&left)[0], ranked(&all(&logits))[0]);
        }
    }
}
