//! A checkpoint's tokenizer, chat template and end-of-generation tokens.

use std::collections::BTreeSet;

use dewdrop_model::Descriptor;
use dewdrop_store::{Checkpoint, CheckpointKind};
use dewdrop_text::{ChatTemplate, TokenKind, Tokenizer};
use serde_json::Value;

use crate::Error;

/// What turns text to ids and back, and what ends a text.
pub(crate) struct Language {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: Option<ChatTemplate>,
    /// Ascending.
    pub(crate) end_tokens: Vec<u32>,
}

impl Language {
    pub(crate) fn of(checkpoint: &Checkpoint, descriptor: &Descriptor) -> Result<Self, Error> {
        let tokenizer = tokenizer(checkpoint)?;
        let template = ChatTemplate::of(&tokenizer).map_err(|error| Error::text(checkpoint, error))?;
        let mut end_tokens: BTreeSet<u32> = tokenizer.end_ids().collect();
        end_tokens.extend(&descriptor.end_tokens);
        end_tokens.extend(generation_ends(checkpoint));
        Ok(Language { tokenizer, template, end_tokens: end_tokens.into_iter().collect() })
    }

    /// Ids below this may be generated: those that mean something, without rows that only pad the table.
    pub(crate) fn n_choices(&self) -> usize {
        let is_padding = |id: &usize| {
            let kind = u32::try_from(*id).ok().and_then(|id| self.tokenizer.token_kind(id));
            matches!(kind, None | Some(TokenKind::Unused))
        };
        let n_padding = (0..self.tokenizer.n_vocab()).rev().take_while(is_padding).count();
        self.tokenizer.n_vocab() - n_padding
    }
}

/// A checkpoint's tokenizer, whether or not its model can be run; no weight is looked at.
///
/// # Errors
/// If the files hold none, or one that is not understood.
pub fn tokenizer(checkpoint: &Checkpoint) -> Result<Tokenizer, Error> {
    let tokenizer = match &checkpoint.kind {
        CheckpointKind::Gguf(gguf) => Tokenizer::from_gguf(&gguf.metadata),
        CheckpointKind::HuggingFace { folder, .. } => Tokenizer::from_folder(folder),
    };
    tokenizer.map_err(|error| Error::text(checkpoint, error))
}

/// What `generation_config.json` says ends a text: an id or a list of them.
fn generation_ends(checkpoint: &Checkpoint) -> Vec<u32> {
    let CheckpointKind::HuggingFace { generation_config: Some(config), .. } = &checkpoint.kind else {
        return Vec::new();
    };
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match config.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    }
}
