//! How fast a plan will run: the machine's measured speeds, and what they make of it.

use std::collections::BTreeMap;

use dewdrop_backend::Op;
use dewdrop_store::IN_FLIGHT;

use super::Plan;

/// What a machine can do with some threads, measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Speeds {
    /// Bytes per second of direct reads.
    pub disk: f64,
    /// The same while all threads multiply one row, which takes from memory what reads bring.
    pub busy_disk: f64,
    /// By the name of the weights' type.
    pub kernels: BTreeMap<String, KernelSpeed>,
}

/// How fast rows are multiplied with weights of a type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelSpeed {
    /// Bytes of weights per second, one row, weights as they lie in the file, beside the reads of others.
    pub streamed: f64,
    /// The same for weights that stay, laid out as kernels like them.
    pub resident: f64,
    /// Products of a weight and an input per second, many rows.
    pub products: f64,
}

/// What speeds make of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Seconds that one token computes.
    pub compute: f64,
    /// Seconds that its weights take to arrive, if nobody computes.
    pub read: f64,
    /// Seconds that they take longer because somebody does.
    pub slowed: f64,
    /// Seconds that it waits for its row of the embedding table, which comes after what is under way.
    pub row: f64,
    /// Seconds that weights which stay take to arrive, once.
    pub load: f64,
    /// Seconds of the passes over a prompt.
    pub prompt: f64,
}

impl Prediction {
    /// Of a plan, with a prompt of `n_prompt` tokens.
    pub fn new(plan: &Plan, speeds: &Speeds, n_prompt: usize) -> Self {
        let read = plan.streamed as f64 / speeds.disk;
        let compute = plan.compute(speeds, 1);
        let slowed = read.min(compute) * (1.0 - speeds.busy_disk / speeds.disk).max(0.0);
        let row = plan.under_way_before_rows() as f64 / speeds.disk;
        let chunks = (0..n_prompt).step_by(plan.chunk).map(|start| plan.chunk.min(n_prompt - start));
        let load = plan.resident as f64 / speeds.disk;
        let prompt = chunks.map(|n_rows| (row + plan.compute(speeds, n_rows)).max(read)).sum();
        Prediction { compute, read, slowed, row, load, prompt }
    }

    /// Seconds from the start to the first token after the prompt.
    pub fn first_token(&self) -> f64 {
        self.load + self.prompt
    }

    /// Tokens per second once the prompt is read.
    pub fn tokens_per_second(&self) -> f64 {
        1.0 / (self.row + self.compute).max(self.read + self.slowed)
    }
}

impl Plan {
    /// Bytes that are read before a pass's rows of the embedding table: all slots fill meanwhile but the one in use, of which
    /// the disk has only so much at a time.
    fn under_way_before_rows(&self) -> u64 {
        let (n_slots, slot_bytes) = self.slots;
        let filling = n_slots.saturating_sub(1) as u64 * slot_bytes;
        if self.weights.rows == 0 { 0 } else { filling.min(IN_FLIGHT as u64) }
    }

    /// Seconds that a pass over `n_rows` computes.
    fn compute(&self, speeds: &Speeds, n_rows: usize) -> f64 {
        let sections = self.weights.program.sections.iter().zip(&*self.weights.sources);
        let places = &self.weights.placement.places;
        let mut seconds = 0.0;
        for ((section, sources), place) in sections.zip(places) {
            let is_resident = *place == dewdrop_store::Place::Pinned;
            for op in &section.ops {
                // The head is for the row that wants logits.
                let Some(slot) = op.matrix() else { continue };
                let n_rows = if matches!(op, Op::Unembed { .. }) { 1 } else { n_rows };
                let info = &sources[usize::from(slot.0)].info;
                let Some(speed) = speeds.kernels.get(info.block_type.block().name) else { continue };
                let once = info.len as f64 / if is_resident { speed.resident } else { speed.streamed };
                let products = info.n_weights() as f64 * n_rows as f64 / speed.products;
                seconds += if n_rows == 1 { once } else { products.max(once) };
            }
        }
        seconds
    }
}
