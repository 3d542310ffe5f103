//! The tokens of a model: what each id is called, what kind it is, and which bytes it stands for.

use crate::byte_alphabet;
use crate::tokens::Tokens;

/// Most ids a vocabulary may have: sixteen times the largest in use, small enough to allocate.
pub(crate) const MOST_TOKENS: usize = 1 << 22;

/// What a token is for. The numbers are those of `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A piece of text.
    Normal = 1,
    /// Stands for what the vocabulary cannot spell.
    Unknown = 2,
    /// Structure, not text: begin, end, turn marks.
    Control = 3,
    /// Text that is taken whole before anything else is split.
    UserDefined = 4,
    /// A row without meaning.
    Unused = 5,
    /// One byte, spelled `<0xXX>`.
    Byte = 6,
}

impl TokenKind {
    /// The kind with this number in `tokenizer.ggml.token_type`.
    pub fn from_gguf(number: i64) -> Option<Self> {
        [Self::Normal, Self::Unknown, Self::Control, Self::UserDefined, Self::Unused, Self::Byte]
            .into_iter()
            .find(|&kind| kind as i64 == number)
    }
}

/// How the text of a token spells bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// One character of the byte alphabet per byte.
    ByteLevel,
    /// UTF-8 with `▁` for the space; bytes outside as `<0xXX>`.
    Spaces,
}

/// When encoding puts a space before text, which decoding takes away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpacePrefix {
    /// Not at all.
    Never,
    /// At the very start.
    AtStart,
    /// At the start and after every control or user-defined token.
    AfterSpecial,
}

/// Tokens by id, and how they spell bytes.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) tokens: Tokens,
    pub(crate) spelling: Spelling,
    pub(crate) space_prefix: SpacePrefix,
}

impl Vocabulary {
    /// The bytes of a token; none for ids outside and rows without meaning.
    pub(crate) fn bytes(&self, id: u32) -> Vec<u8> {
        let (Some(text), Some(kind)) = (self.tokens.text(id), self.tokens.kind(id)) else {
            return Vec::new();
        };
        match (kind, self.spelling) {
            (TokenKind::Unused, _) if text.starts_with("[PAD") => Vec::new(),
            (TokenKind::Byte, _) => spelled_byte(text).into_iter().collect(),
            (TokenKind::Control | TokenKind::Unknown, _) => text.into(),
            (_, Spelling::Spaces) => text.replace('▁', " ").into(),
            (TokenKind::Normal, Spelling::ByteLevel) => {
                byte_alphabet::bytes(text).unwrap_or_else(|| text.into())
            }
            (_, Spelling::ByteLevel) => text.into(),
        }
    }
}

/// Ids of the tokens `<0x00>` to `<0xFF>`, of those that there are.
#[derive(Debug)]
pub(crate) struct ByteIds(Box<[Option<u32>; 256]>);

impl ByteIds {
    pub(crate) fn new(id: impl Fn(u8) -> Option<u32>) -> Self {
        ByteIds(Box::new(std::array::from_fn(|byte| id(byte as u8))))
    }

    /// A text byte by byte, if there are tokens for all.
    pub(crate) fn spell(&self, text: &str) -> Option<Vec<u32>> {
        text.bytes().map(|byte| self.0[usize::from(byte)]).collect()
    }
}

/// The name of a row the tokenizer does not have.
pub(crate) fn padding_name(id: usize) -> String {
    format!("[PAD{id}]")
}

/// Whether a token is called so.
pub(crate) fn is_padding_name(text: &str, id: usize) -> bool {
    // Few are, and names take time to write.
    text.starts_with("[PAD") && text == padding_name(id)
}

/// The byte a token like `<0x0A>` stands for.
pub(crate) fn spelled_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}
