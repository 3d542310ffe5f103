//! What a pass cannot do without: bytes to be read and multiply-adds to be made.

use std::ops::AddAssign;

use dewdrop::{KvTypes, Model};
use dewdrop_backend::{Op, StateSpec, WeightSlot};
use dewdrop_format::BlockType;
use dewdrop_model::Claim;

/// Least work of a pass, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes read: each weight once, keys and values that are attended to, recurrent state.
    pub bytes: u64,
    /// Multiply-adds of linear layers with quantized weights.
    pub integers: u64,
    /// Multiply-adds of linear layers with BF16 weights.
    pub bf16: u64,
    /// Multiply-adds of linear layers with F16 and F32 weights.
    pub floats: u64,
}

/// The rows of a pass: those of one sequence from a position on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) n: usize,
    pub(super) position: usize,
    /// How many want logits.
    pub(super) n_logits: usize,
}

impl Work {
    /// Of one pass.
    pub(super) fn of_pass(model: &Model, kv: KvTypes, rows: Rows) -> Work {
        let mut work = Work::default();
        for (section, claims) in model.program.sections.iter().zip(&model.claims.sections) {
            for op in &section.ops {
                work.add_op(op, claims, rows);
            }
        }
        work.bytes += model.program.states.iter().map(|state| state_bytes(state, kv, rows)).sum::<u64>();
        work
    }

    fn add_op(&mut self, op: &Op, claims: &[Claim], rows: Rows) {
        let claim = |slot: &WeightSlot| &claims[usize::from(slot.0)];
        match op {
            Op::Embed { table, .. } => {
                let claim = claim(table);
                self.bytes += claim.info.len / claim.n_out as u64 * rows.n as u64;
            }
            Op::Linear { weight, .. } => self.add_product(claim(weight), rows.n),
            Op::Unembed { weight, .. } if rows.n_logits > 0 => {
                self.add_product(claim(weight), rows.n_logits);
            }
            // Vectors and taps are too small to count.
            _ => {}
        }
    }

    fn add_product(&mut self, claim: &Claim, n_rows: usize) {
        self.bytes += claim.info.len;
        let n = (claim.n_out * claim.n_in * n_rows) as u64;
        match claim.info.block_type {
            BlockType::BF16 => self.bf16 += n,
            BlockType::F16 | BlockType::F32 => self.floats += n,
            _ => self.integers += n,
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        self.bytes += other.bytes;
        self.integers += other.integers;
        self.bf16 += other.bf16;
        self.floats += other.floats;
    }
}

/// Bytes of state that a pass reads at least once.
fn state_bytes(state: &StateSpec, kv: KvTypes, rows: Rows) -> u64 {
    let bytes = match state {
        StateSpec::Attention { n_kv_heads, head_dim, window } => {
            let end = rows.position + rows.n;
            let seen = window.map_or(end, |window| end.min(window + rows.n - 1));
            seen * n_kv_heads * kv.bytes_for(*head_dim)
        }
        StateSpec::Recurrent { channels, history, n_heads, key_dim, value_dim } => {
            4 * (channels * history + n_heads * key_dim * value_dim)
        }
    };
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::super::{Mixture, Shape, Synthetic};
    use super::*;
    use dewdrop::KvType;

    fn model(mixture: &str) -> Model {
        let shape = Shape::named("gemma3-270m").unwrap();
        let synthetic = Synthetic::new(shape, Mixture::named(mixture).unwrap()).unwrap();
        dewdrop::recognize(&synthetic.in_memory(2).unwrap()).unwrap()
    }

    #[test]
    fn one_row_reads_every_matrix_once() {
        let model = model("Q8_0");
        let rows = Rows { n: 1, position: 0, n_logits: 1 };
        let work = Work::of_pass(&model, KvType::F16.into(), rows);
        // 268 M weights of 8.5 bits, all multiplied once; norms are not counted.
        let matrices = 268_098_176 - (18 * (4 * 640 + 2 * 256) + 640);
        assert_eq!(work.integers, matrices);
        let embedding_row = 640 / 32 * 34;
        let keys_and_values = 18 * 2 * 256 * 2;
        assert_eq!(work.bytes, matrices / 32 * 34 + embedding_row + keys_and_values);
    }

    #[test]
    fn without_logits_the_head_costs_nothing() {
        let model = model("BF16");
        let with = Work::of_pass(&model, KvType::F16.into(), Rows { n: 8, position: 0, n_logits: 1 });
        let without = Work::of_pass(&model, KvType::F16.into(), Rows { n: 8, position: 0, n_logits: 0 });
        assert_eq!(with.bf16 - without.bf16, 262_144 * 640);
        assert_eq!((with.integers, with.floats), (0, 0));
    }

    #[test]
    fn windows_bound_what_is_read_at_depth() {
        let state = StateSpec::Attention { n_kv_heads: 1, head_dim: 64, window: Some(512) };
        let bytes = |position| state_bytes(&state, KvType::F16.into(), Rows { n: 1, position, n_logits: 1 });
        assert_eq!((bytes(0), bytes(4096)), (256, 512 * 256));
    }
}
