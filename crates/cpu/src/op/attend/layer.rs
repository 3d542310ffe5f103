//! One layer's attention once its keys and values are kept.

use std::ops::Range;

use dewdrop_backend::rope::RopeTable;
use dewdrop_backend::state::{AttentionState, PAGE, Sequences};
use dewdrop_backend::{Attention, KV_GROUP, KvType, Row};

use super::{TASKS_PER_THREAD, by_pages, make_ready};
use crate::body::attend::{
    Attend, Finish, Gathered, Group, Integers, Quantize, Query, SPREAD, ToWords, Words,
};
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::pool::Pool;

/// Blocks that go through pages together, at most.
const SIDE_BY_SIDE: usize = 4;
/// Tasks for each thread, some much longer than others, that are enough for all to end at about the same time.
const UNEQUAL_TASKS_PER_THREAD: usize = 8;

/// Query heads of some rows of a sequence that share a key/value head: at most
/// [`TOGETHER`](crate::body::attend::TOGETHER).
pub(super) struct Block<'a> {
    pub(super) rows: &'a [usize],
    pub(super) head: usize,
    /// Which ones of the query heads that share it.
    pub(super) of_group: Range<usize>,
}

/// One layer's attention, keys and values being kept.
pub(super) struct Layer<'a> {
    pub(super) isa: Isa,
    pub(super) spec: &'a Attention,
    pub(super) q_norm: Option<&'a [f32]>,
    pub(super) rope: Option<&'a RopeTable>,
    pub(super) rows: &'a [Row],
    /// `[n_rows, n_heads, head_dim]`, or `[n_rows, n_heads, 2, head_dim]` with gates.
    pub(super) q: &'a [f32],
    pub(super) sequences: &'a Sequences,
    pub(super) state: usize,
    /// `[n_rows, n_heads, head_dim]`.
    pub(super) out: Disjoint<'a, f32>,
}

impl Block<'_> {
    pub(super) fn n_queries(&self) -> usize {
        self.rows.len() * self.of_group.len()
    }
}

impl Layer<'_> {
    pub(super) fn run(&self, pool: &mut Pool, blocks: &[Block<'_>]) {
        if pool.threads() > 1 && blocks.len() < TASKS_PER_THREAD * pool.threads() {
            by_pages::run(self, pool, blocks);
        } else {
            let n = (blocks.len() / (UNEQUAL_TASKS_PER_THREAD * pool.threads())).clamp(1, SIDE_BY_SIDE);
            let sequence = |block: &Block<'_>| self.rows[block.rows[0]].sequence;
            let together = |a: &Block<'_>, b: &Block<'_>| a.head == b.head && sequence(a) == sequence(b);
            let tasks: Vec<_> = blocks.chunk_by(together).flat_map(|own| own.chunks(n)).collect();
            // SAFETY: a block's heads are its task's alone.
            pool.run(tasks.len(), &|_, i| unsafe { self.side_by_side(tasks[i]) });
        }
    }

    /// Attention of some blocks that have a sequence and a key/value head in common.
    ///
    /// # Safety
    /// The blocks' heads are the present task's alone.
    unsafe fn side_by_side(&self, blocks: &[Block<'_>]) {
        let ready: Vec<_> = blocks.iter().map(|block| self.ready(block)).collect();
        let group = |(block, ready)| {
            // SAFETY: by the caller.
            let queries = unsafe { self.queries(block, ready) };
            Group { queries, gathered: Gathered::NOTHING }
        };
        let mut groups: Vec<_> = blocks.iter().zip(&ready).map(group).collect();
        let pages = blocks.iter().map(|block| self.pages(block));
        let pages = pages.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or_default();
        self.isa.run(self.attention(&blocks[0], &mut groups, pages));
        for (block, Group { mut queries, gathered }) in blocks.iter().zip(groups) {
            self.finish(block, &gathered, &mut queries);
        }
    }

    /// Attention of groups that have a sequence and a key/value head in common with a block.
    pub(super) fn attention<'a, 'q>(
        &'a self,
        block: &Block<'_>,
        groups: &'a mut [Group<'q>],
        pages: Range<usize>,
    ) -> Attend<'a, 'q> {
        Attend { groups, state: self.attention_state(block), head: block.head, pages }
    }

    fn attention_state(&self, block: &Block<'_>) -> &AttentionState {
        self.sequences.get(self.rows[block.rows[0]].sequence).attention(self.state)
    }

    /// Positions whose keys a row sees.
    fn sees(&self, row: usize) -> Range<usize> {
        let end = self.rows[row].position + 1;
        self.spec.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// Pages that a block's rows, which ascend, see something of.
    pub(super) fn pages(&self, block: &Block<'_>) -> Range<usize> {
        let last = block.rows.last().copied().unwrap_or(block.rows[0]);
        self.sees(block.rows[0]).start / PAGE..self.sees(last).end.div_ceil(PAGE)
    }

    /// Rows and heads of a block, in the order of its queries.
    fn heads<'b>(&self, block: &Block<'b>) -> impl Iterator<Item = (usize, usize)> + use<'b> {
        let group = self.spec.n_heads / self.spec.n_kv_heads;
        let heads = block.head * group + block.of_group.start..block.head * group + block.of_group.end;
        block.rows.iter().flat_map(move |&row| heads.clone().map(move |head| (row, head)))
    }

    /// A block's query heads normed, turned and scaled, as integers too where keys are.
    pub(super) fn ready(&self, block: &Block<'_>) -> Ready {
        let (spec, dim) = (self.spec, self.spec.head_dim);
        let of_head = if spec.gated { 2 * dim } else { dim };
        let mut ready = Ready { dim, ..Ready::default() };
        ready.floats.resize(block.n_queries() * (dim + SPREAD), 0.0);
        for ((row, head), out) in self.heads(block).zip(ready.floats.chunks_exact_mut(dim + SPREAD)) {
            let x = &self.q[(row * spec.n_heads + head) * of_head..][..dim];
            let (out, position) = (&mut out[..dim], self.rows[row].position);
            make_ready(self.isa, self.q_norm, spec.norm_eps, self.rope, position, x, out);
            out.iter_mut().for_each(|q| *q *= spec.scale);
        }
        match self.attention_state(block).types().keys {
            KvType::F32 | KvType::F16 | KvType::BF16 => {}
            KvType::I16 => ready.fill_words(self.isa),
            KvType::Q8_0 => ready.quantize(self.isa, block.n_queries()),
        }
        ready
    }

    /// A block's queries with their places in the output.
    ///
    /// # Safety
    /// The block's heads are the present task's alone.
    pub(super) unsafe fn queries<'a>(&'a self, block: &Block<'_>, ready: &'a Ready) -> Vec<Query<'a>> {
        let dim = self.spec.head_dim;
        let outs = self.heads(block).map(|(row, head)| {
            let at = (row * self.spec.n_heads + head) * dim;
            // SAFETY: by the caller.
            unsafe { self.out.part(at..at + dim) }
        });
        self.queries_into(block, ready, outs)
    }

    pub(super) fn queries_into<'a>(
        &self,
        block: &Block<'_>,
        ready: &'a Ready,
        outs: impl Iterator<Item = &'a mut [f32]>,
    ) -> Vec<Query<'a>> {
        let heads = self.heads(block).zip(outs).enumerate();
        heads.map(|(n, ((row, _), out))| ready.query(n, self.sees(row), out)).collect()
    }

    /// Divides by sums of weights, and applies gates.
    pub(super) fn finish(&self, block: &Block<'_>, gathered: &Gathered, queries: &mut [Query<'_>]) {
        let (spec, dim) = (self.spec, self.spec.head_dim);
        for (((row, head), query), &sum) in self.heads(block).zip(queries).zip(&gathered.sum) {
            let gates = spec.gated.then(|| &self.q[(row * spec.n_heads + head) * 2 * dim + dim..][..dim]);
            self.isa.run(Finish { sum, gates, out: query.out });
        }
    }
}

/// A block's query heads, ready to meet keys.
#[derive(Default)]
pub(super) struct Ready {
    dim: usize,
    /// `[n_queries, dim + SPREAD]`.
    floats: Vec<f32>,
    /// Where keys are integers of 8 bits: four each, `[n_queries, dim / 4 + SPREAD]`; scales and sums of groups of 32.
    q: Vec<[i8; 4]>,
    scales: Vec<f32>,
    sums: Vec<i32>,
    /// Where they are integers of 16 bits: two each, `[n_queries, dim / 2 + SPREAD]`; a scale of each query.
    words: Vec<[i16; 2]>,
    word_scales: Vec<f32>,
}

impl Ready {
    fn quantize(&mut self, isa: Isa, n_queries: usize) {
        let (lots, groups) = (self.dim / 4 + SPREAD, self.dim / KV_GROUP);
        self.q.resize(n_queries * lots, [0; 4]);
        self.scales.resize(n_queries * groups, 0.0);
        self.sums.resize(n_queries * groups, 0);
        let rows = self.floats.chunks_exact(self.dim + SPREAD).zip(self.q.chunks_exact_mut(lots));
        let of_groups = self.scales.chunks_exact_mut(groups).zip(self.sums.chunks_exact_mut(groups));
        for ((x, q), (scales, sums)) in rows.zip(of_groups) {
            isa.run(Quantize { x: &x[..self.dim], q, scales, sums });
        }
    }

    fn fill_words(&mut self, isa: Isa) {
        let (dim, pairs) = (self.dim, self.dim / 2 + SPREAD);
        let heads = self.floats.chunks_exact(dim + SPREAD);
        self.words.resize(heads.len() * pairs, [0; 2]);
        let heads = heads.zip(self.words.chunks_exact_mut(pairs));
        self.word_scales.extend(heads.map(|(x, q)| isa.run(ToWords { x: &x[..dim], q })));
    }

    fn query<'a>(&'a self, n: usize, sees: Range<usize>, out: &'a mut [f32]) -> Query<'a> {
        let (lots, groups) = (self.dim / 4 + SPREAD, self.dim / KV_GROUP);
        let integers = match self.q.is_empty() {
            true => Integers::default(),
            false => Integers {
                q: &self.q[n * lots..][..self.dim / 4],
                scales: &self.scales[n * groups..][..groups],
                sums: &self.sums[n * groups..][..groups],
            },
        };
        let words = match self.words.is_empty() {
            true => Words::default(),
            false => Words {
                q: &self.words[n * (self.dim / 2 + SPREAD)..][..self.dim / 2],
                scale: self.word_scales[n],
            },
        };
        Query { floats: &self.floats[n * (self.dim + SPREAD)..][..self.dim], integers, words, sees, out }
    }
}
