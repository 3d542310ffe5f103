//! Tokens with a role: begin, end, end of turn.

use std::collections::BTreeSet;

use crate::tokens::Tokens;

/// Names of tokens that end an answer whatever the files say about them.
const END_NAMES: &[&str] = &[
    "<|im_end|>",
    "<end_of_turn>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<turn|>",
];

/// Ids of tokens with a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after their GGUF keys")]
pub struct SpecialIds {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub eot: Option<u32>,
    pub eom: Option<u32>,
    pub unknown: Option<u32>,
    pub separator: Option<u32>,
    pub padding: Option<u32>,
    pub mask: Option<u32>,
}

impl SpecialIds {
    /// Ids that end an answer: eos, end of turn, end of message, `more`, and tokens named like them.
    pub(crate) fn ends(&self, more: &[u32], tokens: &Tokens) -> BTreeSet<u32> {
        let named = END_NAMES.iter().filter_map(|name| tokens.id(name));
        let roles = [self.eos, self.eot, self.eom];
        roles.into_iter().flatten().chain(more.iter().copied()).chain(named).collect()
    }
}

/// Whether a token of this name ends an answer.
pub(crate) fn is_end_name(text: &str) -> bool {
    END_NAMES.contains(&text)
}

/// What encoding puts around text when special tokens are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) before: Vec<u32>,
    pub(crate) after: Vec<u32>,
}
