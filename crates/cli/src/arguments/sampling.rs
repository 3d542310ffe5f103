//! How the next token is chosen, and when to stop.

use clap::Args;
use dewdrop::Sampling;

use super::number::{self, Limit, Seed};
use crate::outcome::WrongUsage;
use crate::seed;

/// How the next token is chosen, and when to stop. Names and defaults are llama.cpp's where the meaning is.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArguments {
    /// Tokens to generate at most; -1: no limit but the context [default: -1]
    #[arg(short = 'n', long = "predict", visible_alias = "n-predict", value_name = "N",
          allow_negative_numbers = true, value_parser = number::limit)]
    limit: Option<Limit>,

    /// Seed of the random choices; -1: a random one, told in the statistics [default: -1]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = number::seed)]
    seed: Option<Seed>,

    /// Temperature; 0: always the likeliest token [default: 0.8]
    #[arg(long, visible_alias = "temperature", value_name = "X", allow_negative_numbers = true)]
    temp: Option<f32>,

    /// Choose among the K likeliest tokens; 0: all [default: 40]
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,

    /// Choose among the likeliest tokens that together have this probability; 1: all [default: 0.95]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,

    /// Drop tokens less likely than this share of the likeliest one; 0: none [default: 0.05]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f32>,

    /// Divide positive logits of recent tokens by this, multiply negative ones; 1: off [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    repeat_penalty: Option<f32>,

    /// Subtract this from the logits of recent tokens; 0: off [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    presence_penalty: Option<f32>,

    /// Subtract this from the logits of recent tokens, once per occurrence; 0: off [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    frequency_penalty: Option<f32>,

    /// How many last tokens the penalties look at [default: 64]
    #[arg(long, value_name = "N")]
    repeat_last_n: Option<usize>,

    /// Add a value to a token's logit (may be repeated)
    #[arg(long, value_name = "ID=VALUE", value_parser = number::bias)]
    logit_bias: Vec<(u32, f32)>,

    /// Stop before this text (may be repeated)
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,

    /// Go on where the model would end
    #[arg(long, visible_alias = "ignore-end")]
    ignore_eos: bool,
}

impl SamplingArguments {
    /// Whether the user chose a seed.
    pub(crate) fn is_seeded(&self) -> bool {
        self.seed.is_some_and(|seed| seed.0.is_some())
    }

    /// What the library takes; the seed is chosen here if the user did not.
    pub(crate) fn resolve(&self) -> Result<Sampling, WrongUsage> {
        let defaults = Sampling::default();
        let sampling = Sampling {
            temperature: self.temp.unwrap_or(defaults.temperature),
            top_k: self.top_k.unwrap_or(defaults.top_k),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            min_p: self.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: self.repeat_penalty.unwrap_or(defaults.repetition_penalty),
            presence: self.presence_penalty.unwrap_or(defaults.presence),
            frequency: self.frequency_penalty.unwrap_or(defaults.frequency),
            penalty_last_n: self.repeat_last_n.unwrap_or(defaults.penalty_last_n),
            bias: self.logit_bias.clone(),
            seed: self.seed.and_then(|seed| seed.0).unwrap_or_else(seed::random),
            n: self.limit.and_then(|limit| limit.0),
            stop: self.stop.clone(),
            ignore_end: self.ignore_eos,
            ..defaults
        };
        sampling.validate().map_err(|error| WrongUsage(error.to_string()))?;
        Ok(sampling)
    }
}
