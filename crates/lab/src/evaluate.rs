//! Perplexity: how well a model foretells a text.
//!
//! The text's tokens are cut into windows without overlap, each window is read alone, and the perplexity is
//! `exp(mean of -ln p(token | those before it in its window))` over the scored tokens. [`Definition`] says which tokens
//! are scored. Its error is the standard error of that mean, carried through the exponential.

use std::hash::Hasher;
use std::ops::ControlFlow;

use dewdrop::{EncodeOptions, Engine, Prepared, Session};
use twox_hash::XxHash3_64;

/// Which tokens of a window are scored, and how the text becomes tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Definition {
    /// All tokens but the first of each window. Special tokens spelled out in the text count as such, and nothing is
    /// added around it.
    #[default]
    Plain,
    /// As `llama-perplexity` has it: the tokens after the middle one, so that each has half a window before it. The
    /// tokenizer's additions stand around the text, special tokens spelled out in it are plain text, and where the
    /// tokenizer begins texts with a token, that token replaces the first one of each window.
    LlamaCpp,
}

/// How a text is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Tokens of a window. What is left over at the end of the text is not used.
    pub length: usize,
    /// Which tokens are scored.
    pub definition: Definition,
    /// Windows to evaluate at most, from the start of the text.
    pub limit: Option<usize>,
}

/// A perplexity and what it is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Perplexity {
    /// The perplexity.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
    /// Tokens scored.
    pub tokens: usize,
    /// Windows evaluated.
    pub windows: usize,
    /// XXH3 of the logits that tokens were scored with, in order: equal where all their bits are.
    pub logits: u64,
}

/// Why there is no perplexity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum EvaluateError {
    /// A window in which nothing would be scored.
    #[error("windows of {length} tokens score nothing (use {least} or more)")]
    ShortWindow { length: usize, least: usize },
    /// Not enough text.
    #[error(
        "the text has {found} tokens, and at least {expected} are needed (use a longer text or shorter windows)"
    )]
    ShortText { found: usize, expected: usize },
    /// A token that the model has no logit for.
    #[error(
        "token {token} is outside of the vocabulary of {n_vocab} (do tokenizer and model belong together?)"
    )]
    Token { token: u32, n_vocab: usize },
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(Box<dewdrop::Error>),
}

impl From<dewdrop::Error> for EvaluateError {
    fn from(error: dewdrop::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// The tokens of a text as a definition wants them, before there is an engine: what a long text takes counts in its plan.
pub fn tokens(
    prepared: &mut Prepared,
    text: &str,
    definition: Definition,
) -> Result<Vec<u32>, EvaluateError> {
    let options = match definition {
        Definition::Plain => EncodeOptions { add_special: false, parse_special: true },
        Definition::LlamaCpp => EncodeOptions { add_special: true, parse_special: false },
    };
    Ok(prepared.encode(text, options)?)
}

/// The perplexity of `engine` on a text that [`tokens`] has cut.
///
/// After each window `progress` learns the result so far and how many windows there are; if it breaks, that result is
/// the end.
pub fn perplexity(
    engine: &Engine,
    ids: &[u32],
    windows: &Windows,
    progress: &mut dyn FnMut(&Perplexity, usize) -> ControlFlow<()>,
) -> Result<Perplexity, EvaluateError> {
    let n_windows = windows.count(ids.len())?;
    check_vocabulary(ids, engine.model().program.n_vocab)?;
    let first_token = windows.first_token(engine);
    let mut sum = Sum::default();
    let mut result = sum.perplexity(0);
    for (index, window) in ids.chunks_exact(windows.length).take(n_windows).enumerate() {
        let mut window = window.to_vec();
        if let Some(token) = first_token {
            window[0] = token;
        }
        score(&mut engine.session()?, &window, windows.first_scored(), &mut sum)?;
        result = sum.perplexity(index + 1);
        if progress(&result, n_windows).is_break() {
            break;
        }
    }
    Ok(result)
}

impl Windows {
    /// How many windows of `n_tokens` are evaluated.
    fn count(&self, n_tokens: usize) -> Result<usize, EvaluateError> {
        let (least, n_least) = match self.definition {
            Definition::Plain => (2, 1),
            // Its own bound: below it, a mean over windows says little.
            Definition::LlamaCpp => (3, 2),
        };
        if self.length < least {
            return Err(EvaluateError::ShortWindow { length: self.length, least });
        }
        let n_windows = n_tokens / self.length;
        if n_windows < n_least {
            let expected = self.length.saturating_mul(n_least);
            return Err(EvaluateError::ShortText { found: n_tokens, expected });
        }
        Ok(self.limit.map_or(n_windows, |limit| limit.clamp(1, n_windows)))
    }

    /// The first position of a window whose token is scored.
    fn first_scored(&self) -> usize {
        match self.definition {
            Definition::Plain => 1,
            Definition::LlamaCpp => self.length / 2 + 1,
        }
    }

    /// What replaces each window's first token.
    fn first_token(&self, engine: &Engine) -> Option<u32> {
        match self.definition {
            Definition::Plain => None,
            Definition::LlamaCpp => engine.tokenizer().bos().filter(|_| engine.tokenizer().adds_bos()),
        }
    }
}

fn check_vocabulary(ids: &[u32], n_vocab: usize) -> Result<(), EvaluateError> {
    match ids.iter().find(|&&id| id as usize >= n_vocab) {
        Some(&token) => Err(EvaluateError::Token { token, n_vocab }),
        None => Ok(()),
    }
}

/// Adds the surprise of each token of `window` from `first` on.
fn score(session: &mut Session, window: &[u32], first: usize, sum: &mut Sum) -> Result<(), EvaluateError> {
    // The last token foretells nothing that is scored.
    session.feed_each(&window[..window.len() - 1], first - 1, |position, logits| {
        sum.add(logits, window[position + 1]);
    })?;
    Ok(())
}

/// `-ln p(token)` of the distribution that `logits` stand for.
fn surprise(logits: &[f32], token: u32) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
    f64::from(max) + sum.ln() - f64::from(logits[token as usize])
}

/// Surprises and their squares, and all logits in one number.
#[derive(Clone, Default)]
struct Sum {
    n: usize,
    sum: f64,
    squares: f64,
    logits: XxHash3_64,
}

impl Sum {
    fn add(&mut self, logits: &[f32], token: u32) {
        self.logits.write(bytemuck::cast_slice(logits));
        self.add_surprise(surprise(logits, token));
    }

    fn add_surprise(&mut self, surprise: f64) {
        self.n += 1;
        self.sum += surprise;
        self.squares += surprise * surprise;
    }

    fn perplexity(&self, windows: usize) -> Perplexity {
        let n = self.n as f64;
        let mean = self.sum / n;
        let variance = (self.squares / n - mean * mean).max(0.0);
        let value = mean.exp();
        let (error, logits) = (value * (variance / (n - 1.0)).sqrt(), self.logits.finish());
        Perplexity { value, error, tokens: self.n, windows, logits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(length: usize, definition: Definition) -> Windows {
        Windows { length, definition, limit: None }
    }

    #[test]
    fn only_whole_windows_count() {
        assert_eq!(windows(512, Definition::Plain).count(142_485).unwrap(), 278);
        assert_eq!(windows(512, Definition::Plain).count(512).unwrap(), 1);
        let limited = Windows { limit: Some(3), ..windows(512, Definition::Plain) };
        assert_eq!(limited.count(142_485).unwrap(), 3);
    }

    #[test]
    fn too_little_text_is_an_error_that_says_how_much_is_needed() {
        let message = |definition| windows(512, definition).count(511).unwrap_err().to_string();
        assert!(message(Definition::Plain).contains("at least 512"));
        assert!(message(Definition::LlamaCpp).contains("at least 1024"));
        assert!(windows(1, Definition::Plain).count(100).is_err());
        assert!(windows(2, Definition::LlamaCpp).count(100).is_err());
    }

    #[test]
    fn llama_cpp_scores_the_tokens_after_the_middle_one() {
        assert_eq!(512 - windows(512, Definition::LlamaCpp).first_scored(), 255);
        assert_eq!(5 - windows(5, Definition::LlamaCpp).first_scored(), 2);
        assert_eq!(512 - windows(512, Definition::Plain).first_scored(), 511);
    }

    #[test]
    fn equal_logits_surprise_by_the_logarithm_of_their_number() {
        assert!((surprise(&[3.0; 8], 5) - 8_f64.ln()).abs() < 1e-15);
        assert!((surprise(&[1000.0, 0.0], 1) - 1000.0).abs() < 1e-9);
        assert!(surprise(&[1000.0, 0.0], 0).abs() < 1e-15);
    }

    #[test]
    fn the_error_is_that_of_a_mean() {
        let mut sum = Sum::default();
        [1.0, 2.0, 3.0].into_iter().for_each(|x| sum.add_surprise(x));
        let result = sum.perplexity(1);
        assert!((result.value - 2_f64.exp()).abs() < 1e-12);
        // Mean square deviation 2/3, over n - 1 = 2.
        assert!((result.error - 2_f64.exp() * (1_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!((result.tokens, result.windows), (3, 1));
    }
}
