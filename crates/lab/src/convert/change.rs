//! How values change from a Hugging Face folder to a GGUF file.
//!
//! Two kinds of change: other numbers in small tensors (norms from zero, logarithms of decays), which the program's claim
//! already asks for, and another order. Rows of queries and keys move where the GGUF architecture turns adjacent
//! dimensions; value heads of the delta rule move from groups that share a key head to tiles.

use dewdrop_backend::{DeltaRule, Pairing, Transform};
use dewdrop_model::{Attention, Descriptor, Family, Mixer};

use super::ConvertError;

/// What happens to a tensor's values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// For each row of the output the row of the source; none: the same.
    pub(super) rows: Option<Vec<usize>>,
    /// The same for the columns of every row.
    pub(super) columns: Option<Vec<usize>>,
    /// Other numbers.
    pub(super) transform: Transform,
}

impl Change {
    /// Nothing happens.
    pub(super) const NONE: Change = Change { rows: None, columns: None, transform: Transform::None };

    pub(super) fn apply_to_values(&self, values: &mut [f32]) {
        match self.transform {
            Transform::None => {}
            Transform::AddOne => values.iter_mut().for_each(|value| *value += 1.0),
            Transform::NegExp => {
                values.iter_mut().for_each(|value| *value = -libm::exp(f64::from(*value)) as f32)
            }
        }
    }
}

/// What happens to the tensor that plays `role` in a layer with this mixer.
pub(super) fn of(
    model: &Descriptor,
    mixer: &Mixer,
    role: &str,
    transform: Transform,
) -> Result<Change, ConvertError> {
    let order = match mixer {
        Mixer::Attention(attention) => attention_order(model, attention, role)?,
        Mixer::DeltaRule(spec) => delta_rule_order(spec, role),
        Mixer::ShortConv { .. } => None,
    };
    // A vector is one row.
    let along_columns = role == "ssm_out.weight" || role == "ssm_a" || role.ends_with(".bias");
    let (rows, columns) = if along_columns { (None, order) } else { (order, None) };
    Ok(Change { rows, columns, transform })
}

fn attention_order(
    model: &Descriptor,
    attention: &Attention,
    role: &str,
) -> Result<Option<Vec<usize>>, ConvertError> {
    let n_heads = match role {
        "attn_q.weight" | "attn_q.bias" => attention.n_heads,
        "attn_k.weight" | "attn_k.bias" => attention.n_kv_heads,
        _ => return Ok(None),
    };
    let family = Family::named(model.family).expect("descriptors are made by families of the table");
    if family.gguf_pairing == Pairing::Halves {
        return Ok(None);
    }
    let n_turning = model.rope_laws.first().map_or(0, |law| law.n_turning);
    if n_turning != attention.head_dim || attention.gated {
        let what = format!(
            "a rope over {n_turning} of {} dimensions in family {}",
            attention.head_dim, model.family
        );
        return Err(ConvertError::Unspeakable { what });
    }
    Ok(Some(interleaved(n_heads, attention.head_dim)))
}

/// Per head, rows `2i` and `2i + 1` come from `i` and `i + d/2`.
fn interleaved(n_heads: usize, head_dim: usize) -> Vec<usize> {
    let of_head = |head: usize| {
        (0..head_dim).map(move |row| head * head_dim + row / 2 + if row % 2 == 0 { 0 } else { head_dim / 2 })
    };
    (0..n_heads).flat_map(of_head).collect()
}

fn delta_rule_order(spec: &DeltaRule, role: &str) -> Option<Vec<usize>> {
    if spec.n_key_heads == spec.n_value_heads {
        return None;
    }
    let n_before = 2 * spec.n_key_heads * spec.key_dim;
    match role {
        "attn_qkv.weight" | "ssm_conv1d.weight" => Some(tiled(spec, n_before, spec.value_dim)),
        "attn_gate.weight" | "ssm_out.weight" => Some(tiled(spec, 0, spec.value_dim)),
        "ssm_alpha.weight" | "ssm_beta.weight" | "ssm_a" | "ssm_dt.bias" => Some(tiled(spec, 0, 1)),
        _ => None,
    }
}

/// After `n_before` that stay, value head `g * shared + j` of the source becomes head `j * n_key_heads + g`.
fn tiled(spec: &DeltaRule, n_before: usize, per_head: usize) -> Vec<usize> {
    let shared = spec.n_value_heads / spec.n_key_heads;
    let source = |head: usize| head % spec.n_key_heads * shared + head / spec.n_key_heads;
    let of_head = |head: usize| (0..per_head).map(move |i| n_before + source(head) * per_head + i);
    (0..n_before).chain((0..spec.n_value_heads).flat_map(of_head)).collect()
}

#[cfg(test)]
mod tests {
    use dewdrop_backend::HeadOrder;

    use super::*;

    #[test]
    fn halves_become_pairs() {
        assert_eq!(interleaved(2, 6), [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
    }

    #[test]
    fn groups_become_tiles() {
        let spec = DeltaRule {
            n_key_heads: 2,
            n_value_heads: 6,
            key_dim: 1,
            value_dim: 2,
            kernel: 4,
            norm_eps: 1e-6,
            order: HeadOrder::Grouped,
        };
        assert_eq!(tiled(&spec, 0, 1), [0, 3, 1, 4, 2, 5]);
        assert_eq!(tiled(&spec, 4, 2), [0, 1, 2, 3, 4, 5, 10, 11, 6, 7, 12, 13, 8, 9, 14, 15]);
    }
}
