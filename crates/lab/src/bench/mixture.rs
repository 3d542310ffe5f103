//! Which type each tensor of a quantized model gets, as `llama-quantize` chooses.
//!
//! A name is a block type, or a block type of super-blocks with `_M`: `Q4_K_M`, `Q5_K_M`.
//!
//! | tensor | block type T | `_M` |
//! |---|---|---|
//! | head, or embedding table where it is the head too | Q6_K; T if that is Q8_0, F16, BF16 or F32 | the same |
//! | `attn_v` and `attn_qkv` (delta rule), `ffn_down` | T | Q6_K in the first and last eighth and in each third between, else T |
//! | norms, vectors, taps of convolutions | F32 | F32 |
//! | all else | T | T |
//!
//! Rows that blocks do not fill get the type of [`fallback`].

use dewdrop_format::BlockType;

use crate::convert::block_types::{fallback, file_type, is_small};

/// A named choice of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mixture {
    base: BlockType,
    is_medium: bool,
}

/// A matrix that is to get a type.
pub(super) struct Matrix<'a> {
    /// Its name in GGUF files, without the layer.
    pub(super) role: &'a str,
    /// How many tensors that are [counted](counted_as) as it come before it, and how many there are.
    pub(super) place: (usize, usize),
    /// Inputs of a channel.
    pub(super) row_len: usize,
    /// Whether it yields logits.
    pub(super) is_head: bool,
}

impl Mixture {
    /// The mixture of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        match name.strip_suffix("_M") {
            None => Some(Mixture { base: BlockType::from_name(&name)?, is_medium: false }),
            Some(base @ ("Q4_K" | "Q5_K")) => {
                Some(Mixture { base: BlockType::from_name(base)?, is_medium: true })
            }
            Some(_) => None,
        }
    }

    /// Its name.
    pub fn name(self) -> String {
        format!("{}{}", self.base, if self.is_medium { "_M" } else { "" })
    }

    /// `general.file_type` of a file with it: llama.cpp's `llama_ftype`.
    pub(super) fn file_type(self) -> u32 {
        // The plain types have the numbers of Q4_K_S and Q5_K_S; `_M` follows each.
        file_type(self.base) + u32::from(self.is_medium)
    }

    /// The type of a matrix.
    pub(super) fn block_type(self, matrix: &Matrix<'_>) -> BlockType {
        use BlockType::{BF16, F16, F32, Q6K, Q8_0};
        if is_small(matrix.role) {
            return F32;
        }
        let meant = match matrix.role {
            _ if matrix.is_head && !matches!(self.base, Q8_0 | F16 | BF16 | F32) => Q6K,
            "attn_v.weight" | "attn_qkv.weight" | "ffn_down.weight"
                if self.is_medium && has_more_bits(matrix.place) =>
            {
                Q6K
            }
            _ => self.base,
        };
        fallback(meant, matrix.row_len)
    }
}

/// The role by which tensors are counted: values, alone or with queries and keys, are one.
pub(super) fn counted_as(role: &str) -> &str {
    if role == "attn_qkv.weight" { "attn_v.weight" } else { role }
}

/// llama.cpp's `use_more_bits`.
fn has_more_bits((index, n): (usize, usize)) -> bool {
    let eighth = n / 8;
    index < eighth || index >= 7 * n / 8 || (index - eighth) % 3 == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_of(mixture: &str, role: &str, place: (usize, usize)) -> BlockType {
        let is_head = role == "token_embd.weight";
        let mixture = Mixture::named(mixture).unwrap();
        mixture.block_type(&Matrix { role, place, row_len: 1024, is_head })
    }

    #[test]
    fn names_are_those_of_files() {
        for name in ["Q4_K_M", "Q5_K_M", "Q8_0", "BF16", "IQ4_XS"] {
            assert_eq!(Mixture::named(&name.to_lowercase()).unwrap().name(), name);
        }
        for name in ["Q8_0_M", "Q9", ""] {
            assert_eq!(Mixture::named(name), None);
        }
    }

    #[test]
    fn half_of_the_sensitive_matrices_get_more_bits() {
        let n = (0..28).filter(|&i| type_of("Q4_K_M", "ffn_down.weight", (i, 28)) == BlockType::Q6K).count();
        assert_eq!(n, 14);
        assert_eq!(type_of("Q4_K_M", "ffn_up.weight", (0, 28)), BlockType::Q4K);
        assert_eq!(type_of("Q4_K", "attn_v.weight", (0, 28)), BlockType::Q4K);
    }

    #[test]
    fn the_head_gets_more_bits() {
        assert_eq!(type_of("Q4_0", "token_embd.weight", (0, 1)), BlockType::Q6K);
        assert_eq!(type_of("Q8_0", "token_embd.weight", (0, 1)), BlockType::Q8_0);
        assert_eq!(type_of("Q4_K_M", "ssm_conv1d.weight", (0, 1)), BlockType::F32);
    }
}
