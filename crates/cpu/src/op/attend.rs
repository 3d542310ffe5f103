//! Attention: heads made ready a task per row, keys and values kept a task per head and page, then a task for each
//! key/value head and a few rows.

use std::marker::PhantomData;

use dewdrop_backend::state::{AttentionState, PAGE};
use dewdrop_backend::{Attention, KvType, Register};
use half::f16;

use crate::body::attend::{Attend, Gate, HeadPage, Keep, Kept, Pages, Query};
use crate::body::norm::Norm;
use crate::body::rope::Turn;
use crate::disjoint::Disjoint;
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
        let (queries, keys) = self.make_ready(spec, heads, inputs);
        let kept = self
            .by_sequence
            .keys()
            .next()
            .map(|id| self.sequences.get(*id).attention(state.into()).kv_type());
        let mut values = self.registers.take_spare(out);
        match kept {
            Some(KvType::F32) => {
                self.keep::<f32>(spec, &keys, inputs.v, state);
                self.attend_rows::<f32>(spec, &queries, state, &mut values);
            }
            Some(KvType::F16) => {
                self.keep::<f16>(spec, &keys, inputs.v, state);
                self.attend_rows::<f16>(spec, &queries, state, &mut values);
            }
            None => {}
        }
        if spec.gated {
            self.gate(spec, inputs.q, &mut values);
        }
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

    /// Query heads normed, turned and scaled, and key heads normed and turned, of all rows.
    fn make_ready(&mut self, spec: &Attention, heads: Heads<'_>, inputs: Inputs) -> (Vec<f32>, Vec<f32>) {
        let (width, kv_width) = (spec.n_heads * spec.head_dim, spec.n_kv_heads * spec.head_dim);
        let n_rows = self.rows.len();
        let (mut queries, mut keys) = (vec![0.0; n_rows * width], vec![0.0; n_rows * kv_width]);
        let (to_queries, to_keys) = (Disjoint::new(&mut queries), Disjoint::new(&mut keys));
        let (q, k) = (self.registers.get(inputs.q), self.registers.get(inputs.k));
        let rope = spec.rope.map(|rope| &self.ropes[usize::from(rope)]);
        let (isa, rows, dim) = (self.isa, &self.rows, spec.head_dim);
        let prepare = |weight: Option<&[f32]>, x: &[f32], position: usize, out: &mut [f32]| {
            match weight {
                Some(_) => isa.run(Norm { x, weight, eps: spec.norm_eps, old: None, out }),
                None => out.copy_from_slice(x),
            }
            if let Some(rope) = rope {
                isa.run(Turn { rope, head: out, position });
            }
        };
        self.pool.run(n_rows, &|_, row| {
            let position = rows[row].position;
            // SAFETY: a row's queries and keys are its task's alone.
            let (queries, keys) = unsafe {
                (
                    to_queries.part(row * width..(row + 1) * width),
                    to_keys.part(row * kv_width..(row + 1) * kv_width),
                )
            };
            let q_width = q.len() / n_rows;
            let of_head = q_width / spec.n_heads;
            for (x, out) in
                q[row * q_width..][..q_width].chunks_exact(of_head).zip(queries.chunks_exact_mut(dim))
            {
                prepare(heads.q_norm, &x[..dim], position, out);
                out.iter_mut().for_each(|q| *q *= spec.scale);
            }
            let k = &k[row * kv_width..][..kv_width];
            for (x, out) in k.chunks_exact(dim).zip(keys.chunks_exact_mut(dim)) {
                prepare(heads.k_norm, x, position, out);
            }
        });
        (queries, keys)
    }

    /// Writes the rows' keys and values to their sequences' pages.
    fn keep<E: Kept>(&mut self, spec: &Attention, keys: &[f32], values: Register, state: u16) {
        let (dim, width) = (spec.head_dim, spec.n_kv_heads * spec.head_dim);
        let (isa, rows, values) = (self.isa, &self.rows, self.registers.get(values));
        for (id, of_sequence) in &self.by_sequence {
            let attention = self.sequences.get_mut(*id).attention_mut(state.into());
            for of_page in of_sequence.chunk_by(|&a, &b| rows[a].position / PAGE == rows[b].position / PAGE) {
                let page = attention.page_mut::<E>(rows[of_page[0]].position / PAGE);
                let (page_keys, page_values) = page.keys_and_values_mut();
                let (page_keys, page_values) = (Disjoint::new(page_keys), Disjoint::new(page_values));
                let task = |head: usize| {
                    let of_head = head * dim * PAGE..(head + 1) * dim * PAGE;
                    for &row in of_page {
                        let at = row * width + head * dim..row * width + (head + 1) * dim;
                        // SAFETY: a head's part of the page is its task's alone.
                        let (keys_out, values_out) =
                            unsafe { (page_keys.part(of_head.clone()), page_values.part(of_head.clone())) };
                        isa.run(Keep {
                            key: &keys[at.clone()],
                            value: &values[at],
                            index: rows[row].position % PAGE,
                            keys: keys_out,
                            values: values_out,
                        });
                    }
                };
                // A row or two are written faster than a task is handed over.
                match of_page.len() {
                    0..4 => (0..spec.n_kv_heads).for_each(task),
                    _ => self.pool.run(spec.n_kv_heads, &|_, head| task(head)),
                }
            }
        }
    }

    fn attend_rows<E: Kept>(&mut self, spec: &Attention, queries: &[f32], state: u16, out: &mut [f32]) {
        let (isa, dim, n_kv_heads) = (self.isa, spec.head_dim, spec.n_kv_heads);
        let per_head = spec.n_heads / n_kv_heads * dim;
        let target = Disjoint::new(out);
        let (rows, sequences) = (&self.rows, &self.sequences);
        let blocks: Vec<&[usize]> =
            self.by_sequence.values().flat_map(|rows| rows.chunks(ROWS_TOGETHER)).collect();
        self.pool.run(blocks.len() * n_kv_heads, &|_, task| {
            let (block, head) = (blocks[task / n_kv_heads], task % n_kv_heads);
            let attention = sequences.get(rows[block[0]].sequence).attention(state.into());
            let mut of_block = Vec::with_capacity(block.len() * per_head / dim);
            for &row in block {
                let at = (row * n_kv_heads + head) * per_head..(row * n_kv_heads + head + 1) * per_head;
                let end = rows[row].position + 1;
                let sees = spec.window.map_or(0, |window| end.saturating_sub(window))..end;
                // SAFETY: a row's heads that share a key/value head are their task's alone.
                let out = unsafe { target.part(at.clone()) };
                let pairs = queries[at].chunks_exact(dim).zip(out.chunks_exact_mut(dim));
                of_block.extend(pairs.map(|(q, out)| Query { q, sees: sees.clone(), out }));
            }
            let pages = PagesOf { attention, head, element: PhantomData::<E> };
            isa.run(Attend { queries: &mut of_block, pages });
        });
    }

    /// Multiplies heads by the sigmoids of the gates that follow each query head.
    fn gate(&mut self, spec: &Attention, q: Register, values: &mut [f32]) {
        let (isa, dim, width) = (self.isa, spec.head_dim, spec.n_heads * spec.head_dim);
        let (q, target) = (self.registers.get(q), Disjoint::new(values));
        self.pool.run(self.rows.len(), &|_, row| {
            // SAFETY: a row of the target is its task's alone.
            let values = unsafe { target.part(row * width..(row + 1) * width) };
            let heads = q[row * 2 * width..][..2 * width].chunks_exact(2 * dim);
            for (head, values) in heads.zip(values.chunks_exact_mut(dim)) {
                isa.run(Gate { gates: &head[dim..], values });
            }
        });
    }
}

/// Rows of a task: they share what they load of keys and values.
const ROWS_TOGETHER: usize = 8;

/// Pages of a key/value head.
struct PagesOf<'a, E> {
    attention: &'a AttentionState,
    head: usize,
    element: PhantomData<E>,
}

impl<E: Kept> Pages for PagesOf<'_, E> {
    type Element = E;

    fn page(&self, index: usize) -> HeadPage<'_, E> {
        let page = self.attention.page::<E>(index);
        HeadPage { keys: page.head_keys(self.head), values: page.head_values(self.head) }
    }
}
