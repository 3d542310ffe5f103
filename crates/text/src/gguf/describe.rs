//! From a tokenizer to what a GGUF file says.

use std::collections::HashMap;

use serde_json::Value;

use super::{BYTE_LEVEL, GgufVocabulary, NORMALIZERS, SCORES};
use crate::TextError;
use crate::pre::Pre;
use crate::tokenizer::{Origin, Tokenizer};
use crate::vocabulary::{SpacePrefix, Spelling, TokenKind, padding_name};

/// Where messages say the trouble is.
const FILE: &str = "tokenizer.json";
/// Score of tokens no merge leads to, as converters write it.
const NO_SCORE: f32 = -1000.0;

/// Describes a tokenizer for a model with `n_vocab` rows.
pub(crate) fn describe(tokenizer: &Tokenizer, n_vocab: usize) -> Result<GgufVocabulary, TextError> {
    let mut described = match &tokenizer.origin {
        Origin::Gguf(file) => with_tokens((**file).clone(), tokenizer),
        Origin::HuggingFace { normalizer, pre_tokenizer, ignore_merges, merges } => {
            let mut described = common(tokenizer);
            match tokenizer.vocabulary.spelling {
                Spelling::ByteLevel => {
                    let pre = Pre::of_steps(pre_tokenizer, *ignore_merges, FILE)?;
                    byte_level(&mut described, pre, merges, normalizer)?;
                }
                Spelling::Spaces => scores(&mut described, tokenizer, merges)?,
            }
            described
        }
    };
    pad(&mut described, n_vocab)?;
    Ok(described)
}

fn with_tokens(mut described: GgufVocabulary, tokenizer: &Tokenizer) -> GgufVocabulary {
    let tokens = || tokenizer.vocabulary.tokens.iter();
    described.tokens = tokens().map(|(_, text, _)| text).collect();
    described.kinds = tokens().map(|(.., kind)| kind).collect();
    described
}

fn common(tokenizer: &Tokenizer) -> GgufVocabulary {
    let frame = &tokenizer.frame;
    let described = GgufVocabulary {
        file: FILE.into(),
        special: tokenizer.special.clone(),
        add_bos: Some(!frame.before.is_empty()),
        add_eos: (!frame.after.is_empty()).then_some(true),
        templates: tokenizer.templates.clone(),
        ..GgufVocabulary::default()
    };
    with_tokens(described, tokenizer)
}

fn byte_level(
    described: &mut GgufVocabulary,
    pre: &Pre,
    merges: &[(String, String)],
    normalizer: &Value,
) -> Result<(), TextError> {
    described.model = BYTE_LEVEL.into();
    described.pre = Some(pre.names[0].into());
    described.merges = merges.iter().map(|(left, right)| spelled_merge(left, right)).collect();
    let composes = composes(normalizer)?;
    described.normalizer = (composes != pre.nfc).then(|| NORMALIZERS[usize::from(composes)].into());
    Ok(())
}

/// Merging by score says the same as merging by rank when every token has one rank, so to speak: when all merges that
/// make a token stand together. Files made from SentencePiece models are so.
fn scores(
    described: &mut GgufVocabulary,
    tokenizer: &Tokenizer,
    merges: &[(String, String)],
) -> Result<(), TextError> {
    described.model = SCORES.into();
    described.pre = Some("default".into());
    described.add_space_prefix = Some(tokenizer.vocabulary.space_prefix != SpacePrefix::Never);
    let scores = scores_by_token(merges)?;
    let score = |(_, text, kind)| match kind {
        TokenKind::Normal => scores.get(text).copied().unwrap_or(NO_SCORE),
        TokenKind::Byte => 0.0,
        _ => NO_SCORE,
    };
    described.scores = tokenizer.vocabulary.tokens.iter().map(score).collect();
    let spelled = |(_, text, kind): (_, &str, _)| match kind {
        TokenKind::UserDefined => text.replace('▁', " "),
        _ => text.into(),
    };
    described.tokens = tokenizer.vocabulary.tokens.iter().map(spelled).collect();
    Ok(())
}

fn scores_by_token(merges: &[(String, String)]) -> Result<HashMap<String, f32>, TextError> {
    let mut scores = HashMap::new();
    let mut last = String::new();
    for (left, right) in merges {
        let joined = format!("{left}{right}");
        if joined == last {
            continue;
        }
        if scores.insert(joined.clone(), -(scores.len() as f32)).is_some() {
            let found = format!("merges of `{joined}` at several ranks");
            return Err(TextError::unsupported(
                FILE,
                "model.merges",
                found,
                "merges that follow from scores",
            ));
        }
        last = joined;
    }
    Ok(scores)
}

fn pad(described: &mut GgufVocabulary, n_vocab: usize) -> Result<(), TextError> {
    if described.tokens.len() > n_vocab {
        let found = format!("{} tokens", described.tokens.len());
        let expected = format!("at most the {n_vocab} rows of the embedding");
        return Err(TextError::malformed(FILE, "model.vocab", found, expected));
    }
    for id in described.tokens.len()..n_vocab {
        described.tokens.push(&padding_name(id));
        if !described.kinds.is_empty() {
            described.kinds.push(TokenKind::Unused);
        }
        if !described.scores.is_empty() {
            described.scores.push(NO_SCORE);
        }
    }
    Ok(())
}

/// A merge on one line. A space inside a part is spelled as the byte alphabet does.
fn spelled_merge(left: &str, right: &str) -> String {
    format!("{} {}", left.replace(' ', "Ġ"), right.replace(' ', "Ġ"))
}

/// Whether text is composed first; anything else that changes text has no GGUF spelling.
fn composes(normalizer: &Value) -> Result<bool, TextError> {
    match normalizer["type"].as_str() {
        None => Ok(false),
        Some("NFC") => Ok(true),
        Some("Sequence") if normalizer["normalizers"].as_array().is_some_and(Vec::is_empty) => Ok(false),
        Some(other) => {
            let found = format!("`{}`", crate::error::shown(other));
            Err(TextError::unsupported(FILE, "normalizer", found, "`NFC` or none"))
        }
    }
}
