//! How text is cut into words before byte-level merging: the pre-tokenizers by their GGUF names.
//!
//! A GGUF file gives only a name; a `tokenizer.json` gives the steps themselves. The table holds both, so that a name
//! becomes steps and steps become a name. To add one, write its line.

use serde_json::Value;
use tokenizers::PreTokenizerWrapper;
use tokenizers::SplitDelimiterBehavior::Isolated;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

use crate::TextError;
use crate::error::shown;

/// One pre-tokenizer.
#[derive(Debug)]
pub(crate) struct Pre {
    /// `tokenizer.ggml.pre`; the first is what is written.
    pub(crate) names: &'static [&'static str],
    /// What cuts, in order; every step cuts the pieces of the one before.
    steps: &'static [Step],
    /// Takes a whole word at once when it is a token, whatever the merges say.
    pub(crate) ignore_merges: bool,
    /// Begins with the begin token where the file does not say.
    pub(crate) add_bos: bool,
    /// Text is brought to Unicode's composed form (NFC) first. GGUF does not say; the models these names belong to do.
    pub(crate) nfc: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Each digit apart.
    Digits,
    /// Matches of a pattern apart.
    Pattern(&'static str),
    /// GPT-2's own pattern.
    Gpt2,
}

const LLAMA: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Every pre-tokenizer dewdrop knows.
pub(crate) const PRES: &[Pre] = &[
    Pre { names: &["gpt-2"], steps: &[Step::Gpt2], ignore_merges: false, add_bos: false, nfc: false },
    Pre {
        names: &["llama-bpe", "lfm2", "llama3", "llama-v3"],
        steps: &[Step::Pattern(LLAMA)],
        ignore_merges: true,
        add_bos: true,
        nfc: false,
    },
    Pre {
        names: &["smaug-bpe", "dbrx"],
        steps: &[Step::Pattern(LLAMA)],
        ignore_merges: false,
        add_bos: false,
        nfc: false,
    },
    Pre {
        names: &["qwen2", "deepseek-r1-qwen"],
        steps: &[Step::Pattern(QWEN2)],
        ignore_merges: false,
        add_bos: false,
        nfc: true,
    },
    Pre {
        names: &["qwen35"],
        steps: &[Step::Pattern(QWEN35)],
        ignore_merges: false,
        add_bos: false,
        nfc: true,
    },
    Pre {
        names: &["smollm"],
        steps: &[Step::Digits, Step::Gpt2],
        ignore_merges: false,
        add_bos: false,
        nfc: false,
    },
];

impl Pre {
    /// The pre-tokenizer of this name.
    pub(crate) fn named(name: &str, file: &str) -> Result<&'static Self, TextError> {
        PRES.iter().find(|pre| pre.names.contains(&name)).ok_or_else(|| TextError::UnknownPre {
            file: file.into(),
            found: shown(name),
            known: known_names(),
        })
    }

    /// The pre-tokenizer that does what the steps of a `tokenizer.json` do.
    pub(crate) fn of_steps(
        pre_tokenizer: &Value,
        ignore_merges: bool,
        file: &str,
    ) -> Result<&'static Self, TextError> {
        let steps = flattened(pre_tokenizer);
        let same = |pre: &&Pre| pre.ignore_merges == ignore_merges && pre.does(&steps);
        PRES.iter().find(same).or_else(|| PRES.iter().find(|pre| pre.does(&steps))).ok_or_else(|| {
            let found = shown(&pre_tokenizer.to_string());
            TextError::unsupported(
                file,
                "pre_tokenizer",
                found,
                format!("the steps of one of {}", known_names()),
            )
        })
    }

    /// The steps as the library runs them.
    pub(crate) fn splitter(&self) -> PreTokenizerWrapper {
        let mut steps: Vec<PreTokenizerWrapper> = self.steps.iter().map(Step::library).collect();
        if !self.steps.contains(&Step::Gpt2) {
            steps.push(ByteLevel::new(false, false, false).into());
        }
        Sequence::new(steps).into()
    }

    fn does(&self, steps: &[&Value]) -> bool {
        let alphabet = !self.steps.contains(&Step::Gpt2);
        steps.len() == self.steps.len() + usize::from(alphabet)
            && self.steps.iter().zip(steps).all(|(step, value)| step.is(value))
            && (!alphabet || steps.last().is_some_and(|last| is_byte_level(last, false)))
    }
}

impl Step {
    fn library(&self) -> PreTokenizerWrapper {
        match self {
            Self::Digits => Digits::new(true).into(),
            Self::Gpt2 => ByteLevel::new(false, false, true).into(),
            Self::Pattern(pattern) => Split::new(SplitPattern::Regex((*pattern).into()), Isolated, false)
                .expect("the table's patterns compile")
                .into(),
        }
    }

    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Digits => value["type"] == "Digits" && value["individual_digits"] == true,
            Self::Gpt2 => is_byte_level(value, true),
            Self::Pattern(pattern) => {
                value["type"] == "Split" && value["pattern"]["Regex"] == *pattern && cuts_out_matches(value)
            }
        }
    }
}

/// Whether a `Split` keeps all text. Patterns of the table match everywhere, so dropping what lies between is the same.
fn cuts_out_matches(split: &Value) -> bool {
    let invert = split["invert"] == true;
    (split["behavior"] == "Isolated" && !invert) || (split["behavior"] == "Removed" && invert)
}

fn is_byte_level(value: &Value, use_regex: bool) -> bool {
    let regex = value["use_regex"].as_bool().unwrap_or(true);
    value["type"] == "ByteLevel" && value["add_prefix_space"] != true && regex == use_regex
}

fn flattened(pre_tokenizer: &Value) -> Vec<&Value> {
    match pre_tokenizer["pretokenizers"].as_array() {
        Some(steps) if pre_tokenizer["type"] == "Sequence" => steps.iter().collect(),
        _ => vec![pre_tokenizer],
    }
}

fn known_names() -> String {
    PRES.iter().flat_map(|pre| pre.names).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_written_by_the_library_are_recognised() {
        for pre in PRES {
            let json = serde_json::to_value(pre.splitter()).unwrap();
            let found = Pre::of_steps(&json, pre.ignore_merges, "tokenizer.json").unwrap();
            assert_eq!(found.names, pre.names);
        }
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        let message = Pre::named("klingon", "x.gguf").unwrap_err().to_string();
        assert!(message.contains("klingon") && message.contains("qwen35"), "{message}");
    }
}
