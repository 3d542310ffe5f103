//! From what a GGUF file says to a tokenizer.

use std::mem;
use std::sync::Arc;

use tokenizers::normalizers::{NFC, Prepend, Replace, Sequence};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::keys::special_keys;
use super::{BYTE_LEVEL, GEMMA4, GgufVocabulary, NORMALIZERS, SCORES};
use crate::TextError;
use crate::added::{Added, Finder};
use crate::bpe::{Bpe, Rules, parse_merge};
use crate::error::shown;
use crate::pre::Pre;
use crate::score_merge::ScoreMerge;
use crate::special::{Frame, is_end_name};
use crate::tokenizer::{Merger, Origin, Tokenizer};
use crate::tokens::Tokens;
use crate::vocabulary::{
    ByteIds, SpacePrefix, Spelling, TokenKind, Vocabulary, is_padding_name, padding_name, spelled_byte,
};

/// Gemma 4 cuts text at line breaks and nowhere else.
pub(crate) const LINES: &str = r"[^\n]+|\n+";

/// Builds the tokenizer.
pub(crate) fn build(mut file: GgufVocabulary) -> Result<Tokenizer, TextError> {
    let tokens = tokens(&mut file)?;
    check_ids(&file, tokens.len())?;
    let parts = match file.model.as_str() {
        BYTE_LEVEL => byte_level(&file, &tokens)?,
        SCORES => scores(&file, &tokens)?,
        GEMMA4 => gemma4(&file, &tokens)?,
        other => {
            let known = format!("`{BYTE_LEVEL}`, `{SCORES}` or `{GEMMA4}`");
            let found = format!("`{}`", shown(other));
            return Err(TextError::unsupported(&file.file, "tokenizer.ggml.model", found, known));
        }
    };
    Ok(Tokenizer {
        finder: Finder::new(added(&tokens)),
        normalized_finder: Finder::default(),
        normalizer: parts.normalizer,
        splitter: parts.splitter,
        merger: parts.merger,
        ends: file.special.ends(&[], &tokens),
        frame: frame(&file, parts.add_bos),
        special: file.special.clone(),
        vocabulary: Arc::new(Vocabulary {
            tokens,
            spelling: parts.spelling,
            space_prefix: parts.space_prefix,
        }),
        templates: file.templates.clone(),
        origin: Origin::Gguf(Box::new(file)),
    })
}

/// What differs between the models.
struct Parts {
    normalizer: Option<NormalizerWrapper>,
    splitter: Option<PreTokenizerWrapper>,
    merger: Merger,
    spelling: Spelling,
    space_prefix: SpacePrefix,
    add_bos: bool,
}

fn byte_level(file: &GgufVocabulary, tokens: &Tokens) -> Result<Parts, TextError> {
    let pre = Pre::named(file.pre.as_deref().unwrap_or_default(), &file.file)?;
    let rules = Rules { ignore_merges: pre.ignore_merges, ..Rules::default() };
    Ok(Parts {
        normalizer: composes(file, pre)?.then(|| NFC.into()),
        splitter: Some(pre.splitter()),
        merger: Merger::Bpe(Box::new(bpe(file, tokens, rules)?)),
        spelling: Spelling::ByteLevel,
        space_prefix: SpacePrefix::Never,
        add_bos: pre.add_bos,
    })
}

fn scores(file: &GgufVocabulary, tokens: &Tokens) -> Result<Parts, TextError> {
    const KEY: &str = "tokenizer.ggml.scores";
    check_length(file, KEY, file.scores.len(), tokens.len())?;
    if let Some(id) = file.scores.iter().position(|score| score.is_nan()) {
        return Err(TextError::malformed(&file.file, KEY, format!("NaN for token {id}"), "a number"));
    }
    // Adding zero makes -0 the same as 0, so that it ties with it.
    let score = |(kind, score): (&TokenKind, &f32)| (*kind == TokenKind::Normal).then_some(score + 0.0);
    let scores = tokens.kinds().iter().zip(&file.scores).map(score).collect();
    let prefix = file.add_space_prefix.unwrap_or(true);
    Ok(Parts {
        normalizer: Some(spaces(prefix, &file.file)?),
        splitter: None,
        merger: Merger::Scores(ScoreMerge::new(scores, byte_ids(tokens), unknown(file, tokens))),
        spelling: Spelling::Spaces,
        space_prefix: if prefix { SpacePrefix::AfterSpecial } else { SpacePrefix::Never },
        add_bos: true,
    })
}

fn gemma4(file: &GgufVocabulary, tokens: &Tokens) -> Result<Parts, TextError> {
    let rules = Rules { byte_fallback: true, unknown: unknown(file, tokens), ..Rules::default() };
    let lines = Split::new(SplitPattern::Regex(LINES.into()), SplitDelimiterBehavior::Isolated, false);
    Ok(Parts {
        normalizer: Some(spaces(false, &file.file)?),
        splitter: Some(lines.expect("the pattern compiles").into()),
        merger: Merger::Bpe(Box::new(bpe(file, tokens, rules)?)),
        spelling: Spelling::Spaces,
        space_prefix: SpacePrefix::Never,
        add_bos: true,
    })
}

/// Tokens with their kinds, which the file no longer has then. Rows without a name, and the two kinds of names that files
/// get wrong, are put right.
fn tokens(file: &mut GgufVocabulary) -> Result<Tokens, TextError> {
    let (mut texts, mut kinds) = (mem::take(&mut file.tokens), mem::take(&mut file.kinds));
    if kinds.is_empty() {
        kinds = vec![TokenKind::Normal; texts.len()];
    }
    check_length(file, "tokenizer.ggml.token_type", kinds.len(), texts.len())?;
    for ((id, text), kind) in texts.iter().enumerate().zip(&mut kinds) {
        *kind = match *kind {
            _ if text.is_empty() => TokenKind::Unused,
            // A file that marks the end of turn as text would never end one.
            TokenKind::Normal | TokenKind::UserDefined if is_end_name(text) => TokenKind::Control,
            TokenKind::Normal if is_padding_name(text, id) => TokenKind::Unused,
            kind => kind,
        };
    }
    if texts.iter().any(str::is_empty) {
        let named = |(id, text): (usize, &str)| if text.is_empty() { padding_name(id) } else { text.into() };
        texts = texts.iter().enumerate().map(named).collect();
    }
    Tokens::new(texts, kinds).map_err(|(id, text)| {
        let found = format!("token {id} `{}` twice", shown(&text));
        TextError::malformed(&file.file, "tokenizer.ggml.tokens", found, "each token once")
    })
}

fn check_length(file: &GgufVocabulary, key: &str, length: usize, n_tokens: usize) -> Result<(), TextError> {
    if length == n_tokens {
        return Ok(());
    }
    let expected = format!("{n_tokens}, one per token");
    Err(TextError::malformed(&file.file, key, format!("{length} values"), expected))
}

fn check_ids(file: &GgufVocabulary, n_tokens: usize) -> Result<(), TextError> {
    for (key, id) in special_keys(&file.special) {
        if let Some(id) = id.filter(|&id| id as usize >= n_tokens) {
            let expected = format!("an id below {n_tokens}");
            return Err(TextError::malformed(&file.file, key, format!("id {id}"), expected));
        }
    }
    Ok(())
}

fn bpe(file: &GgufVocabulary, tokens: &Tokens, rules: Rules) -> Result<Bpe, TextError> {
    const KEY: &str = "tokenizer.ggml.merges";
    let merge = |(rank, text)| parse_merge(rank, text, &file.file, KEY);
    Bpe::new(tokens, rules, file.merges.iter().enumerate().map(merge), &file.file, KEY)
}

fn composes(file: &GgufVocabulary, pre: &Pre) -> Result<bool, TextError> {
    match file.normalizer.as_deref() {
        None => Ok(pre.nfc),
        Some(name) if NORMALIZERS.contains(&name) => Ok(name == NORMALIZERS[1]),
        Some(name) => {
            let found = format!("`{}`", shown(name));
            Err(TextError::unsupported(&file.file, "dewdrop.tokenizer.normalizer", found, "`nfc` or `none`"))
        }
    }
}

/// Spaces as `▁`, with one more in front where the model was trained so.
fn spaces(prefix: bool, file: &str) -> Result<NormalizerWrapper, TextError> {
    let replace =
        Replace::new(" ", "▁").map_err(|error| TextError::Encode { message: format!("{file}: {error}") })?;
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if prefix {
        steps.push(Prepend::new("▁".into()).into());
    }
    steps.push(replace.into());
    Ok(Sequence::new(steps).into())
}

fn byte_ids(tokens: &Tokens) -> ByteIds {
    let mut ids = [None; 256];
    for (id, text, _) in tokens.iter() {
        if let Some(byte) = spelled_byte(text) {
            ids[usize::from(byte)] = Some(id);
        }
    }
    ByteIds::new(|byte| ids[usize::from(byte)])
}

fn unknown(file: &GgufVocabulary, tokens: &Tokens) -> Option<u32> {
    let marked =
        || (0..).zip(tokens.kinds()).find(|(_, kind)| **kind == TokenKind::Unknown).map(|(id, _)| id);
    file.special.unknown.or_else(marked)
}

/// Tokens to find in text as given. GGUF has no finer marks than the kind.
fn added(tokens: &Tokens) -> Vec<Added> {
    let added = |(id, &kind): (u32, &TokenKind)| {
        let special = matches!(kind, TokenKind::Control | TokenKind::Unknown);
        (special || kind == TokenKind::UserDefined).then(|| Added {
            id,
            content: tokens.text(id).unwrap_or_default().into(),
            special,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
        })
    };
    (0..).zip(tokens.kinds()).filter_map(added).collect()
}

fn frame(file: &GgufVocabulary, bos_by_default: bool) -> Frame {
    let mut frame = Frame::default();
    if file.add_bos.unwrap_or(bos_by_default) {
        frame.before.extend(file.special.bos);
    }
    if file.add_eos.unwrap_or(false) {
        frame.after.extend(file.special.eos);
    }
    frame
}
