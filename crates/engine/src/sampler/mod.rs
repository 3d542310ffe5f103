//! From logits to the next token.
//!
//! In this order: bias, penalties, top-k, top-p, min-p, temperature, noise. The choice is a function of logits, history
//! and seed alone (`docs/arithmetic.md`, "Noise"): it does not depend on what was drawn before.

pub mod filter;
mod logprobs;
pub mod noise;
mod penalty;
mod sampling;

pub use filter::Candidate;
pub use logprobs::Logprobs;
pub use sampling::{Sampling, SamplingError};

use dewdrop_backend::largest;
use noise::Noise;

/// Chooses tokens for one request.
pub struct Sampler {
    sampling: Sampling,
    noise: Noise,
    /// Tokens that may be chosen: ids below this. Vocabularies are padded beyond what a tokenizer knows.
    n_choices: usize,
    logits: Vec<f32>,
    counts: Vec<u32>,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// Chooses among ids below `n_choices`.
    ///
    /// # Errors
    /// If a parameter is out of range, or a bias is on a token that does not exist.
    pub fn new(sampling: &Sampling, n_choices: usize) -> Result<Self, SamplingError> {
        sampling.validate()?;
        if let Some(&(id, _)) = sampling.bias.iter().find(|(id, _)| *id as usize >= n_choices) {
            return Err(SamplingError::BiasToken { id, n_choices });
        }
        let noise = Noise::new(sampling.seed);
        let sampling = sampling.clone();
        let (logits, counts, candidates) = Default::default();
        Ok(Sampler { sampling, noise, n_choices, logits, counts, candidates })
    }

    /// The parameters.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// The token that follows `history`, given its logits (at least `n_choices`).
    pub fn choose(&mut self, logits: &[f32], history: &[u32]) -> u32 {
        let logits = &logits[..self.n_choices];
        let is_greedy = self.sampling.temperature == 0.0;
        if is_greedy && self.sampling.bias.is_empty() && !penalty::is_on(&self.sampling) {
            return largest(logits);
        }
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        for &(id, bias) in &self.sampling.bias {
            self.logits[id as usize] += bias;
        }
        if penalty::is_on(&self.sampling) {
            penalty::apply(&self.sampling, &mut self.logits, history, &mut self.counts);
        }
        if is_greedy {
            return largest(&self.logits);
        }
        self.filter();
        self.draw(history.len())
    }

    /// The logarithms of probabilities that the parameters ask for.
    pub fn logprobs(&self, logits: &[f32], chosen: u32) -> Option<Logprobs> {
        self.sampling.logprobs.map(|n| Logprobs::of(&logits[..self.n_choices], chosen, n))
    }

    fn filter(&mut self) {
        filter::top_k(&self.logits, self.sampling.top_k, &mut self.candidates);
        filter::top_p(&mut self.candidates, self.sampling.top_p);
        filter::min_p(&mut self.candidates, self.sampling.min_p);
    }

    /// The candidate whose logit and noise are largest together, the lower id on ties.
    fn draw(&self, position: usize) -> u32 {
        let (mut chosen, mut best) = (u32::MAX, f32::NEG_INFINITY);
        for &Candidate { id, logit } in &self.candidates {
            let scaled = logit / self.sampling.temperature;
            // Rounding keeps order, so whatever cannot win with the largest noise need not draw its own.
            if scaled + noise::LARGEST < best {
                continue;
            }
            let score = scaled + self.noise.gumbel(id, position);
            if score > best || (score == best && id < chosen) {
                (chosen, best) = (id, score);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests;
