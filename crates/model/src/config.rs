//! One accessor over both kinds of config: `config.json` in old and new spellings, and the metadata of GGUF files.
//!
//! Every query notes which keys it looked at, so that in the end [`Config::check_unread`] can refuse keys that change
//! the mathematics but that nobody asked for.

mod guard;
mod key;
mod metadata;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use dewdrop_format::TensorInfo;
use dewdrop_format::gguf::Metadata;
use serde_json::{Map, Value};

pub(crate) use key::Key;
pub(crate) use key::keys;

use crate::error::ModelError;
use crate::family::Family;
use crate::names;

/// Most layers.
pub(crate) const MAX_LAYERS: usize = 4096;
/// Most floats of anything that a row of a batch holds.
pub(crate) const MAX_WIDTH: usize = 1 << 22;
/// Most heads.
pub(crate) const MAX_HEADS: usize = 1 << 14;
/// Most positions and most ids: what the files' own 32-bit numbers can count, with room for sums.
pub(crate) const MAX_COUNT: usize = 1 << 30;

/// What a model is described by.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Metadata of a GGUF file.
    Gguf(&'a Metadata),
    /// The `config.json` of a Hugging Face folder.
    HuggingFace(&'a Value),
}

/// Whose tensor names and values a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A GGUF file.
    Gguf,
    /// A Hugging Face folder.
    HuggingFace,
}

/// A config of a known family, with the tensors beside it.
pub(crate) struct Config<'a> {
    source: Source<'a>,
    family: &'static Family,
    /// What the family assumes for keys that a `config.json` leaves out.
    defaults: Map<String, Value>,
    tensors: &'a BTreeMap<String, TensorInfo>,
    rope_factors: Option<&'a [f32]>,
    read: RefCell<BTreeSet<String>>,
}

/// A value and the key under which it was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) value: Value,
}

impl<'a> Config<'a> {
    pub(crate) fn new(
        source: Source<'a>,
        family: &'static Family,
        tensors: &'a BTreeMap<String, TensorInfo>,
        rope_factors: Option<&'a [f32]>,
    ) -> Self {
        let defaults = serde_json::from_str(family.defaults).expect("defaults of families are JSON objects");
        Config { source, family, defaults, tensors, rope_factors, read: RefCell::default() }
    }

    pub(crate) fn family(&self) -> &'static Family {
        self.family
    }

    pub(crate) fn kind(&self) -> SourceKind {
        self.source.kind()
    }

    /// `model_type` of a `config.json`, of the text model where a wrapper has others.
    pub(crate) fn model_type(&self) -> Option<&'a str> {
        let Source::HuggingFace(root) = self.source else { return None };
        text_and_top(root).find_map(|level| level.get("model_type")?.as_str())
    }

    pub(crate) fn rope_factors(&self) -> Option<&'a [f32]> {
        self.rope_factors
    }

    /// The value of a key. `null` counts as absent.
    pub(crate) fn find(&self, key: &Key) -> Option<Found> {
        let spellings = self.spellings(key);
        self.read.borrow_mut().extend(spellings.iter().cloned());
        match self.source {
            Source::Gguf(metadata) => spellings.into_iter().find_map(|key| {
                let value = metadata::to_json(metadata.get(&key)?);
                Some(Found { key, value })
            }),
            Source::HuggingFace(root) => find_in_json(root, &self.defaults, spellings),
        }
    }

    /// A count from 1 up, if the key is there.
    pub(crate) fn count_if_set(&self, key: &Key, most: usize) -> Result<Option<usize>, ModelError> {
        self.find(key).map(|found| found.count(1, most)).transpose()
    }

    /// A count from 1 up.
    pub(crate) fn count(&self, key: &Key, most: usize) -> Result<usize, ModelError> {
        self.count_if_set(key, most)?.ok_or_else(|| {
            ModelError::missing(self.spelling(key), format!("a whole number from 1 to {most}"))
        })
    }

    /// A number above 0, if the key is there. Files write 0 for "none" in places.
    pub(crate) fn positive_if_set(&self, key: &Key) -> Result<Option<f64>, ModelError> {
        match self.find(key) {
            None => Ok(None),
            Some(found) => match found.number()? {
                0.0 => Ok(None),
                number if number > 0.0 && (number as f32).is_normal() => Ok(Some(number)),
                _ => Err(found.bad("a number above 0")),
            },
        }
    }

    /// A truth value; false where the key is absent.
    pub(crate) fn flag(&self, key: &Key) -> Result<bool, ModelError> {
        Ok(self.find(key).map(|found| found.flag()).transpose()?.unwrap_or(false))
    }

    /// A count per layer, from 0 up: one number for all, or a list.
    pub(crate) fn per_layer(
        &self,
        key: &Key,
        n_layers: usize,
        most: usize,
    ) -> Result<Option<Vec<usize>>, ModelError> {
        let Some(found) = self.find(key) else { return Ok(None) };
        match &found.value {
            // Blocks that only draft are counted in lists too.
            Value::Array(items) if items.len() >= n_layers => {
                let counts = items.iter().take(n_layers).map(|item| found.with(item).count(0, most));
                counts.collect::<Result<_, _>>().map(Some)
            }
            Value::Array(_) => Err(found.bad(format!("a number, or a list of {n_layers} (one per layer)"))),
            _ => Ok(Some(vec![found.count(0, most)?; n_layers])),
        }
    }

    /// One of the words that a key may hold, per layer.
    pub(crate) fn words(
        &self,
        key: &Key,
        n_layers: usize,
        known: &[&'static str],
    ) -> Result<Option<Vec<&'static str>>, ModelError> {
        let Some(found) = self.find(key) else { return Ok(None) };
        let Value::Array(items) = &found.value else { return Err(found.bad("a list of words")) };
        if items.len() != n_layers {
            return Err(found.bad(format!("{n_layers} words (one per layer)")));
        }
        let word = |item: &Value| {
            let word = known.iter().find(|&&word| item == word).copied();
            word.ok_or_else(|| ModelError::bad(&found.key, item, format!("one of {}", known.join(", "))))
        };
        items.iter().map(word).collect::<Result<_, _>>().map(Some)
    }

    /// A truth value per layer, if the key is there.
    pub(crate) fn flags(&self, key: &Key, n_layers: usize) -> Result<Option<Vec<bool>>, ModelError> {
        let Some(found) = self.find(key) else { return Ok(None) };
        match &found.value {
            // Blocks that only draft are counted in lists too.
            Value::Array(items) if items.len() >= n_layers => items
                .iter()
                .take(n_layers)
                .map(|item| found.with(item).flag())
                .collect::<Result<_, _>>()
                .map(Some),
            _ => Err(found.bad(format!("a list of {n_layers} truth values (one per layer)"))),
        }
    }

    /// The width of windows. 0 means none, and so does a negative number in some tools' files.
    pub(crate) fn window(&self, most: usize) -> Result<Option<usize>, ModelError> {
        match self.find(&keys::WINDOW) {
            Some(found) if found.value.as_i64().is_some_and(|window| window > 0) => {
                found.count(1, most).map(Some)
            }
            Some(found) => found.number().map(|_| None),
            None => Ok(None),
        }
    }

    /// A JSON object of a `config.json`, by its name.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Map<String, Value>>, ModelError> {
        let Source::HuggingFace(root) = self.source else { return Ok(None) };
        self.read.borrow_mut().insert(name.into());
        match text_and_top(root).find_map(|level| level.get(name).filter(|value| !value.is_null())) {
            None => Ok(None),
            Some(Value::Object(entries)) => Ok(Some(entries.clone())),
            Some(other) => Err(ModelError::bad(name, other, "an object")),
        }
    }

    /// Whether any of the places where a flag may stand says yes: wrappers put some of them at either level.
    pub(crate) fn flag_anywhere(&self, key: &Key) -> Result<bool, ModelError> {
        let Source::HuggingFace(root) = self.source else { return self.flag(key) };
        let mut said = false;
        for name in key.hugging_face {
            for value in
                text_and_top(root).filter_map(|level| level.get(*name)).filter(|value| !value.is_null())
            {
                said = true;
                if (Found { key: (*name).into(), value: value.clone() }).flag()? {
                    return Ok(true);
                }
            }
        }
        if said { Ok(false) } else { self.flag(key) }
    }

    /// The tensor that plays a role, at the top level or in a layer.
    pub(crate) fn tensor(&self, layer: Option<usize>, role: &str) -> Option<&'a TensorInfo> {
        let candidates = names::file_names(self.family, self.kind(), layer, role);
        candidates.iter().find_map(|name| match self.kind() {
            SourceKind::Gguf => self.tensors.get(name),
            SourceKind::HuggingFace => {
                names::wrapped(name).into_iter().find_map(|name| self.tensors.get(&name))
            }
        })
    }

    /// Channels of the matrix that plays a role.
    pub(crate) fn n_out(&self, layer: Option<usize>, role: &str, most: usize) -> Result<usize, ModelError> {
        let Some(tensor) = self.tensor(layer, role) else {
            let mut names = names::file_names(self.family, self.kind(), layer, role);
            return Err(ModelError::MissingTensor { tensor: names.remove(0), expected: Vec::new() });
        };
        match tensor.shape[..] {
            [n_out, _] if (1..=most).contains(&n_out) => Ok(n_out),
            _ => Err(ModelError::TensorShape {
                tensor: tensor.name.clone(),
                found: tensor.shape.clone(),
                expected: Vec::new(),
            }),
        }
    }

    /// Token ids that end a text, ascending.
    pub(crate) fn end_tokens(&self) -> Result<Vec<u32>, ModelError> {
        let mut ids = Vec::new();
        for key in [keys::EOS, keys::EOT, keys::EOM] {
            let Some(found) = self.find(&key) else { continue };
            let items = found.value.as_array().cloned().unwrap_or_else(|| vec![found.value.clone()]);
            for item in items {
                ids.push(found.with(&item).count(0, MAX_COUNT)? as u32);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Refuses keys that change the mathematics and that nothing has read.
    pub(crate) fn check_unread(&self) -> Result<(), ModelError> {
        let read = self.read.borrow();
        match self.source {
            Source::Gguf(metadata) => guard::check_metadata(metadata, self.family.gguf, &read),
            Source::HuggingFace(root) => {
                text_and_top(root).try_for_each(|level| guard::check_json(level, &read))
            }
        }
    }

    fn spellings(&self, key: &Key) -> Vec<String> {
        match self.source {
            Source::Gguf(_) if key.gguf.is_empty() => Vec::new(),
            Source::Gguf(_) if key.gguf.starts_with("tokenizer.") => vec![key.gguf.into()],
            Source::Gguf(_) => vec![format!("{}.{}", self.family.gguf, key.gguf)],
            Source::HuggingFace(_) => key.hugging_face.iter().map(|&name| name.into()).collect(),
        }
    }

    /// The usual spelling of a key, for messages.
    pub(crate) fn spelling(&self, key: &Key) -> String {
        self.spellings(key).into_iter().next().unwrap_or_else(|| key.gguf.into())
    }
}

impl Source<'_> {
    /// Whose spelling this is.
    pub fn kind(&self) -> SourceKind {
        match self {
            Source::Gguf(_) => SourceKind::Gguf,
            Source::HuggingFace(_) => SourceKind::HuggingFace,
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SourceKind::Gguf => "GGUF",
            SourceKind::HuggingFace => "Hugging Face",
        })
    }
}

impl Found {
    pub(crate) fn count(&self, least: usize, most: usize) -> Result<usize, ModelError> {
        let count = self.value.as_u64().and_then(|count| usize::try_from(count).ok());
        count
            .filter(|count| (least..=most).contains(count))
            .ok_or_else(|| self.bad(format!("a whole number from {least} to {most}")))
    }

    pub(crate) fn number(&self) -> Result<f64, ModelError> {
        self.value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| self.bad("a number"))
    }

    pub(crate) fn flag(&self) -> Result<bool, ModelError> {
        self.value.as_bool().ok_or_else(|| self.bad("true or false"))
    }

    pub(crate) fn text(&self) -> Result<&str, ModelError> {
        self.value.as_str().ok_or_else(|| self.bad("a word"))
    }

    pub(crate) fn bad(&self, expected: impl Into<String>) -> ModelError {
        ModelError::bad(&self.key, &self.value, expected)
    }

    fn with(&self, item: &Value) -> Found {
        Found { key: self.key.clone(), value: item.clone() }
    }
}

/// The first of these keys that says something. What a file leaves out has the family's default; `null` has none.
fn find_in_json(root: &Value, defaults: &Map<String, Value>, spellings: Vec<String>) -> Option<Found> {
    let is_said = spellings.iter().any(|key| text_and_top(root).any(|level| level.contains_key(key)));
    spellings.into_iter().find_map(|key| {
        let value = match is_said {
            true => text_and_top(root).find_map(|level| level.get(&key).filter(|value| !value.is_null())),
            false => defaults.get(&key),
        };
        let value = value?.clone();
        Some(Found { key, value })
    })
}

/// The objects that text fields stand in: multimodal wrappers nest them, and may leave some at the top.
pub(crate) fn text_and_top(root: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    [root.get("text_config"), Some(root)].into_iter().flatten().filter_map(Value::as_object)
}
