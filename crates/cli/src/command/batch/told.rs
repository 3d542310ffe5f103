//! What a batch tells while it runs, and at its end.

use std::collections::BTreeMap;
use std::time::Instant;

use dewdrop::{Event, Streaming};

use super::input::Line;
use crate::output::note;
use crate::progress::Bar;
use crate::units;

/// A bar that moves with each token, and a line at the end.
pub(super) struct Told {
    bar: Bar,
    start: Instant,
    /// Most tokens that each line can come to, and all lines.
    most: BTreeMap<u64, usize>,
    total: usize,
    n_done: usize,
    /// Tokens of prompts, and generated ones.
    n_prompt: usize,
    n_generated: usize,
    /// Tokens that were computed, and those that lines which ended did not need.
    n_computed: usize,
    n_spared: usize,
}

impl Told {
    /// Of lines that are completed within a context.
    pub(super) fn new(lines: &[Line], context: usize) -> Self {
        let most: BTreeMap<_, _> =
            lines.iter().map(|line| (line.request.tag, line.context().min(context))).collect();
        let total = most.values().sum();
        let (n_done, n_prompt, n_generated, n_computed, n_spared) = Default::default();
        let (bar, start) = (Bar::new("batch"), Instant::now());
        Told { bar, start, most, total, n_done, n_prompt, n_generated, n_computed, n_spared }
    }

    /// Takes note.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Computed { prompt, generated } => {
                self.n_prompt += prompt;
                self.n_computed += prompt + generated;
            }
            Event::Completed(completion) => {
                self.n_done += 1;
                self.n_generated += completion.ids.len();
                // The last token is not computed; nothing is of a prompt that has no room.
                let n_computed = completion.ids.len().checked_sub(1).map_or(0, |n| n + completion.n_prompt);
                self.n_spared += self.most[&completion.tag].saturating_sub(n_computed);
            }
        }
        let done = self.n_computed + self.n_spared;
        self.bar.update(
            done as u64,
            self.total as u64,
            &format!("{} of {} done", self.n_done, self.most.len()),
        );
    }

    /// Says what came of it.
    pub(super) fn sum_up(self, streaming: Option<Streaming>) {
        let Told { bar, start, n_done, n_prompt, n_generated, .. } = self;
        drop(bar);
        let time = start.elapsed();
        let read =
            streaming.map(|streaming| format!(", {} read from disk", units::bytes(streaming.bytes_read)));
        note(&format!(
            "{} of {n_prompt} tokens, {} generated in {:.1} s: {:.1} tokens/s{}",
            units::plural(n_done, "prompt"),
            units::plural(n_generated, "token"),
            time.as_secs_f64(),
            units::per_second(n_generated, time).unwrap_or(0.0),
            read.unwrap_or_default(),
        ));
    }
}
