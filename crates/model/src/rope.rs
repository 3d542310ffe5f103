//! Frequencies of rotary embeddings.
//!
//! Each type of scaling is a function of the plain frequencies `base^(-2i/r)`; described in the transformers library's
//! `modeling_rope_utils` and, for yarn, in Peng et al. 2023 (arXiv 2309.00071). Everything is computed in f64 with
//! `libm`, so that the same file gives the same bits on every machine.

mod json;
mod metadata;

use std::f64::consts::PI;

use dewdrop_backend::{Pairing, Rope};

use crate::config::{Config, SourceKind, keys};
use crate::error::ModelError;
use crate::names::ROPE_FACTORS;

/// Which layers a rope is for, in the words of configs that give them different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Layers that see every position.
    Full,
    /// Layers with a window.
    Sliding,
}

/// Types of scaling, for messages.
const KNOWN_TYPES: &str = " (known: default, linear, llama3, yarn)";

/// What the frequencies of a rope follow from, for telling other formats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeLaw {
    /// The plain frequency of pair i is `base^(-2i / n_turning)`.
    pub base: f64,
    /// Leading dimensions of a head that turn.
    pub n_turning: usize,
    /// What is done to the plain frequencies. Factors of a GGUF file's tensor come on top.
    pub scaling: Scaling,
}

/// How a model was stretched beyond the positions it was first trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scaling {
    /// It was not.
    None,
    /// All positions count `1 / factor`.
    Linear {
        /// The stretch.
        factor: f64,
    },
    /// Long waves are stretched, short ones are not.
    Llama3 {
        /// The stretch.
        factor: f64,
        /// Turns within the original context up to which a pair is stretched whole.
        low: f64,
        /// Turns from which on it stays.
        high: f64,
        /// Positions before the stretch.
        original: f64,
    },
    /// The same by a ramp over pairs, and sharper attention.
    Yarn(Yarn),
}

/// Scaling that stretches slow pairs only and sharpens attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// The stretch.
    pub factor: f64,
    /// Positions before the stretch.
    pub original: f64,
    /// Turns within them from which on a pair stays.
    pub fast: f64,
    /// Turns within them up to which a pair is stretched whole.
    pub slow: f64,
    /// The ramp between starts and ends at whole pairs.
    pub round: bool,
    /// What cosine and sine are multiplied by.
    pub attention_factor: f64,
}

/// The rope of a model's layers of that reach.
pub(crate) fn read(
    config: &Config<'_>,
    reach: Reach,
    head_dim: usize,
) -> Result<(Rope, RopeLaw), ModelError> {
    let law = match config.kind() {
        SourceKind::Gguf => metadata::law(config, reach, head_dim)?,
        SourceKind::HuggingFace => json::law(config, reach, head_dim)?,
    };
    let RopeLaw { base, n_turning, scaling } = law;
    if n_turning < 2 || n_turning > head_dim || !n_turning.is_multiple_of(2) {
        let expected = format!("an even number from 2 to the head width {head_dim}");
        return Err(ModelError::BadSizes { place: "rotary width".into(), found: n_turning, expected });
    }
    let mut frequencies = scaling.frequencies(base, n_turning);
    if reach == Reach::Full {
        divide(&mut frequencies, config.rope_factors())?;
    }
    if !frequencies.iter().all(|frequency| frequency.is_finite()) || !scaling.attention_factor().is_finite() {
        return Err(ModelError::BadValue {
            key: config.spelling(&keys::ROPE_BASE),
            found: format!("base {base} with {scaling:?}"),
            expected: "finite frequencies".into(),
        });
    }
    let pairing = match config.kind() {
        SourceKind::Gguf => config.family().gguf_pairing,
        SourceKind::HuggingFace => Pairing::Halves,
    };
    Ok((Rope { pairing, frequencies, factor: scaling.attention_factor() as f32 }, law))
}

impl Scaling {
    fn frequencies(&self, base: f64, n_turning: usize) -> Vec<f64> {
        let plain = |i: usize| libm::pow(base, -2.0 * i as f64 / n_turning as f64);
        let pairs = 0..n_turning / 2;
        match *self {
            Scaling::None => pairs.map(plain).collect(),
            Scaling::Linear { factor } => pairs.map(|i| plain(i) / factor).collect(),
            Scaling::Llama3 { factor, low, high, original } => {
                pairs.map(|i| llama3(plain(i), factor, low, high, original)).collect()
            }
            Scaling::Yarn(yarn) => {
                let ramp = yarn.ramp(base, n_turning);
                pairs.map(|i| plain(i) / yarn.factor * ramp.at(i) + plain(i) * (1.0 - ramp.at(i))).collect()
            }
        }
    }

    /// What cosine and sine are multiplied by.
    fn attention_factor(&self) -> f64 {
        if let Scaling::Yarn(yarn) = self { yarn.attention_factor } else { 1.0 }
    }
}

/// By how much attention is sharpened after a stretch.
fn sharpening(factor: f64, mscale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * mscale * libm::log(factor) + 1.0 }
}

/// Short waves stay, long ones are stretched, those between are mixed.
fn llama3(frequency: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = 2.0 * PI / frequency;
    if wavelength < original / high {
        frequency
    } else if wavelength > original / low {
        frequency / factor
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

impl Yarn {
    /// [`Yarn::attention_factor`] where a file says nothing of it.
    pub fn usual_attention_factor(&self) -> f64 {
        sharpening(self.factor, 1.0)
    }

    fn ramp(&self, base: f64, n_turning: usize) -> Ramp {
        // The pair that turns `n` times within the original context.
        let pair =
            |n: f64| n_turning as f64 * libm::log(self.original / (2.0 * PI * n)) / (2.0 * libm::log(base));
        let (mut low, mut high) = (pair(self.fast), pair(self.slow));
        if self.round {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(n_turning as f64 - 1.0));
        if low == high {
            high += 0.001;
        }
        Ramp { low, high }
    }
}

/// Yarn's way from pairs that stay (0) to pairs that are stretched (1).
struct Ramp {
    low: f64,
    high: f64,
}

impl Ramp {
    fn at(&self, pair: usize) -> f64 {
        ((pair as f64 - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// Divides by the factors that a GGUF file carries in place of llama 3's scaling.
fn divide(frequencies: &mut [f64], factors: Option<&[f32]>) -> Result<(), ModelError> {
    let Some(factors) = factors else { return Ok(()) };
    if factors.len() != frequencies.len() {
        let (found, expected) = (vec![factors.len()], vec![frequencies.len()]);
        return Err(ModelError::TensorShape { tensor: ROPE_FACTORS.into(), found, expected });
    }
    for (frequency, &factor) in frequencies.iter_mut().zip(factors) {
        if !(factor.is_normal() && factor > 0.0) {
            let (key, found) = (ROPE_FACTORS.into(), factor.to_string());
            return Err(ModelError::BadValue { key, found, expected: "factors above 0".into() });
        }
        *frequency /= f64::from(factor);
    }
    Ok(())
}
