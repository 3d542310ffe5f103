//! Merging by score, as SentencePiece does for BPE vocabularies with scores.
//!
//! Text starts as single characters. Of all neighbours whose joined text is a token, those with the best score are
//! joined first, the leftmost of equals, until no neighbours form a token. Characters without a token are spelled in
//! byte tokens. Kudo and Richardson 2018, "SentencePiece"; the queue of candidate pairs is theirs.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::TextError;
use crate::tokens::Tokens;

/// A vocabulary's scores.
#[derive(Debug)]
pub(crate) struct ScoreMerge {
    /// By id; none for tokens that are not text.
    scores: Vec<Option<f32>>,
    /// Ids of `<0x00>` to `<0xFF>`.
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
}

impl ScoreMerge {
    /// Scores must be numbers (not NaN), one for each id, if it has one.
    pub(crate) fn new(
        scores: Vec<Option<f32>>,
        bytes: Box<[Option<u32>; 256]>,
        unknown: Option<u32>,
    ) -> Self {
        Self { scores, bytes, unknown }
    }

    /// Ids of a text, each with the bytes of the text it covers.
    pub(crate) fn tokenize(&self, tokens: &Tokens, text: &str) -> Result<Vec<(u32, usize)>, TextError> {
        let mut ids = Vec::new();
        for piece in self.merged(tokens, text) {
            match self.token(tokens, piece) {
                Some((id, _)) => ids.push((id, piece.len())),
                None => self.spell(piece, &mut ids)?,
            }
        }
        Ok(ids)
    }

    /// The text in the pieces that merging leaves.
    fn merged<'a>(&self, tokens: &Tokens, text: &'a str) -> Vec<&'a str> {
        let mut chain = Chain::new(text);
        let mut queue = BinaryHeap::new();
        for right in 1..chain.symbols.len() {
            queue.extend(self.candidate(tokens, &chain, right - 1, right));
        }
        while let Some(best) = queue.pop() {
            if !chain.join(&best) {
                continue;
            }
            let symbol = chain.symbols[best.left];
            queue.extend(symbol.previous.and_then(|left| self.candidate(tokens, &chain, left, best.left)));
            queue.extend(symbol.next.and_then(|right| self.candidate(tokens, &chain, best.left, right)));
        }
        chain.pieces()
    }

    fn candidate(&self, tokens: &Tokens, chain: &Chain<'_>, left: usize, right: usize) -> Option<Candidate> {
        let length = chain.symbols[left].length + chain.symbols[right].length;
        let start = chain.symbols[left].start;
        let (_, score) = self.token(tokens, chain.text.get(start..start + length)?)?;
        Some(Candidate { left, right, score, length })
    }

    /// Id and score of a text that is a token.
    fn token(&self, tokens: &Tokens, text: &str) -> Option<(u32, f32)> {
        let id = tokens.id(text)?;
        Some((id, self.scores[id as usize]?))
    }

    fn spell(&self, piece: &str, ids: &mut Vec<(u32, usize)>) -> Result<(), TextError> {
        let spelled: Option<Vec<u32>> = piece.bytes().map(|byte| self.bytes[usize::from(byte)]).collect();
        match (spelled, self.unknown) {
            (Some(spelled), _) => ids.extend(spelled.into_iter().map(|id| (id, 1))),
            (None, Some(unknown)) => ids.push((unknown, piece.len())),
            (None, None) => return Err(TextError::NoToken { piece: crate::error::shown(piece) }),
        }
        Ok(())
    }
}

/// Two neighbours that may be joined.
struct Candidate {
    left: usize,
    right: usize,
    score: f32,
    /// Bytes of both when this was queued; otherwise one of them has changed since.
    length: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

/// A piece of the text. One that was joined to its left neighbour has length 0.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    length: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

/// The text as a list of pieces.
struct Chain<'a> {
    text: &'a str,
    symbols: Vec<Symbol>,
}

impl<'a> Chain<'a> {
    fn new(text: &'a str) -> Self {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(index, (start, character))| Symbol {
                start,
                length: character.len_utf8(),
                previous: index.checked_sub(1),
                next: Some(index + 1),
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.next = None;
        }
        Self { text, symbols }
    }

    /// Joins two neighbours, unless they have changed since they were queued.
    fn join(&mut self, candidate: &Candidate) -> bool {
        let (left, right) = (self.symbols[candidate.left], self.symbols[candidate.right]);
        if left.length == 0 || right.length == 0 || left.length + right.length != candidate.length {
            return false;
        }
        self.symbols[candidate.left].length = candidate.length;
        self.symbols[candidate.left].next = right.next;
        self.symbols[candidate.right].length = 0;
        if let Some(next) = right.next {
            self.symbols[next].previous = Some(candidate.left);
        }
        true
    }

    fn pieces(&self) -> Vec<&'a str> {
        let live = self.symbols.iter().filter(|symbol| symbol.length > 0);
        live.filter_map(|symbol| self.text.get(symbol.start..symbol.start + symbol.length)).collect()
    }
}
