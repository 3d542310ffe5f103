//! Text to ids and back.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use dewdrop_format::gguf;
use serde_json::Value;
use tokenizers::{
    NormalizedString, Normalizer as _, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer as _, PreTokenizerWrapper, Token,
};

use crate::added::Finder;
use crate::bpe::Bpe;
use crate::detokenizer::Detokenizer;
use crate::gguf::GgufVocabulary;
use crate::hugging_face::HuggingFaceFiles;
use crate::score_merge::ScoreMerge;
use crate::special::{Frame, SpecialIds};
use crate::stretches::stretches;
use crate::vocabulary::{TokenKind, Vocabulary};
use crate::{TextError, gguf as vocabulary_file, hugging_face};

/// What encoding may do beyond plain text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Puts the begin and end tokens around the text that the model expects.
    pub add_special: bool,
    /// Control tokens spelled in the text become those tokens. For text of a template, not for text of a user.
    pub parse_special: bool,
}

/// A model's tokenizer, from a Hugging Face folder or from GGUF metadata.
#[derive(Debug)]
pub struct Tokenizer {
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) finder: Finder,
    /// Added tokens that are looked for after normalizing.
    pub(crate) normalized_finder: Finder,
    pub(crate) normalizer: Option<NormalizerWrapper>,
    pub(crate) splitter: Option<PreTokenizerWrapper>,
    pub(crate) merger: Merger,
    pub(crate) special: SpecialIds,
    pub(crate) ends: BTreeSet<u32>,
    pub(crate) frame: Frame,
    pub(crate) templates: Vec<(String, String)>,
    pub(crate) origin: Origin,
}

/// How pieces become ids.
#[derive(Debug)]
pub(crate) enum Merger {
    Bpe(Box<Bpe>),
    Scores(ScoreMerge),
}

/// What writing the tokenizer as GGUF needs beyond what running it does.
#[derive(Debug)]
pub(crate) enum Origin {
    HuggingFace {
        normalizer: Value,
        pre_tokenizer: Value,
        ignore_merges: bool,
        merges: Vec<(String, String)>,
    },
    /// Without its tokens and kinds, which the vocabulary holds.
    Gguf(Box<GgufVocabulary>),
}

impl Tokenizer {
    /// Reads the tokenizer files of a Hugging Face folder.
    pub fn from_folder(folder: &Path) -> Result<Self, TextError> {
        hugging_face::read_folder(folder)
    }

    /// Builds from the contents of Hugging Face files.
    pub fn from_hugging_face(files: &HuggingFaceFiles<'_>) -> Result<Self, TextError> {
        hugging_face::build(files)
    }

    /// Builds from the `tokenizer.*` keys of GGUF metadata.
    pub fn from_gguf(metadata: &gguf::Metadata) -> Result<Self, TextError> {
        Self::from_vocabulary(GgufVocabulary::from_metadata(metadata)?)
    }

    /// Builds from what a GGUF file says about its tokenizer.
    pub fn from_vocabulary(vocabulary: GgufVocabulary) -> Result<Self, TextError> {
        vocabulary_file::build(vocabulary)
    }

    /// What a GGUF file of a model with `n_vocab` rows says about this tokenizer.
    ///
    /// Rows the tokenizer does not have become `[PADn]`.
    pub fn to_vocabulary(&self, n_vocab: usize) -> Result<GgufVocabulary, TextError> {
        vocabulary_file::describe(self, n_vocab)
    }

    /// The `tokenizer.*` keys of a GGUF file of a model with `n_vocab` rows, in order.
    pub fn to_gguf(&self, n_vocab: usize) -> Result<Vec<(String, gguf::Value)>, TextError> {
        Ok(self.to_vocabulary(n_vocab)?.entries())
    }

    /// Ids of a text.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, TextError> {
        let mut ids = Vec::new();
        if options.add_special {
            ids.extend(&self.frame.before);
        }
        for stretch in stretches(self, text) {
            self.encode_stretch(stretch, options.parse_special, &mut ids)?;
        }
        if options.add_special {
            ids.extend(&self.frame.after);
        }
        Ok(ids)
    }

    /// The text of ids. Bytes that are no characters become U+FFFD, ids outside the vocabulary nothing.
    ///
    /// With `skip_special`, control tokens become nothing too.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut detokenizer = Detokenizer::from_start(Arc::clone(&self.vocabulary), skip_special);
        let mut text = String::new();
        for &id in ids {
            text += &detokenizer.push(id);
        }
        text + &detokenizer.finish()
    }

    /// A detokenizer for the ids that continue a text, token by token.
    pub fn detokenizer(&self, skip_special: bool) -> Detokenizer {
        Detokenizer::continuing(Arc::clone(&self.vocabulary), skip_special)
    }

    /// A detokenizer for the ids of a whole text: what it yields in all is what [`Self::decode`] yields.
    pub fn detokenizer_from_start(&self, skip_special: bool) -> Detokenizer {
        Detokenizer::from_start(Arc::clone(&self.vocabulary), skip_special)
    }

    /// The bytes of a token as text; none for ids outside and for rows without meaning.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        self.vocabulary.bytes(id)
    }

    /// The name of a token in the vocabulary.
    pub fn token_text(&self, id: u32) -> Option<&str> {
        self.vocabulary.tokens.text(id)
    }

    /// What a token is for.
    pub fn token_kind(&self, id: u32) -> Option<TokenKind> {
        self.vocabulary.tokens.kind(id)
    }

    /// Number of ids. The model may have more rows.
    pub fn n_vocab(&self) -> usize {
        self.vocabulary.tokens.len()
    }

    /// The begin token.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.special.eos
    }

    /// Tokens with a role.
    pub fn special_ids(&self) -> &SpecialIds {
        &self.special
    }

    /// Whether encoding with `add_special` puts a begin token first.
    pub fn adds_bos(&self) -> bool {
        self.special.bos.is_some() && self.frame.before.first() == self.special.bos.as_ref()
    }

    /// Whether an answer ends with this token.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// All tokens that end an answer, ascending.
    pub fn end_ids(&self) -> impl Iterator<Item = u32> {
        self.ends.iter().copied()
    }

    /// Whether a token is structure rather than text.
    pub fn is_special(&self, id: u32) -> bool {
        matches!(self.vocabulary.tokens.kind(id), Some(TokenKind::Control | TokenKind::Unknown))
    }

    /// The source of the model's chat template.
    pub fn chat_template(&self) -> Option<&str> {
        self.named_template("default")
    }

    /// The source of a further template, such as `tool_use`.
    pub fn named_template(&self, name: &str) -> Option<&str> {
        self.templates.iter().find(|(known, _)| known == name).map(|(_, source)| source.as_str())
    }

    /// Names and sources of all templates; the usual one is `default`.
    pub fn chat_templates(&self) -> &[(String, String)] {
        &self.templates
    }

    pub(crate) fn encode_stretch(
        &self,
        text: &str,
        parse_special: bool,
        ids: &mut Vec<u32>,
    ) -> Result<(), TextError> {
        let mut pieces = PreTokenizedString::from(text);
        self.split(&mut pieces, parse_special).map_err(encode_error)?;
        pieces.tokenize(|piece| self.merge(piece.get())).map_err(encode_error)?;
        for (_, _, tokens) in pieces.get_splits(OffsetReferential::Original, OffsetType::None) {
            ids.extend(tokens.iter().flatten().map(|token| token.id));
        }
        Ok(())
    }

    /// Cuts out added tokens, normalizes the rest and cuts it into words.
    fn split(&self, pieces: &mut PreTokenizedString, parse_special: bool) -> tokenizers::Result<()> {
        pieces.split(|_, piece| Ok(self.finder.split(piece, parse_special)))?;
        pieces.split(|_, piece| Ok(self.normalized_finder.split(self.normalized(piece)?, parse_special)))?;
        match &self.splitter {
            Some(splitter) => splitter.pre_tokenize(pieces),
            None => Ok(()),
        }
    }

    fn normalized(&self, mut piece: NormalizedString) -> tokenizers::Result<NormalizedString> {
        if let Some(normalizer) = &self.normalizer {
            normalizer.normalize(&mut piece)?;
        }
        Ok(piece)
    }

    fn merge(&self, piece: &str) -> tokenizers::Result<Vec<Token>> {
        let tokens = &self.vocabulary.tokens;
        let ids = match &self.merger {
            Merger::Bpe(bpe) => bpe.tokenize(tokens, piece)?,
            Merger::Scores(scores) => scores.tokenize(tokens, piece)?,
        };
        // Nobody asks for more than the id.
        Ok(ids.into_iter().map(|id| Token::new(id, String::new(), (0, 0))).collect())
    }
}

/// Our own error out of the library's box, or the library's in words.
fn encode_error(error: tokenizers::Error) -> TextError {
    match error.downcast::<TextError>() {
        Ok(ours) => *ours,
        Err(library) => TextError::Encode { message: library.to_string() },
    }
}
