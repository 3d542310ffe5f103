//! Attention of few blocks of queries by more threads: each task takes some pages of a block, and what it gathers from each
//! waits until it is merged in order. Waves of pages bound what waits.

use std::ops::Range;

use super::TASKS_PER_THREAD;
use super::layer::{Block, Layer, Ready};
use crate::body::attend::{Gathered, Group, Merge};
use crate::disjoint::Disjoint;
use crate::pool::Pool;

/// Floats of weighted values that wait to be merged, about: a mebibyte.
const WAITING: usize = 1 << 18;

pub(super) fn run(layer: &Layer<'_>, pool: &mut Pool, blocks: &[Block<'_>]) {
    let mut parts = Part::all(layer, blocks);
    let floats_per_page = parts.iter().map(|part| part.width).sum::<usize>().max(1);
    // A page is a task for each part.
    let pages_for_all = (TASKS_PER_THREAD * pool.threads()).div_ceil(parts.len().max(1));
    let most = (WAITING / floats_per_page).max(pages_for_all);
    let start = parts.iter().map(|part| part.pages.start).min().unwrap_or(0);
    let end = parts.iter().map(|part| part.pages.end).max().unwrap_or(0);
    let n_pages = most.min(end - start);
    let mut values = vec![0.0; floats_per_page * n_pages];
    let mut gathered = vec![Gathered::NOTHING; parts.len() * n_pages];
    for first in (start..end).step_by(n_pages.max(1)) {
        let pages = first..end.min(first + n_pages);
        let wave =
            Wave { layer, pages, values: Disjoint::new(&mut values), gathered: Disjoint::new(&mut gathered) };
        wave.gather(pool, &parts);
        wave.merge(pool, &mut parts);
    }
    for part in &mut parts {
        // SAFETY: no task is running.
        let mut queries = unsafe { layer.queries(part.block, &part.ready) };
        layer.finish(part.block, &part.gathered, &mut queries);
    }
}

/// A block of queries, and what it has gathered so far.
struct Part<'a> {
    index: usize,
    block: &'a Block<'a>,
    ready: Ready,
    /// Those that its queries see something of.
    pages: Range<usize>,
    gathered: Gathered,
    /// Floats of its weighted values, and of those of all blocks before it.
    width: usize,
    before: usize,
}

impl<'a> Part<'a> {
    fn all(layer: &Layer<'_>, blocks: &'a [Block<'a>]) -> Vec<Self> {
        let mut before = 0;
        let part = |(index, block): (usize, &'a Block<'a>)| {
            let width = block.n_queries() * layer.spec.head_dim;
            before += width;
            Part {
                index,
                block,
                ready: layer.ready(block),
                pages: layer.pages(block),
                gathered: Gathered::NOTHING,
                width,
                before: before - width,
            }
        };
        blocks.iter().enumerate().map(part).collect()
    }
}

/// Some pages, and what is gathered from them.
struct Wave<'a> {
    layer: &'a Layer<'a>,
    pages: Range<usize>,
    /// For each block `[n_pages, n_queries, head_dim]`.
    values: Disjoint<'a, f32>,
    /// `[n_blocks, n_pages]`.
    gathered: Disjoint<'a, Gathered>,
}

impl<'a> Wave<'a> {
    /// Every block's queries over every page.
    fn gather(&self, pool: &mut Pool, parts: &[Part<'_>]) {
        let n_pages = self.pages.len();
        let runs_wanted = (2 * TASKS_PER_THREAD * pool.threads()).div_ceil(parts.len());
        let run = n_pages.div_ceil(runs_wanted).max(1);
        let n_runs = n_pages.div_ceil(run);
        pool.run(parts.len() * n_runs, &|_, task| {
            let (part, first) = (&parts[task / n_runs], task % n_runs * run);
            for page in first..n_pages.min(first + run) {
                // SAFETY: a block's page is its task's alone.
                let (values, gathered) = unsafe { self.place(part, page) };
                let outs = values.chunks_exact_mut(self.layer.spec.head_dim);
                let queries = self.layer.queries_into(part.block, &part.ready, outs);
                let mut groups = [Group { queries, gathered: Gathered::NOTHING }];
                let index = self.pages.start + page;
                let attend = self.layer.attention(part.block, &mut groups, index..index + 1);
                self.layer.isa.run(attend);
                *gathered = groups[0].gathered;
            }
        });
    }

    /// Merges what waits, page by page.
    fn merge(&self, pool: &mut Pool, parts: &mut [Part<'_>]) {
        let n_parts = parts.len();
        let parts = Disjoint::new(parts);
        pool.run(n_parts, &|_, i| {
            // SAFETY: a block is its task's alone, with its heads and what waits for it.
            unsafe {
                let part = &mut parts.part(i..i + 1)[0];
                let mut queries = self.layer.queries(part.block, &part.ready);
                for page in 0..self.pages.len() {
                    let (values, of_page) = self.place(part, page);
                    let gathered = &mut part.gathered;
                    self.layer.isa.run(Merge { gathered, of_page, values, queries: &mut queries });
                }
            }
        });
    }

    /// Where what a block gathers from a page waits.
    ///
    /// # Safety
    /// The block's page is the present task's alone.
    unsafe fn place(&self, part: &Part<'_>, page: usize) -> (&'a mut [f32], &'a mut Gathered) {
        let n_pages = self.pages.len();
        let (values, at) = (part.before * n_pages + page * part.width, part.index * n_pages + page);
        // SAFETY: by the caller.
        unsafe { (self.values.part(values..values + part.width), &mut self.gathered.part(at..at + 1)[0]) }
    }
}
