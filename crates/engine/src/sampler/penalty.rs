//! Changing logits of tokens that were used already.

use super::Sampling;

/// Lowers the logits of tokens among the last `penalty_last_n` of `history`.
///
/// Once per distinct token, with the number of its uses: repetition as in CTRL (Keskar et al. 2019), positive logits divided
/// and others multiplied, so that both fall; then `frequency` for each use and `presence` once.
pub(crate) fn apply(sampling: &Sampling, logits: &mut [f32], history: &[u32], counts: &mut Vec<u32>) {
    let recent = &history[history.len().saturating_sub(sampling.penalty_last_n)..];
    counts.clear();
    counts.extend(recent.iter().filter(|id| (**id as usize) < logits.len()));
    counts.sort_unstable();
    for uses in counts.chunk_by(|a, b| a == b) {
        let logit = &mut logits[uses[0] as usize];
        *logit = if *logit > 0.0 {
            *logit / sampling.repetition_penalty
        } else {
            *logit * sampling.repetition_penalty
        };
        *logit -= uses.len() as f32 * sampling.frequency + sampling.presence;
    }
}

/// Whether penalties change anything.
pub(crate) fn is_on(sampling: &Sampling) -> bool {
    let neutral = sampling.repetition_penalty == 1.0 && sampling.presence == 0.0 && sampling.frequency == 0.0;
    sampling.penalty_last_n > 0 && !neutral
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalized(sampling: Sampling, history: &[u32]) -> [f32; 4] {
        let mut logits = [2.0, -2.0, 1.0, 0.0];
        apply(&sampling, &mut logits, history, &mut Vec::new());
        logits
    }

    #[test]
    fn repetition_lowers_positive_and_negative_logits() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::greedy() };
        assert_eq!(penalized(sampling, &[0, 1, 0]), [1.0, -4.0, 1.0, 0.0]);
    }

    #[test]
    fn frequency_counts_uses_and_presence_does_not() {
        let sampling = Sampling { frequency: 0.25, presence: 1.0, ..Sampling::greedy() };
        assert_eq!(penalized(sampling, &[2, 2, 3]), [2.0, -2.0, -0.5, -1.25]);
    }

    #[test]
    fn only_the_last_tokens_count() {
        let sampling = Sampling { presence: 1.0, penalty_last_n: 2, ..Sampling::greedy() };
        assert_eq!(penalized(sampling, &[0, 1, 2]), [2.0, -3.0, 0.0, 0.0]);
    }

    #[test]
    fn ids_beyond_the_choices_are_ignored() {
        let sampling = Sampling { presence: 1.0, ..Sampling::greedy() };
        assert_eq!(penalized(sampling, &[9]), [2.0, -2.0, 1.0, 0.0]);
    }
}
