//! Keys and values to their sequences' pages.

use dewdrop_backend::Attention;
use dewdrop_backend::state::{HeadMut, Layout, PAGE};

use super::{Heads, Inputs, make_ready};
use crate::body::attend::Keep;
use crate::disjoint::Disjoint;
use crate::pass::Pass;

/// Fewer rows than these have their keys and values kept faster than tasks are handed over.
const FEW_ROWS: usize = 4;
impl Pass {
    /// Writes the rows' keys, normed and turned, and values to their sequences' pages.
    pub(super) fn keep(&mut self, spec: &Attention, heads: Heads<'_>, inputs: Inputs, state: u16) {
        let (dim, width) = (spec.head_dim, spec.n_kv_heads * spec.head_dim);
        let (isa, rows) = (self.isa, &self.rows);
        let (k, v) = (self.registers.get(inputs.k), self.registers.get(inputs.v));
        let rope = spec.rope.map(|rope| &self.ropes[usize::from(rope)]);
        let mut pages: Vec<OfPage<'_, '_>> = Vec::new();
        for (id, sequence) in self.sequences.all_mut() {
            let Some(of_sequence) = self.by_sequence.get(&id) else { continue };
            let page_of = |row: usize| rows[row].position / PAGE;
            let (Some(&first), Some(&last)) = (of_sequence.first(), of_sequence.last()) else { continue };
            let attention = sequence.attention_mut(state.into());
            let of_pages = of_sequence.chunk_by(|&a, &b| page_of(a) == page_of(b));
            for (rows, page) in of_pages.zip(attention.pages_mut(page_of(first)..page_of(last) + 1)) {
                let heads = page.heads_mut().enumerate();
                pages.extend(heads.map(|(head, (keys, values))| OfPage { rows, head, keys, values }));
            }
        }
        let n_tasks = pages.len();
        let pages = Disjoint::new(&mut pages);
        let task = |task: usize| {
            // SAFETY: a page's head is its task's alone.
            let [OfPage { rows: of_page, head, keys, values }] = (unsafe { pages.part(task..task + 1) })
            else {
                unreachable!("one was asked for")
            };
            let mut ready = vec![0.0; dim];
            for &row in *of_page {
                let (at, position) = (row * width + *head * dim, rows[row].position);
                make_ready(isa, heads.k_norm, spec.norm_eps, rope, position, &k[at..][..dim], &mut ready);
                let index = position % PAGE;
                isa.run(Keep { x: &ready, layout: Layout::Keys, index, to: keys });
                isa.run(Keep { x: &v[at..][..dim], layout: Layout::Values, index, to: values });
            }
        };
        match rows.len() {
            0..FEW_ROWS => (0..n_tasks).for_each(task),
            _ => self.pool.run(n_tasks, &|_, i| task(i)),
        }
    }
}

/// One key/value head of a page, and the rows to be written to it.
struct OfPage<'a, 'p> {
    rows: &'a [usize],
    head: usize,
    keys: HeadMut<'p>,
    values: HeadMut<'p>,
}
