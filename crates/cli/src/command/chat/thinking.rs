//! Thinking: what a model writes between `<think>` and `</think>` before it answers.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Tells thinking from answer while text comes. The tags belong to the thinking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Thinking {
    is_on: bool,
    /// Text that may become a tag.
    held: String,
}

/// A stretch of text that is all thinking or all answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) is_thinking: bool,
    pub(super) text: String,
}

impl Thinking {
    /// At the start of what follows `prompt`. Some templates open the thinking themselves.
    pub(super) fn after(prompt: &str) -> Self {
        Thinking { is_on: prompt.trim_end().ends_with(OPEN), held: String::new() }
    }

    /// Takes more text. Yields what is decided: all but an end that may become a tag.
    pub(super) fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held += text;
        let mut pieces = Vec::new();
        while let Some(start) = self.held.find(self.tag()) {
            let end = if self.is_on { start + CLOSE.len() } else { start };
            pieces.push(self.take(end));
            self.is_on = !self.is_on;
        }
        let tag = self.tag();
        let n_held = (1..tag.len()).rev().find(|n| self.held.ends_with(&tag[..*n])).unwrap_or(0);
        pieces.push(self.take(self.held.len() - n_held));
        pieces.retain(|piece| !piece.text.is_empty());
        pieces
    }

    /// What is held back, once nothing more comes.
    pub(super) fn finish(mut self) -> Piece {
        self.take(self.held.len())
    }

    /// What ends the present state.
    fn tag(&self) -> &'static str {
        if self.is_on { CLOSE } else { OPEN }
    }

    /// The first `n` bytes of what is held.
    fn take(&mut self, n: usize) -> Piece {
        let rest = self.held.split_off(n);
        Piece { is_thinking: self.is_on, text: std::mem::replace(&mut self.held, rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of texts that come one by one, thinking in brackets.
    fn shown(mut thinking: Thinking, texts: &[&str]) -> String {
        let mut pieces: Vec<Piece> = texts.iter().flat_map(|text| thinking.push(text)).collect();
        pieces.push(thinking.finish());
        let show = |piece: Piece| if piece.is_thinking { format!("[{}]", piece.text) } else { piece.text };
        pieces.into_iter().map(show).collect()
    }

    #[test]
    fn tags_in_one_text_or_in_many_are_found() {
        let start = Thinking::after("<|im_start|>assistant\n");
        assert_eq!(shown(start.clone(), &["<think>so</think>yes"]), "[<think>so</think>]yes");
        assert_eq!(shown(start, &["<th", "ink>", "so", "</", "think>yes"]), "[<think>][so][</think>]yes");
    }

    #[test]
    fn a_prompt_may_open_the_thinking() {
        let start = Thinking::after("<|im_start|>assistant\n<think>\n");
        assert_eq!(shown(start, &["so</think>\n\nyes"]), "[so</think>]\n\nyes");
    }

    #[test]
    fn what_only_looks_like_a_tag_is_text() {
        assert_eq!(
            shown(Thinking::default(), &["1 <", " 2 <thin", "g>", "</think> <t"]),
            "1 < 2 <thing></think> <t"
        );
    }
}
