//! From the files of a folder to a tokenizer.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use dewdrop_format::gguf::Strings;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::{NormalizedString, Normalizer as _, NormalizerWrapper};

use super::roles::Configs;
use super::tokenizer_json::{AddedToken, TokenizerJson};
use super::{HuggingFaceFiles, TOKENIZER, steps};
use crate::TextError;
use crate::added::{Added, Finder};
use crate::bpe::{Bpe, Rules};
use crate::error::shown;
use crate::special::Frame;
use crate::tokenizer::{Merger, Origin, Tokenizer};
use crate::tokens::Tokens;
use crate::vocabulary::{MOST_TOKENS, Spelling, TokenKind, Vocabulary, padding_name, spelled_byte};

/// Builds the tokenizer.
pub(crate) fn build(files: &HuggingFaceFiles<'_>) -> Result<Tokenizer, TextError> {
    let mut json = TokenizerJson::parse(files.tokenizer)?;
    let configs = Configs::parse(files)?;
    steps::check(&json.normalizer, &json.pre_tokenizer)?;
    let spelling = steps::spelling(&json.decoder)?;
    let tokens = tokens(&json, spelling)?;
    let special = configs.special(&tokens);
    let ends = in_range(special.ends(&configs.ends(), &tokens), tokens.len());
    let frame = configs.frame(steps::frame(&json.post_processor)?, &special);
    check_frame(&frame, tokens.len())?;
    let merges = json.model.take_merges()?;
    let texts = merges.iter().map(|(left, right)| Ok((left.as_str(), right.as_str())));
    let bpe = Bpe::new(&tokens, rules(&json, &tokens), texts, TOKENIZER, "model.merges")?;
    let normalizer: Option<NormalizerWrapper> = step(&json.normalizer, "normalizer")?;
    let (raw, normalized) = finders(json.added_tokens, normalizer.as_ref())?;
    let space_prefix = steps::space_prefix(&json.normalizer, &json.pre_tokenizer);
    Ok(Tokenizer {
        finder: raw,
        normalized_finder: normalized,
        normalizer,
        splitter: step(&json.pre_tokenizer, "pre_tokenizer")?,
        merger: Merger::Bpe(Box::new(bpe)),
        special,
        ends,
        frame,
        templates: configs.templates(files),
        origin: Origin::HuggingFace {
            normalizer: json.normalizer,
            pre_tokenizer: json.pre_tokenizer,
            ignore_merges: json.model.ignore_merges,
            merges,
        },
        vocabulary: Arc::new(Vocabulary { tokens, spelling, space_prefix }),
    })
}

/// Tokens by id: the model's and the added ones. Ids between that have none are rows without meaning.
fn tokens(json: &TokenizerJson, spelling: Spelling) -> Result<Tokens, TextError> {
    let added: HashMap<u32, &AddedToken> = json.added_tokens.iter().map(|token| (token.id, token)).collect();
    let own = json.model.vocab.iter().map(|(text, &id)| (id, text));
    let all: Vec<(u32, &String)> =
        own.chain(added.values().map(|token| (token.id, &token.content))).collect();
    let n_vocab = all.iter().map(|&(id, _)| id as usize + 1).max().unwrap_or(0);
    if n_vocab > MOST_TOKENS {
        let found = format!("id {}", n_vocab - 1);
        return Err(TextError::malformed(
            TOKENIZER,
            "model.vocab",
            found,
            format!("ids below {MOST_TOKENS}"),
        ));
    }
    let mut texts: Vec<Option<&str>> = vec![None; n_vocab];
    for (id, text) in all {
        match texts[id as usize].replace(text) {
            Some(other) if other != text => return Err(two_names(id, other, text)),
            _ => {}
        }
    }
    let mut kinds = Vec::with_capacity(n_vocab);
    let mut names = Strings::with_capacity(n_vocab);
    for (id, text) in (0..).zip(texts) {
        let (text, kind) = match text {
            Some(text) => (text.into(), kind(text, added.get(&id).copied(), json, spelling)),
            None => (Cow::from(padding_name(id as usize)), TokenKind::Unused),
        };
        names.push(&text);
        kinds.push(kind);
    }
    Tokens::new(names, kinds).map_err(|(id, text)| {
        let found = format!("`{}` again as token {id}", shown(&text));
        TextError::malformed(TOKENIZER, "added_tokens", found, "one id per token")
    })
}

fn kind(text: &str, added: Option<&AddedToken>, json: &TokenizerJson, spelling: Spelling) -> TokenKind {
    match added {
        Some(token) if token.special => TokenKind::Control,
        Some(_) => TokenKind::UserDefined,
        None if spelling == Spelling::Spaces && spelled_byte(text).is_some() => TokenKind::Byte,
        None if json.model.unk_token.as_deref() == Some(text) => TokenKind::Unknown,
        None => TokenKind::Normal,
    }
}

fn two_names(id: u32, first: &str, second: &str) -> TextError {
    let found = format!("id {id} for `{}` and `{}`", shown(first), shown(second));
    TextError::malformed(TOKENIZER, "model.vocab", found, "one token per id")
}

fn rules(json: &TokenizerJson, tokens: &Tokens) -> Rules {
    let model = &json.model;
    // An added token is none of the model's.
    let unknown = model.unk_token.as_deref().filter(|text| model.vocab.contains_key(*text));
    Rules {
        ignore_merges: model.ignore_merges,
        byte_fallback: model.byte_fallback,
        unknown: unknown.and_then(|text| tokens.id(text)),
        fuse_unknown: model.fuse_unk,
    }
}

/// A step of the library's, as it reads them.
fn step<T: DeserializeOwned>(value: &Value, key: &str) -> Result<Option<T>, TextError> {
    serde_json::from_value(value.clone()).map_err(|error| {
        TextError::unsupported(TOKENIZER, key, shown(&error.to_string()), "a step of the tokenizers library")
    })
}

/// Added tokens to find before and after normalizing.
fn finders(
    tokens: Vec<AddedToken>,
    normalizer: Option<&NormalizerWrapper>,
) -> Result<(Finder, Finder), TextError> {
    let (mut raw, mut normalized) = (Vec::new(), Vec::new());
    for token in tokens {
        let mut token = added(token);
        if token.normalized {
            token.content = normalize(&token.content, normalizer)?;
            normalized.push(token);
        } else {
            raw.push(token);
        }
    }
    Ok((Finder::new(raw), Finder::new(normalized)))
}

fn added(token: AddedToken) -> Added {
    let AddedToken { id, content, single_word, lstrip, rstrip, normalized, special } = token;
    Added { id, content, special, single_word, lstrip, rstrip, normalized }
}

fn normalize(text: &str, normalizer: Option<&NormalizerWrapper>) -> Result<String, TextError> {
    let mut text = NormalizedString::from(text);
    if let Some(normalizer) = normalizer {
        normalizer.normalize(&mut text).map_err(|error| TextError::Encode { message: error.to_string() })?;
    }
    Ok(text.get().to_owned())
}

fn check_frame(frame: &Frame, n_vocab: usize) -> Result<(), TextError> {
    match frame.before.iter().chain(&frame.after).find(|&&id| id as usize >= n_vocab) {
        None => Ok(()),
        Some(id) => {
            let expected = format!("ids below {n_vocab}");
            Err(TextError::malformed(TOKENIZER, "post_processor", format!("id {id}"), expected))
        }
    }
}

/// Ends the tokenizer has; a model's configuration may name rows beyond it.
fn in_range(ends: std::collections::BTreeSet<u32>, n_vocab: usize) -> std::collections::BTreeSet<u32> {
    ends.into_iter().filter(|&id| (id as usize) < n_vocab).collect()
}
