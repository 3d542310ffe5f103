//! Merging by score, as SentencePiece does for BPE vocabularies with scores.
//!
//! Text starts as single characters. Of all neighbours whose joined text is a token, those with the best score are
//! joined first, the leftmost of equals, until no neighbours form a token. Characters without a token are spelled in
//! byte tokens. Kudo and Richardson 2018, "SentencePiece".

use std::cmp::Ordering;
use std::ops::Range;

use crate::TextError;
use crate::chain::join_all;
use crate::tokens::Tokens;
use crate::vocabulary::ByteIds;

/// A vocabulary's scores.
#[derive(Debug)]
pub(crate) struct ScoreMerge {
    /// By id; none for tokens that are not text.
    scores: Vec<Option<f32>>,
    bytes: ByteIds,
    unknown: Option<u32>,
}

impl ScoreMerge {
    /// Scores must be numbers (not NaN), one for each id, if it has one.
    pub(crate) fn new(scores: Vec<Option<f32>>, bytes: ByteIds, unknown: Option<u32>) -> Self {
        Self { scores, bytes, unknown }
    }

    /// Ids of a text.
    pub(crate) fn tokenize(&self, tokens: &Tokens, text: &str) -> Result<Vec<u32>, TextError> {
        let mut ids = Vec::new();
        let characters = text.char_indices().map(|(at, character)| (at, at + character.len_utf8()));
        let join = |(start, _): (usize, usize), (_, end): (usize, usize)| {
            let (_, score) = self.token(tokens, text, start..end)?;
            Some((Score(score), (start, end)))
        };
        for (start, end) in join_all(characters, join) {
            match self.token(tokens, text, start..end) {
                Some((id, _)) => ids.push(id),
                None => self.spell(&text[start..end], &mut ids)?,
            }
        }
        Ok(ids)
    }

    /// Id and score of a part of a text that is a token.
    fn token(&self, tokens: &Tokens, text: &str, part: Range<usize>) -> Option<(u32, f32)> {
        let id = tokens.id(&text[part])?;
        Some((id, self.scores[id as usize]?))
    }

    fn spell(&self, piece: &str, ids: &mut Vec<u32>) -> Result<(), TextError> {
        match (self.bytes.spell(piece), self.unknown) {
            (Some(spelled), _) => ids.extend(spelled),
            (None, Some(unknown)) => ids.push(unknown),
            (None, None) => return Err(TextError::NoToken { piece: crate::error::shown(piece) }),
        }
        Ok(())
    }
}

/// Not NaN.
struct Score(f32);

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}
