//! What the steps of a `tokenizer.json` mean: how tokens spell bytes, what stands around text.

use serde_json::Value;

use super::TOKENIZER;
use crate::TextError;
use crate::error::shown;
use crate::special::Frame;
use crate::vocabulary::{SpacePrefix, Spelling};

/// Normalizers models for generating text use. The library has more; not all of them take any text without a panic.
const NORMALIZERS: &[&str] = &["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Prepend", "Replace", "Strip"];
/// Pre-tokenizers such models use.
const PRE_TOKENIZERS: &[&str] =
    &["ByteLevel", "Digits", "Metaspace", "Punctuation", "Split", "Whitespace", "WhitespaceSplit"];

/// Refuses steps before merging that are not among those known to work on any text.
pub(super) fn check(normalizer: &Value, pre_tokenizer: &Value) -> Result<(), TextError> {
    check_known(normalizer, "normalizer", "normalizers", NORMALIZERS)?;
    check_known(pre_tokenizer, "pre_tokenizer", "pretokenizers", PRE_TOKENIZERS)
}

fn check_known(value: &Value, key: &str, list: &str, known: &[&str]) -> Result<(), TextError> {
    for step in steps(value, list) {
        match step["type"].as_str() {
            Some("Sequence") if !std::ptr::eq(step, value) => check_known(step, key, list, known)?,
            Some(kind) if known.contains(&kind) => {}
            _ => {
                let found = shown(&step["type"].to_string());
                return Err(TextError::unsupported(
                    TOKENIZER,
                    key,
                    found,
                    format!("one of {}", known.join(", ")),
                ));
            }
        }
    }
    Ok(())
}

/// How tokens spell bytes, from the decoder.
pub(super) fn spelling(decoder: &Value) -> Result<Spelling, TextError> {
    let steps = steps(decoder, "decoders");
    let has = |kind: &str| steps.iter().any(|step| step["type"] == kind);
    if has("ByteLevel") {
        return Ok(Spelling::ByteLevel);
    }
    let spaces = |step: &&Value| step["type"] == "Replace" && step["pattern"]["String"] == "▁";
    if has("Metaspace") || steps.iter().any(spaces) {
        return Ok(Spelling::Spaces);
    }
    let found = shown(&decoder.to_string());
    Err(TextError::unsupported(TOKENIZER, "decoder", found, "`ByteLevel`, `Metaspace` or `Replace` of `▁`"))
}

/// Where encoding adds a space, from the steps before merging.
pub(super) fn space_prefix(normalizer: &Value, pre_tokenizer: &Value) -> SpacePrefix {
    if steps(normalizer, "normalizers").iter().any(|step| step["type"] == "Prepend" && step["prepend"] == "▁")
    {
        return SpacePrefix::AfterSpecial;
    }
    let steps = steps(pre_tokenizer, "pretokenizers");
    let Some(spaces) = steps.iter().find(|step| step["type"] == "Metaspace") else {
        return SpacePrefix::Never;
    };
    match spaces["prepend_scheme"].as_str() {
        Some("first") => SpacePrefix::AtStart,
        Some("never") => SpacePrefix::Never,
        Some(_) => SpacePrefix::AfterSpecial,
        None if spaces["add_prefix_space"] == false => SpacePrefix::Never,
        None => SpacePrefix::AfterSpecial,
    }
}

/// What stands around text, from the post-processor.
pub(super) fn frame(post_processor: &Value) -> Result<Frame, TextError> {
    let mut frame = Frame::default();
    for step in steps(post_processor, "processors") {
        let (before, after) = match step["type"].as_str() {
            None | Some("ByteLevel") => continue,
            Some("TemplateProcessing") => template(step)?,
            Some("RobertaProcessing" | "BertProcessing") => {
                (vec![pair_id(step, "cls")?], vec![pair_id(step, "sep")?])
            }
            Some(other) => {
                let found = format!("`{}`", shown(other));
                return Err(TextError::unsupported(
                    TOKENIZER,
                    "post_processor",
                    found,
                    "`TemplateProcessing`",
                ));
            }
        };
        // Each step works on what the one before made.
        frame.before.splice(..0, before);
        frame.after.extend(after);
    }
    Ok(frame)
}

/// Ids before and after the text in the template for one text.
fn template(step: &Value) -> Result<(Vec<u32>, Vec<u32>), TextError> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut seen_text = false;
    for part in step["single"].as_array().into_iter().flatten() {
        if part["Sequence"].is_object() {
            seen_text = true;
        } else if let Some(name) = part["SpecialToken"]["id"].as_str() {
            let ids = template_ids(step, name)?;
            if seen_text { after.extend(ids) } else { before.extend(ids) }
        } else {
            return Err(malformed(shown(&part.to_string()), "`Sequence` or `SpecialToken`"));
        }
    }
    Ok((before, after))
}

fn template_ids(step: &Value, name: &str) -> Result<Vec<u32>, TextError> {
    let ids = step["special_tokens"][name]["ids"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ids: Option<Vec<u32>> = ids.iter().map(id).collect();
    ids.filter(|ids| !ids.is_empty()).ok_or_else(|| {
        malformed(format!("`{}` in the template", shown(name)), "a token of `special_tokens` with its ids")
    })
}

fn pair_id(step: &Value, key: &str) -> Result<u32, TextError> {
    id(&step[key][1]).ok_or_else(|| malformed(format!("`{key}` without an id"), "a token and its id"))
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

fn malformed(found: String, expected: &str) -> TextError {
    TextError::malformed(TOKENIZER, "post_processor", found, expected)
}

/// The steps of a `Sequence`, or the one step there is; none for null. Sequences in sequences are not looked into.
fn steps<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    match value[key].as_array() {
        Some(steps) if value["type"] == "Sequence" => steps.iter().collect(),
        _ if value.is_null() => Vec::new(),
        _ => vec![value],
    }
}
