//! The shape of `tokenizer.json`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::TOKENIZER;
use crate::TextError;
use crate::bpe::parse_merge;
use crate::error::shown;

/// The parts of the file that matter here. Padding and truncation concern batches for training.
#[derive(Debug, Deserialize)]
pub(super) struct TokenizerJson {
    #[serde(default)]
    pub(super) added_tokens: Vec<AddedToken>,
    #[serde(default)]
    pub(super) normalizer: Value,
    #[serde(default)]
    pub(super) pre_tokenizer: Value,
    #[serde(default)]
    pub(super) post_processor: Value,
    #[serde(default)]
    pub(super) decoder: Value,
    pub(super) model: ModelJson,
}

/// A token added to the model's own.
#[derive(Debug, Deserialize)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    pub(super) single_word: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
    #[serde(default)]
    pub(super) normalized: bool,
    #[serde(default)]
    pub(super) special: bool,
}

/// A BPE model.
#[derive(Debug, Deserialize)]
pub(super) struct ModelJson {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) dropout: Option<f32>,
    pub(super) unk_token: Option<String>,
    pub(super) continuing_subword_prefix: Option<String>,
    pub(super) end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub(super) fuse_unk: bool,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    pub(super) ignore_merges: bool,
    pub(super) vocab: HashMap<String, u32>,
    pub(super) merges: Vec<Merge>,
}

/// A merge, as new files write it or as old ones do.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Merge {
    Pair(String, String),
    Line(String),
}

/// Just the kind of model, to say what a file is that is no BPE.
#[derive(Deserialize)]
struct Probe {
    model: ProbeModel,
}

#[derive(Deserialize)]
struct ProbeModel {
    #[serde(rename = "type")]
    kind: String,
}

impl TokenizerJson {
    /// Parses the file, or says which kind of tokenizer it is if not BPE.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TextError> {
        let parsed: Result<Self, _> = serde_json::from_slice(bytes);
        let kind = match &parsed {
            Ok(file) => file.model.kind.clone(),
            Err(_) => serde_json::from_slice(bytes).ok().map(|probe: Probe| probe.model.kind),
        };
        if let Some(kind) = kind.filter(|kind| kind != "BPE") {
            let found = format!("`{}`", shown(&kind));
            return Err(TextError::unsupported(TOKENIZER, "model.type", found, "`BPE`"));
        }
        let file = parsed.map_err(|source| TextError::Json { file: TOKENIZER.into(), source })?;
        file.model.check()?;
        Ok(file)
    }
}

impl ModelJson {
    /// Refuses what would change ids and no model for generating text has.
    fn check(&self) -> Result<(), TextError> {
        let refused = [
            ("model.dropout", self.dropout.is_some_and(|dropout| dropout != 0.0)),
            ("model.continuing_subword_prefix", is_set(&self.continuing_subword_prefix)),
            ("model.end_of_word_suffix", is_set(&self.end_of_word_suffix)),
        ];
        match refused.iter().find(|(_, set)| *set) {
            Some((key, _)) => Err(TextError::unsupported(TOKENIZER, *key, "a value", "null")),
            None => Ok(()),
        }
    }

    /// The merges as pairs.
    pub(super) fn take_merges(&mut self) -> Result<Vec<(String, String)>, TextError> {
        std::mem::take(&mut self.merges).into_iter().enumerate().map(pair).collect()
    }
}

fn is_set(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

fn pair((rank, merge): (usize, Merge)) -> Result<(String, String), TextError> {
    match merge {
        Merge::Pair(left, right) => Ok((left, right)),
        Merge::Line(line) => parse_merge(rank, &line, TOKENIZER, "model.merges")
            .map(|(left, right)| (left.to_owned(), right.to_owned())),
    }
}
