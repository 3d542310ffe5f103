//! How likely tokens were, before anything was filtered.

use dewdrop_backend::maximum;

use super::Candidate;
use super::filter::{rank_order, top_k};

/// Natural logarithms of probabilities under the model's own softmax: no bias, penalty, filter or temperature.
#[derive(Clone, Debug, PartialEq)]
pub struct Logprobs {
    /// Of the token that was chosen.
    pub chosen: f32,
    /// The most probable tokens, best first.
    pub top: Vec<(u32, f32)>,
}

impl Logprobs {
    /// For `chosen` and the `n` most probable tokens. Sums run in f64 in the order of ids.
    pub fn of(logits: &[f32], chosen: u32, n: usize) -> Self {
        let largest = maximum(logits);
        let sum: f64 = logits.iter().map(|logit| libm::exp(f64::from(*logit) - f64::from(largest))).sum();
        let log_sum = f64::from(largest) + libm::log(sum);
        let logprob = |logit: f32| (f64::from(logit) - log_sum) as f32;
        let top = best(logits, n).into_iter().map(|candidate| (candidate.id, logprob(candidate.logit)));
        Logprobs { chosen: logprob(logits[chosen as usize]), top: top.collect() }
    }
}

fn best(logits: &[f32], n: usize) -> Vec<Candidate> {
    if n == 0 {
        return Vec::new();
    }
    let mut candidates = Vec::new();
    top_k(logits, n, &mut candidates);
    candidates.sort_unstable_by(rank_order);
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logprobs_are_those_of_the_softmax() {
        let logits = [0.0, 2f32.ln(), 0.0, 4f32.ln()];
        let logprobs = Logprobs::of(&logits, 0, 3);
        assert!((logprobs.chosen - (1.0f32 / 8.0).ln()).abs() < 1e-6);
        assert_eq!(logprobs.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 1, 0]);
        assert!((logprobs.top[0].1 - 0.5f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn more_than_there_are_is_all() {
        assert_eq!(Logprobs::of(&[1.0, 2.0], 0, 20).top.len(), 2);
        assert!(Logprobs::of(&[1.0, 2.0], 0, 0).top.is_empty());
    }
}
