//! Which tokens have a role, and the chat templates: the smaller files of a folder.

use serde_json::Value;

use super::{CONFIG, HuggingFaceFiles};
use crate::TextError;
use crate::special::{Frame, SpecialIds};
use crate::tokens::Tokens;

/// The smaller files, parsed. Absent ones are null.
pub(super) struct Configs {
    pub(super) tokenizer: Value,
    generation: Value,
    model: Value,
}

impl Configs {
    pub(super) fn parse(files: &HuggingFaceFiles<'_>) -> Result<Self, TextError> {
        Ok(Self {
            tokenizer: parse(files.tokenizer_config, CONFIG)?,
            generation: parse(files.generation_config, "generation_config.json")?,
            model: parse(files.config, "config.json")?,
        })
    }

    /// Tokens with a role: by name in the tokenizer's configuration, else by id in the model's.
    pub(super) fn special(&self, tokens: &Tokens) -> SpecialIds {
        let named = |role: &str| tokens.id(text(&self.tokenizer[format!("{role}_token")])?);
        let found = |role: &str| named(role).or_else(|| self.listed(&format!("{role}_token_id")).next());
        SpecialIds {
            bos: found("bos"),
            eos: found("eos"),
            eot: named("eot"),
            eom: named("eom"),
            unknown: named("unk"),
            separator: named("sep"),
            padding: found("pad"),
            mask: named("mask"),
        }
    }

    /// All ids that any file names as ends.
    pub(super) fn ends(&self) -> Vec<u32> {
        self.listed("eos_token_id").collect()
    }

    /// What stands around text, after `add_bos_token` and `add_eos_token` had their say: either key replaces the
    /// template of `tokenizer.json`, as in transformers 5.
    pub(super) fn frame(&self, frame: Frame, special: &SpecialIds) -> Frame {
        let [bos, eos] = ["add_bos_token", "add_eos_token"].map(|key| self.tokenizer[key].as_bool());
        if bos.is_none() && eos.is_none() {
            return frame;
        }
        let token =
            |add: Option<bool>, id: Option<u32>| id.filter(|_| add == Some(true)).into_iter().collect();
        Frame { before: token(bos, special.bos), after: token(eos, special.eos) }
    }

    /// Templates by name, `default` first.
    pub(super) fn templates(&self, files: &HuggingFaceFiles<'_>) -> Vec<(String, String)> {
        let mut templates: Vec<(String, String)> = match &self.tokenizer["chat_template"] {
            Value::String(source) => vec![("default".into(), source.clone())],
            Value::Array(named) => named.iter().filter_map(named_template).collect(),
            _ => Vec::new(),
        };
        let own_file = files.chat_template.map(|source| ("default".into(), source.into()));
        for (name, source) in own_file.into_iter().chain(files.further_templates.iter().cloned()) {
            templates.retain(|(known, _)| *known != name);
            templates.push((name, source));
        }
        templates.sort_by_key(|(name, _)| name != "default");
        templates
    }

    /// Ids under a key that holds one or several, in the generation's and the model's configuration.
    fn listed(&self, key: &str) -> impl Iterator<Item = u32> {
        let places = [&self.generation[key], &self.model[key], &self.model["text_config"][key]];
        places.into_iter().flat_map(|value| match value {
            Value::Array(ids) => ids.iter().filter_map(id).collect(),
            other => id(other).into_iter().collect::<Vec<u32>>(),
        })
    }
}

fn parse(bytes: Option<&[u8]>, file: &str) -> Result<Value, TextError> {
    let Some(bytes) = bytes else { return Ok(Value::Null) };
    serde_json::from_slice(bytes).map_err(|source| TextError::Json { file: file.into(), source })
}

/// A token's text, given plainly or as an object.
fn text(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token["content"].as_str())
}

fn named_template(entry: &Value) -> Option<(String, String)> {
    Some((entry["name"].as_str()?.into(), entry["template"].as_str()?.into()))
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}
