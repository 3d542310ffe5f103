//! A token's row of the embedding table. `docs/arithmetic.md`, "Embed".

use crate::Weight;

/// Row `token` of `table` (`[n_vocab, width]`), decoded and multiplied by `scale`.
pub fn embed(table: &Weight, token: usize, scale: f32) -> Vec<f32> {
    assert!(token < table.n_out, "token {token} of a table of {}", table.n_out);
    let mut row = super::linear::decode_channel(table, token);
    if scale != 1.0 {
        for value in &mut row {
            *value *= scale;
        }
    }
    row
}
