//! From what a GGUF file says to a tokenizer.

use std::collections::HashMap;
use std::sync::Arc;

use tokenizers::normalizers::{NFC, Prepend, Replace, Sequence};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::keys::special_keys;
use super::{BYTE_LEVEL, GEMMA4, GgufVocabulary, NORMALIZERS, SCORES};
use crate::TextError;
use crate::added::{Added, Finder};
use crate::bpe::{BpeParts, ids_by_text, parse_merge};
use crate::error::shown;
use crate::pre::Pre;
use crate::score_merge::ScoreMerge;
use crate::special::{Frame, is_end_name};
use crate::tokenizer::{Merger, Origin, Tokenizer};
use crate::vocabulary::{Entry, SpacePrefix, Spelling, TokenKind, Vocabulary, padding_name, spelled_byte};

/// Gemma 4 cuts text at line breaks and nowhere else.
const LINES: &str = r"[^\n]+|\n+";

/// Builds the tokenizer.
pub(crate) fn build(mut file: GgufVocabulary) -> Result<Tokenizer, TextError> {
    let entries = entries(&file)?;
    check_ids(&file)?;
    let parts = match file.model.as_str() {
        BYTE_LEVEL => byte_level(&file, &entries)?,
        SCORES => scores(&file, &entries)?,
        GEMMA4 => gemma4(&file, &entries)?,
        other => {
            let known = format!("`{BYTE_LEVEL}`, `{SCORES}` or `{GEMMA4}`");
            let found = format!("`{}`", shown(other));
            return Err(TextError::unsupported(&file.file, "tokenizer.ggml.model", found, known));
        }
    };
    // The entries say the same from here on.
    (file.tokens, file.kinds) = (Vec::new(), Vec::new());
    Ok(Tokenizer {
        finder: Finder::new(added(&entries)),
        normalized_finder: Finder::default(),
        normalizer: parts.normalizer,
        splitter: parts.splitter,
        merger: parts.merger,
        ends: file.special.ends(&[], &entries),
        frame: frame(&file, parts.add_bos),
        special: file.special.clone(),
        vocabulary: Arc::new(Vocabulary::new(entries, parts.spelling, parts.space_prefix)),
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

fn byte_level(file: &GgufVocabulary, entries: &[Entry]) -> Result<Parts, TextError> {
    let pre = Pre::named(file.pre.as_deref().unwrap_or_default(), &file.file)?;
    let parts = BpeParts { merges: merges(file)?, ignore_merges: pre.ignore_merges, ..BpeParts::default() };
    Ok(Parts {
        normalizer: composes(file, pre)?.then(|| NFC.into()),
        splitter: Some(pre.splitter()),
        merger: Merger::Bpe(Box::new(parts.build(entries, &file.file, "tokenizer.ggml.merges")?)),
        spelling: Spelling::ByteLevel,
        space_prefix: SpacePrefix::Never,
        add_bos: pre.add_bos,
    })
}

fn scores(file: &GgufVocabulary, entries: &[Entry]) -> Result<Parts, TextError> {
    const KEY: &str = "tokenizer.ggml.scores";
    check_length(file, KEY, file.scores.len())?;
    let mut tokens = HashMap::with_capacity(entries.len());
    for ((id, entry), &score) in (0..).zip(entries).zip(&file.scores) {
        if score.is_nan() {
            return Err(TextError::malformed(&file.file, KEY, format!("NaN for token {id}"), "a number"));
        }
        if entry.kind == TokenKind::Normal {
            // Adding zero makes -0 the same as 0, so that it ties with it.
            tokens.insert(entry.text.clone(), (id, score + 0.0));
        }
    }
    let prefix = file.add_space_prefix.unwrap_or(true);
    Ok(Parts {
        normalizer: Some(spaces(prefix, &file.file)?),
        splitter: None,
        merger: Merger::Scores(ScoreMerge::new(tokens, byte_ids(entries), unknown(file, entries))),
        spelling: Spelling::Spaces,
        space_prefix: if prefix { SpacePrefix::AfterSpecial } else { SpacePrefix::Never },
        add_bos: true,
    })
}

fn gemma4(file: &GgufVocabulary, entries: &[Entry]) -> Result<Parts, TextError> {
    let parts = BpeParts {
        merges: merges(file)?,
        byte_fallback: true,
        unknown: unknown(file, entries).map(|id| entries[id as usize].text.to_string()),
        ..BpeParts::default()
    };
    let lines = Split::new(SplitPattern::Regex(LINES.into()), SplitDelimiterBehavior::Isolated, false);
    Ok(Parts {
        normalizer: Some(spaces(false, &file.file)?),
        splitter: Some(lines.expect("the pattern compiles").into()),
        merger: Merger::Bpe(Box::new(parts.build(entries, &file.file, "tokenizer.ggml.merges")?)),
        spelling: Spelling::Spaces,
        space_prefix: SpacePrefix::Never,
        add_bos: true,
    })
}

/// Tokens with their kinds. Rows without a name, and the two kinds of names that files get wrong, are put right.
fn entries(file: &GgufVocabulary) -> Result<Vec<Entry>, TextError> {
    if !file.kinds.is_empty() {
        check_length(file, "tokenizer.ggml.token_type", file.kinds.len())?;
    }
    let entry = |(id, text): (usize, &String)| {
        if text.is_empty() {
            return Entry { text: padding_name(id).into(), kind: TokenKind::Unused };
        }
        let kind = match file.kinds.get(id).copied().unwrap_or(TokenKind::Normal) {
            // A file that marks the end of turn as text would never end one.
            TokenKind::Normal | TokenKind::UserDefined if is_end_name(text) => TokenKind::Control,
            TokenKind::Normal if *text == padding_name(id) => TokenKind::Unused,
            kind => kind,
        };
        Entry { text: text.as_str().into(), kind }
    };
    let entries: Vec<Entry> = file.tokens.iter().enumerate().map(entry).collect();
    check_unique(file, &entries)?;
    Ok(entries)
}

fn check_unique(file: &GgufVocabulary, entries: &[Entry]) -> Result<(), TextError> {
    let ids = ids_by_text(entries);
    match (0..).zip(entries).find(|(id, entry)| ids.get(&*entry.text) != Some(id)) {
        None => Ok(()),
        Some((id, entry)) => {
            let found = format!("token {id} `{}` twice", shown(&entry.text));
            Err(TextError::malformed(&file.file, "tokenizer.ggml.tokens", found, "each token once"))
        }
    }
}

fn check_length(file: &GgufVocabulary, key: &str, length: usize) -> Result<(), TextError> {
    if length == file.tokens.len() {
        return Ok(());
    }
    let expected = format!("{}, one per token", file.tokens.len());
    Err(TextError::malformed(&file.file, key, format!("{length} values"), expected))
}

fn check_ids(file: &GgufVocabulary) -> Result<(), TextError> {
    for (key, id) in special_keys(&file.special) {
        if let Some(id) = id.filter(|&id| id as usize >= file.tokens.len()) {
            let expected = format!("an id below {}", file.tokens.len());
            return Err(TextError::malformed(&file.file, key, format!("id {id}"), expected));
        }
    }
    Ok(())
}

fn merges(file: &GgufVocabulary) -> Result<Vec<(String, String)>, TextError> {
    let parse = |(rank, text): (usize, &String)| {
        parse_merge(text).ok_or_else(|| {
            let found = format!("merge {rank} `{}`", shown(text));
            TextError::malformed(
                &file.file,
                "tokenizer.ggml.merges",
                found,
                "two tokens with a space between",
            )
        })
    };
    file.merges.iter().enumerate().map(parse).collect()
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

fn byte_ids(entries: &[Entry]) -> Box<[Option<u32>; 256]> {
    let mut ids = Box::new([None; 256]);
    for (id, entry) in (0..).zip(entries) {
        if let Some(byte) = spelled_byte(&entry.text) {
            ids[usize::from(byte)] = Some(id);
        }
    }
    ids
}

fn unknown(file: &GgufVocabulary, entries: &[Entry]) -> Option<u32> {
    let marked = || (0..).zip(entries).find(|(_, entry)| entry.kind == TokenKind::Unknown).map(|(id, _)| id);
    file.special.unknown.or_else(marked)
}

/// Tokens to find in text as given. GGUF has no finer marks than the kind.
fn added(entries: &[Entry]) -> Vec<Added> {
    let added = |(id, entry): (u32, &Entry)| {
        let special = matches!(entry.kind, TokenKind::Control | TokenKind::Unknown);
        (special || entry.kind == TokenKind::UserDefined).then(|| Added {
            id,
            content: entry.text.to_string(),
            special,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
        })
    };
    (0..).zip(entries).filter_map(added).collect()
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
