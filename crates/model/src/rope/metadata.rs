//! Ropes as GGUF metadata says them.

use super::{KNOWN_TYPES, Reach, RopeLaw, Scaling, Yarn, sharpening};
use crate::config::{Config, MAX_COUNT, keys};
use crate::error::ModelError;

/// The base where a file says none.
const DEFAULT_BASE: f64 = 10_000.0;

pub(super) fn law(config: &Config<'_>, reach: Reach, head_dim: usize) -> Result<RopeLaw, ModelError> {
    let n_turning = config.count_if_set(&keys::ROPE_DIM, head_dim)?.unwrap_or(head_dim);
    let (base, scaling) = match reach {
        Reach::Full => (keys::ROPE_BASE, scaling(config)?),
        Reach::Sliding => (keys::LOCAL_ROPE_BASE, Scaling::None),
    };
    let base = config.positive_if_set(&base)?.unwrap_or(DEFAULT_BASE);
    Ok(RopeLaw { base, n_turning, scaling })
}

fn scaling(config: &Config<'_>) -> Result<Scaling, ModelError> {
    let old_factor = config.positive_if_set(&keys::ROPE_OLD_FACTOR)?;
    let factor = config.positive_if_set(&keys::ROPE_FACTOR)?.or(old_factor);
    let linear = factor.map_or(Scaling::None, |factor| Scaling::Linear { factor });
    // Files from before the key existed only give a factor.
    let Some(name) = config.find(&keys::ROPE_SCALING) else { return Ok(linear) };
    match name.text()? {
        "none" => Ok(Scaling::None),
        "linear" => Ok(linear),
        "yarn" => yarn(config, factor),
        _ => Err(ModelError::unsupported(&name.key, &name.value, KNOWN_TYPES)),
    }
}

/// Their factors multiply the one that follows from the stretch.
fn yarn(config: &Config<'_>, factor: Option<f64>) -> Result<Scaling, ModelError> {
    let Some(factor) = factor else {
        return Err(ModelError::missing(config.spelling(&keys::ROPE_FACTOR), "a number above 0"));
    };
    let original = match config.count_if_set(&keys::ORIGINAL_CONTEXT, MAX_COUNT)? {
        Some(original) => original,
        None => config.count(&keys::CONTEXT, MAX_COUNT)?,
    };
    let or = |key, otherwise| Ok::<_, ModelError>(config.positive_if_set(key)?.unwrap_or(otherwise));
    let given = or(&keys::ROPE_ATTENTION_FACTOR, 1.0)? * or(&keys::YARN_ATTENTION_FACTOR, 1.0)?;
    Ok(Scaling::Yarn(Yarn {
        factor,
        original: original as f64,
        fast: or(&keys::YARN_FAST, 32.0)?,
        slow: or(&keys::YARN_SLOW, 1.0)?,
        round: true,
        attention_factor: given * sharpening(factor, 1.0),
    }))
}
