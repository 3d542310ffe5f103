//! What a request asks of the sampler, checked once.

/// How tokens are chosen, and when to stop. The defaults are those people know from llama.cpp.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides logits: below 1 bolder, above 1 wilder. 0: always the largest logit, without noise or filters.
    pub temperature: f32,
    /// Leaves this many of the best tokens; 0: all.
    pub top_k: usize,
    /// Leaves the fewest of the best tokens that are this probable together; 1: all.
    pub top_p: f32,
    /// Leaves tokens at least this share as probable as the best; 0: all.
    pub min_p: f32,
    /// Divides (multiplies, where negative) the logits of recent tokens; 1: off.
    pub repetition_penalty: f32,
    /// Taken once from the logit of a recent token.
    pub presence: f32,
    /// Taken from the logit of a recent token for each of its uses.
    pub frequency: f32,
    /// How many of the last tokens, the prompt's included, are recent; 0: penalties are off.
    pub penalty_last_n: usize,
    /// Added to logits, by token id.
    pub bias: Vec<(u32, f32)>,
    /// The same seed, prompt and settings give the same tokens.
    pub seed: u64,
    /// Most tokens to generate; none: until something else ends it.
    pub n: Option<usize>,
    /// Texts that end generation and are not part of it. Whoever turns tokens to text looks for them; the engine does not.
    pub stop: Vec<String>,
    /// Generate past end-of-generation tokens.
    pub ignore_end: bool,
    /// Report the logarithms of probabilities of the chosen and of this many of the most probable tokens.
    pub logprobs: Option<usize>,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, ..Sampling::greedy() }
    }
}

impl Sampling {
    /// Always the most probable token.
    pub fn greedy() -> Self {
        Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence: 0.0,
            frequency: 0.0,
            penalty_last_n: 64,
            bias: Vec::new(),
            seed: 0,
            n: None,
            stop: Vec::new(),
            ignore_end: false,
            logprobs: None,
        }
    }

    /// Checks every parameter, so that no arithmetic on them can fail later.
    pub fn validate(&self) -> Result<(), SamplingError> {
        if self.temperature != 0.0 {
            // The least temperature keeps quotients finite.
            check("temperature", self.temperature, 1e-4, 1e4, "0 for greedy, or 0.0001 to 10000")?;
        }
        check("top_p", self.top_p, f32::MIN_POSITIVE, 1.0, "above 0 to 1 (1: off)")?;
        check("min_p", self.min_p, 0.0, 1.0, "0 to 1 (0: off)")?;
        check("repetition_penalty", self.repetition_penalty, 0.01, 100.0, "0.01 to 100 (1: off)")?;
        check("presence", self.presence, -1000.0, 1000.0, "-1000 to 1000 (0: off)")?;
        check("frequency", self.frequency, -1000.0, 1000.0, "-1000 to 1000 (0: off)")?;
        for (_, bias) in &self.bias {
            check("bias", *bias, -1e9, 1e9, "-1e9 to 1e9")?;
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(SamplingError::EmptyStop);
        }
        Ok(())
    }
}

fn check(
    name: &'static str,
    found: f32,
    least: f32,
    most: f32,
    expected: &'static str,
) -> Result<(), SamplingError> {
    // NaN is in no range.
    if (least..=most).contains(&found) { Ok(()) } else { Err(SamplingError::Range { name, found, expected }) }
}

/// Why sampling parameters were refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum SamplingError {
    /// A number that is not one, or too small or too large.
    #[error("{name} is {found}, expected {expected}")]
    Range { name: &'static str, found: f32, expected: &'static str },
    /// A bias on a token that does not exist.
    #[error("bias on token {id}, but there are {n_choices} tokens")]
    BiasToken { id: u32, n_choices: usize },
    /// An empty text would stop everything.
    #[error("a stop text is empty")]
    EmptyStop,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl Fn(&mut Sampling, f32)) -> Vec<f32> {
        let wrong = |value: &f32| {
            let mut sampling = Sampling::default();
            change(&mut sampling, *value);
            sampling.validate().is_err()
        };
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.5, 1.5].into_iter().filter(wrong).collect()
    }

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Sampling::default().validate(), Ok(()));
        assert_eq!(Sampling::greedy().validate(), Ok(()));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(refused(|s, x| s.temperature = x).len(), 4);
        assert_eq!(refused(|s, x| s.top_p = x).len(), 5);
        assert_eq!(refused(|s, x| s.min_p = x).len(), 5);
        assert_eq!(refused(|s, x| s.repetition_penalty = x).len(), 4);
        assert_eq!(refused(|s, x| s.presence = x).len(), 3);
        assert_eq!(refused(|s, x| s.frequency = x).len(), 3);
        assert_eq!(refused(|s, x| s.bias = vec![(0, x)]).len(), 3);
    }

    #[test]
    fn a_message_says_what_is_allowed() {
        let error = Sampling { min_p: 2.0, ..Sampling::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "min_p is 2, expected 0 to 1 (0: off)");
        assert_eq!(
            Sampling { stop: vec![String::new()], ..Sampling::default() }.validate(),
            Err(SamplingError::EmptyStop)
        );
    }
}
