//! Attention: keys and values kept, a task for each page and key/value head; then a task for each key/value head and a
//! few rows. Where these are too few for the threads, pages are shared out as well, and merged in order.

mod by_pages;
mod keep;
mod layer;

use dewdrop_backend::rope::RopeTable;
use dewdrop_backend::{Attention, Register};

use self::layer::{Block, Layer};
use crate::body::attend::TOGETHER;
use crate::body::norm::Norm;
use crate::body::rope::Turn;
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::loaded::Loaded;
use crate::pass::Pass;

/// Registers that are read.
#[derive(Clone, Copy)]
pub(crate) struct Inputs {
    pub(crate) q: Register,
    pub(crate) k: Register,
    pub(crate) v: Register,
}

/// Weights of the head norms.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    q_norm: Option<&'a [f32]>,
    k_norm: Option<&'a [f32]>,
}

impl<'a> Heads<'a> {
    pub(crate) fn new(spec: &Attention, weights: &'a Loaded) -> Self {
        Heads { q_norm: weights.optional(spec.q_norm), k_norm: weights.optional(spec.k_norm) }
    }
}

/// Tasks for each thread that are enough for all to end at about the same time.
const TASKS_PER_THREAD: usize = 2;
impl Pass {
    /// Appends keys and values to attention state `state` and attends over it.
    pub(crate) fn attend(
        &mut self,
        spec: &Attention,
        heads: Heads<'_>,
        inputs: Inputs,
        out: Register,
        state: u16,
    ) {
        self.check(spec, inputs, out);
        self.keep(spec, heads, inputs, state);
        let mut values = self.registers.take_spare(out);
        let layer = Layer {
            isa: self.isa,
            spec,
            q_norm: heads.q_norm,
            rope: spec.rope.map(|rope| &self.ropes[usize::from(rope)]),
            rows: &self.rows,
            q: self.registers.get(inputs.q),
            sequences: &self.sequences,
            state: state.into(),
            out: Disjoint::new(&mut values),
        };
        let (group, n_kv_heads) = (spec.n_heads / spec.n_kv_heads, spec.n_kv_heads);
        let mut blocks = Vec::new();
        for of_sequence in self.by_sequence.values() {
            for head in 0..n_kv_heads {
                for rows in of_sequence.chunks((TOGETHER / group).max(1)) {
                    let of_group = (0..group).step_by(TOGETHER).map(|h| h..(h + TOGETHER).min(group));
                    blocks.extend(of_group.map(|of_group| Block { rows, head, of_group }));
                }
            }
        }
        layer.run(&mut self.pool, &blocks);
        self.registers.put(out, values);
    }

    fn check(&self, spec: &Attention, inputs: Inputs, out: Register) {
        let per_head = if spec.gated { 2 * spec.head_dim } else { spec.head_dim };
        let (width, kv_width) = (spec.n_heads * spec.head_dim, spec.n_kv_heads * spec.head_dim);
        let found = [inputs.q, inputs.k, inputs.v, out].map(|register| self.registers.width(register));
        assert_eq!(
            found,
            [spec.n_heads * per_head, kv_width, kv_width, width],
            "widths of attention's registers"
        );
        assert!(
            spec.n_heads.is_multiple_of(spec.n_kv_heads),
            "{} over {} heads",
            spec.n_heads,
            spec.n_kv_heads
        );
    }
}

/// A head normed and turned.
fn make_ready(
    isa: Isa,
    norm: Option<&[f32]>,
    eps: f32,
    rope: Option<&RopeTable>,
    position: usize,
    x: &[f32],
    out: &mut [f32],
) {
    match norm {
        Some(_) => isa.run(Norm { x, weight: norm, eps, old: None, out }),
        None => out.copy_from_slice(x),
    }
    if let Some(rope) = rope {
        isa.run(Turn { rope, head: out, position });
    }
}
