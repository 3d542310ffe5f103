//! The `tokenizer.*` keys of GGUF metadata, read and written.

use dewdrop_format::gguf::{Array, Metadata, Strings, Value};

use super::GgufVocabulary;
use crate::TextError;
use crate::special::SpecialIds;
use crate::vocabulary::{MOST_TOKENS, TokenKind};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const KINDS: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";
const ADD_SPACE: &str = "tokenizer.ggml.add_space_prefix";
const NORMALIZER: &str = "dewdrop.tokenizer.normalizer";
const TEMPLATE: &str = "tokenizer.chat_template";
const TEMPLATE_NAMES: &str = "tokenizer.chat_templates";

impl GgufVocabulary {
    /// Reads the keys. Their values are checked when a tokenizer is built.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self, TextError> {
        let file = metadata.path().display().to_string();
        let tokens = required(metadata.get_strings(TOKENS)?, &file, TOKENS)?.clone();
        if tokens.len() > MOST_TOKENS {
            let found = format!("{} tokens", tokens.len());
            return Err(TextError::malformed(&file, TOKENS, found, format!("at most {MOST_TOKENS}")));
        }
        Ok(Self {
            model: required(metadata.get_str(MODEL)?, &file, MODEL)?.into(),
            pre: metadata.get_str(PRE)?.map(Into::into),
            kinds: kinds(metadata, &file)?,
            scores: scores(metadata)?,
            merges: metadata.get_strings(MERGES)?.cloned().unwrap_or_default(),
            special: special(metadata, &file)?,
            add_bos: metadata.get_bool(ADD_BOS)?,
            add_eos: metadata.get_bool(ADD_EOS)?,
            add_space_prefix: metadata.get_bool(ADD_SPACE)?,
            normalizer: metadata.get_str(NORMALIZER)?.map(Into::into),
            templates: templates(metadata)?,
            tokens,
            file,
        })
    }

    /// Keys and values, in the order files have them.
    pub fn entries(&self) -> Vec<(String, Value)> {
        let mut entries: Vec<(String, Value)> = vec![(MODEL.into(), self.model.as_str().into())];
        let mut put =
            |key: &str, value: Option<Value>| entries.extend(value.map(|value| (key.into(), value)));
        put(PRE, self.pre.as_deref().map(Into::into));
        put(TOKENS, Some(Array::String(self.tokens.clone()).into()));
        put(SCORES, nonempty(&self.scores).map(|scores| Array::F32(scores.to_vec()).into()));
        put(KINDS, nonempty(&self.kinds).map(|kinds| Array::I32(numbers(kinds)).into()));
        put(MERGES, texts(&self.merges));
        for (key, id) in special_keys(&self.special) {
            put(&key, id.map(Value::U32));
        }
        put(ADD_BOS, self.add_bos.map(Value::Bool));
        put(ADD_EOS, self.add_eos.map(Value::Bool));
        put(ADD_SPACE, self.add_space_prefix.map(Value::Bool));
        put(NORMALIZER, self.normalizer.as_deref().map(Into::into));
        let names = self.templates.iter().map(|(name, _)| name).filter(|name| *name != DEFAULT);
        put(TEMPLATE_NAMES, texts(&names.collect()));
        for (name, source) in &self.templates {
            put(&template_key(name), Some(source.as_str().into()));
        }
        entries
    }
}

fn required<T>(value: Option<T>, file: &str, key: &str) -> Result<T, TextError> {
    value.ok_or_else(|| TextError::malformed(file, key, "nothing", "the model's tokenizer"))
}

fn kinds(metadata: &Metadata, file: &str) -> Result<Vec<TokenKind>, TextError> {
    let numbers = metadata.get_i64s(KINDS)?.unwrap_or_default();
    let kind = |&number: &i64| {
        TokenKind::from_gguf(number)
            .ok_or_else(|| TextError::malformed(file, KINDS, format!("kind {number}"), "1 to 6"))
    };
    numbers.iter().map(kind).collect()
}

/// Scores are singles, in a few files whole numbers.
fn scores(metadata: &Metadata) -> Result<Vec<f32>, TextError> {
    if let Some(Value::Array(Array::I32(whole))) = metadata.get(SCORES) {
        return Ok(whole.iter().map(|&score| score as f32).collect());
    }
    Ok(metadata.get_f32s(SCORES)?.unwrap_or_default().to_vec())
}

fn special(metadata: &Metadata, file: &str) -> Result<SpecialIds, TextError> {
    let id = |role: &str| {
        let key = id_key(role);
        let Some(number) = metadata.get_u64(&key)? else { return Ok(None) };
        // Old files say "none" with the largest number.
        if number == u64::from(u32::MAX) {
            return Ok(None);
        }
        let outside = |_| TextError::malformed(file, key, format!("id {number}"), "an id of the vocabulary");
        u32::try_from(number).map(Some).map_err(outside)
    };
    Ok(SpecialIds {
        bos: id("bos")?,
        eos: id("eos")?,
        eot: id("eot")?,
        eom: id("eom")?,
        unknown: id("unknown")?,
        separator: id("seperator")?,
        padding: id("padding")?,
        mask: id("mask")?,
    })
}

/// Keys and ids in the order files have them.
pub(super) fn special_keys(special: &SpecialIds) -> [(String, Option<u32>); 8] {
    [
        // The format's own spelling of "separator".
        ("bos", special.bos),
        ("eos", special.eos),
        ("eot", special.eot),
        ("eom", special.eom),
        ("unknown", special.unknown),
        ("seperator", special.separator),
        ("padding", special.padding),
        ("mask", special.mask),
    ]
    .map(|(role, id)| (id_key(role), id))
}

fn id_key(role: &str) -> String {
    format!("tokenizer.ggml.{role}_token_id")
}

fn templates(metadata: &Metadata) -> Result<Vec<(String, String)>, TextError> {
    let further = metadata.get_strings(TEMPLATE_NAMES)?.into_iter().flat_map(Strings::iter);
    let mut templates = Vec::new();
    for name in std::iter::once(DEFAULT).chain(further) {
        if let Some(source) = metadata.get_str(&template_key(name))? {
            templates.push((name.to_owned(), source.to_owned()));
        }
    }
    Ok(templates)
}

const DEFAULT: &str = "default";

fn template_key(name: &str) -> String {
    if name == DEFAULT { TEMPLATE.into() } else { format!("{TEMPLATE}.{name}") }
}

fn nonempty<T>(values: &[T]) -> Option<&[T]> {
    (!values.is_empty()).then_some(values)
}

fn texts(values: &Strings) -> Option<Value> {
    (!values.is_empty()).then(|| Array::String(values.clone()).into())
}

fn numbers(kinds: &[TokenKind]) -> Vec<i32> {
    kinds.iter().map(|&kind| kind as i32).collect()
}
