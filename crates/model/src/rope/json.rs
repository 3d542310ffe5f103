//! Ropes as `config.json` says them, in old and new spellings.

use serde_json::{Map, Value};

use super::{KNOWN_TYPES, Reach, RopeLaw, Scaling, Yarn, sharpening};
use crate::config::{Config, Found, MAX_COUNT, keys};
use crate::error::ModelError;

/// The base of layers with a window where the file says none.
const DEFAULT_LOCAL_BASE: f64 = 10_000.0;

/// What the dictionary of a rope may hold. It is all mathematics, so anything else is refused.
const KNOWN_ENTRIES: &[&str] = &[
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
    // Three equal streams of positions, as text has, make these two irrelevant.
    "mrope_section",
    "mrope_interleaved",
    // Says how the model came to be.
    "finetuned",
];

/// What dictionaries of dictionaries are keyed by.
const LAYER_KINDS: [&str; 2] = ["full_attention", "sliding_attention"];

pub(super) fn law(config: &Config<'_>, reach: Reach, head_dim: usize) -> Result<RopeLaw, ModelError> {
    let dictionary = Dictionary::read(config, reach)?;
    let base = dictionary.base(config, reach)?;
    let n_turning = dictionary.n_turning(config, head_dim)?;
    Ok(RopeLaw { base, n_turning, scaling: dictionary.scaling(config)? })
}

/// The entries about one rope, and the key they stand under.
struct Dictionary {
    key: String,
    entries: Map<String, Value>,
}

impl Dictionary {
    /// `rope_parameters`, for all layers or by kind of layer; else the older `rope_scaling`, which never concerns layers
    /// with a window.
    fn read(config: &Config<'_>, reach: Reach) -> Result<Self, ModelError> {
        let kind = if reach == Reach::Full { LAYER_KINDS[0] } else { LAYER_KINDS[1] };
        let older = config.object("rope_scaling")?;
        let (key, entries) = match config.object("rope_parameters")? {
            Some(all) if LAYER_KINDS.iter().any(|kind| all.contains_key(*kind)) => match all.get(kind) {
                Some(Value::Object(entries)) => (format!("rope_parameters.{kind}"), Some(entries.clone())),
                _ => return Err(ModelError::missing(format!("rope_parameters.{kind}"), "an object")),
            },
            Some(entries) => ("rope_parameters".into(), Some(entries).filter(|_| reach == Reach::Full)),
            None => ("rope_scaling".into(), older.filter(|_| reach == Reach::Full)),
        };
        Ok(Dictionary { key, entries: entries.unwrap_or_default() })
    }

    fn base(&self, config: &Config<'_>, reach: Reach) -> Result<f64, ModelError> {
        let outside = match reach {
            Reach::Full => config.positive_if_set(&keys::ROPE_BASE)?,
            Reach::Sliding => {
                Some(config.positive_if_set(&keys::LOCAL_ROPE_BASE)?.unwrap_or(DEFAULT_LOCAL_BASE))
            }
        };
        self.positive("rope_theta")?.or(outside).ok_or_else(|| self.missing("rope_theta"))
    }

    fn n_turning(&self, config: &Config<'_>, head_dim: usize) -> Result<usize, ModelError> {
        let outside = config.positive_if_set(&keys::PARTIAL_ROTARY)?;
        match self.positive("partial_rotary_factor")?.or(outside) {
            None => Ok(head_dim),
            Some(part) if part <= 1.0 => Ok((head_dim as f64 * part) as usize),
            Some(part) => Err(ModelError::bad("partial_rotary_factor", &part.into(), "a number from 0 to 1")),
        }
    }

    fn scaling(&self, config: &Config<'_>) -> Result<Scaling, ModelError> {
        let name = self.found("rope_type").or_else(|| self.found("type"));
        let scaling = match name.as_ref().map(Found::text).transpose()?.unwrap_or("default") {
            "default" => Scaling::None,
            "linear" => Scaling::Linear { factor: self.factor()? },
            "llama3" => self.llama3(config)?,
            "yarn" => self.yarn(config)?,
            other => {
                return Err(ModelError::unsupported(&self.name("rope_type"), &other.into(), KNOWN_TYPES));
            }
        };
        let unknown =
            |(name, value): &(&String, &Value)| !KNOWN_ENTRIES.contains(&name.as_str()) && !value.is_null();
        match self.entries.iter().find(unknown) {
            Some((name, value)) => Err(ModelError::unsupported(&self.name(name), value, "")),
            None => Ok(scaling),
        }
    }

    fn llama3(&self, config: &Config<'_>) -> Result<Scaling, ModelError> {
        let needed = |name| self.positive(name)?.ok_or_else(|| self.missing(name));
        let (low, high) = (needed("low_freq_factor")?, needed("high_freq_factor")?);
        if low >= high {
            return Err(ModelError::bad(
                &self.name("high_freq_factor"),
                &high.into(),
                format!("more than {low}"),
            ));
        }
        Ok(Scaling::Llama3 { factor: self.factor()?, low, high, original: self.original(config)? })
    }

    fn yarn(&self, config: &Config<'_>) -> Result<Scaling, ModelError> {
        let factor = self.factor()?;
        let mscales = self.positive("mscale")?.zip(self.positive("mscale_all_dim")?);
        let grown = match mscales {
            Some((mscale, all_dims)) => sharpening(factor, mscale) / sharpening(factor, all_dims),
            None => sharpening(factor, 1.0),
        };
        Ok(Scaling::Yarn(Yarn {
            factor,
            original: self.original(config)?,
            fast: self.positive("beta_fast")?.unwrap_or(32.0),
            slow: self.positive("beta_slow")?.unwrap_or(1.0),
            round: self.found("truncate").map(|found| found.flag()).transpose()?.unwrap_or(true),
            attention_factor: self.positive("attention_factor")?.unwrap_or(grown),
        }))
    }

    fn factor(&self) -> Result<f64, ModelError> {
        self.positive("factor")?.ok_or_else(|| self.missing("factor"))
    }

    /// Positions before the stretch.
    fn original(&self, config: &Config<'_>) -> Result<f64, ModelError> {
        if let Some(original) = self.positive("original_max_position_embeddings")? {
            return Ok(original);
        }
        let original = match config.count_if_set(&keys::ORIGINAL_CONTEXT, MAX_COUNT)? {
            Some(original) => original,
            None => config.count(&keys::CONTEXT, MAX_COUNT)?,
        };
        Ok(original as f64)
    }

    fn found(&self, name: &str) -> Option<Found> {
        let value = self.entries.get(name).filter(|value| !value.is_null())?;
        Some(Found { key: self.name(name), value: value.clone() })
    }

    fn positive(&self, name: &str) -> Result<Option<f64>, ModelError> {
        let Some(found) = self.found(name) else { return Ok(None) };
        match found.number()? {
            number if number > 0.0 && (number as f32).is_normal() => Ok(Some(number)),
            _ => Err(found.bad("a number above 0")),
        }
    }

    fn missing(&self, name: &str) -> ModelError {
        ModelError::missing(self.name(name), "a number above 0")
    }

    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.key)
    }
}
