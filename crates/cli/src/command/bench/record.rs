//! What was measured.

use std::sync::Arc;

use dewdrop::{Checkpoint, Plan};
use dewdrop_lab::bench::{Checked, Cost, Figure, Limits};

/// All that was measured.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// One for each number of threads.
    pub(super) limits: Vec<Limits>,
    pub(super) models: Vec<Measured>,
}

impl Records {
    /// Whether something was timed.
    pub(super) fn has_figures(&self) -> bool {
        self.models.iter().any(|model| !model.figures.is_empty() || !model.costs.is_empty())
    }
}

/// One model's figures.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) n_weights: u64,
    /// None until it was compared with the oracle.
    pub(super) checked: Option<Checked>,
    /// One for each number of threads, where a plan was followed.
    pub(super) plans: Vec<Timed<Arc<Plan>>>,
    pub(super) figures: Vec<Timed<Figure>>,
    pub(super) costs: Vec<Timed<Cost>>,
}

/// A measurement, and with how many threads.
#[derive(Debug)]
pub(super) struct Timed<T> {
    pub(super) threads: usize,
    pub(super) value: T,
}

impl Measured {
    /// A model without figures yet.
    pub(super) fn new(name: String, checkpoint: &Checkpoint) -> Self {
        Measured {
            name,
            bytes: checkpoint.total_bytes(),
            n_weights: checkpoint.n_weights(),
            checked: None,
            plans: Vec::new(),
            figures: Vec::new(),
            costs: Vec::new(),
        }
    }

    /// The cost of one row with so many threads, at the depth of `cost`.
    pub(super) fn one_row(&self, cost: &Timed<Cost>) -> Option<f64> {
        let is_it = |other: &&Timed<Cost>| {
            other.threads == cost.threads && other.value.n_rows == 1 && other.value.depth == cost.value.depth
        };
        self.costs.iter().find(is_it).map(|cost| cost.value.median())
    }
}
