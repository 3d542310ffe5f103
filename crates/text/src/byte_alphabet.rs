//! The byte alphabet of byte-level BPE: one printable character per byte.
//!
//! Printable Latin-1 bytes stand for themselves, the other 68 for the characters from U+0100 up, in order, so that
//! vocabularies can be stored as readable text. Introduced with GPT-2.

use std::sync::LazyLock;

/// First character for bytes that are not printable.
const FIRST_STAND_IN: u32 = 0x100;
/// Characters up to this one (exclusive) may stand for bytes: 256 + 68.
const END: usize = 0x144;

static BYTES: LazyLock<[Option<u8>; END]> = LazyLock::new(bytes_by_character);

/// The byte a character stands for.
pub(crate) fn byte(character: char) -> Option<u8> {
    BYTES.get(usize::try_from(u32::from(character)).ok()?).copied().flatten()
}

/// The bytes a token stands for; none if some character is outside the alphabet.
pub(crate) fn bytes(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte).collect()
}

fn bytes_by_character() -> [Option<u8>; END] {
    let mut table = [None; END];
    let mut stand_in = FIRST_STAND_IN;
    for byte in 0..=u8::MAX {
        let character = if stands_for_itself(byte) {
            u32::from(byte)
        } else {
            stand_in += 1;
            stand_in - 1
        };
        table[character as usize] = Some(byte);
    }
    table
}

fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let mut found: Vec<u8> = (0..u32::try_from(END).unwrap())
            .filter_map(|character| byte(char::from_u32(character).unwrap()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, (0..=u8::MAX).collect::<Vec<_>>());
        assert_eq!(bytes("Ġ!Ċé"), Some(vec![b' ', b'!', b'\n', 0xE9]));
        assert_eq!(bytes("Ġ▁"), None);
    }
}
