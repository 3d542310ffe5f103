//! The planner: how a model is run within a memory budget.
//!
//! [`plan`] is a pure function. From a model's headers, the options and what the process holds already it decides which
//! weights stay in memory, what the others pass through, how long the context is and how many rows a pass has, and says
//! where every byte goes. As many weights stay as there is room for: a pass then waits for the fewest bytes.

mod cache;
mod calibrate;
mod demand;
mod speed;
mod weights;

use dewdrop_backend::{KvTypes, Reserve};
use dewdrop_store::WeightSource;

use self::demand::Demand;
pub use self::speed::{KernelSpeed, Prediction, Speeds};
pub(crate) use self::weights::Weights;
use self::weights::{SMALL, Units, section_bytes};
use crate::options::CHUNK;
use crate::{Model, Options};

/// Rows of a pass where weights are streamed: each pass over a prompt reads them once, so few passes are better.
const CHUNKS: [usize; 14] = [4096, 3072, 2048, 1536, WIDE, 1024, 768, 512, 384, 256, 128, 64, 32, 16];
/// So many come before weights that stay: a prompt of a thousand tokens is one read, not one for each hundred.
const WIDE: usize = 1152;
/// The activations of more take no larger share of what is left for them and weights.
const ACTIVATION_SHARE: u64 = 8;
/// Rows of a pass where all weights stay, if there is no room for the usual number.
const NARROW: [usize; 2] = [256, 128];
/// Keys and values take no larger share of what is left for them and weights, where nobody asked for a context.
const CONTEXT_SHARE: u64 = 4;
/// The context of the smallest budget, where nobody asked for one.
const LEAST_CONTEXT: usize = 512;

/// What is to be planned.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The model.
    pub model: &'a Model,
    /// How it is to be run.
    pub options: &'a Options,
    /// Most bytes of memory that the process may have.
    pub budget: u64,
    /// Bytes that it has already: its code, the tokenizer, headers of files.
    pub held: u64,
}

/// How a model is run within a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Most bytes of memory that the process may have.
    pub budget: u64,
    /// Where bytes go.
    pub uses: Vec<Use>,
    /// Positions of a session.
    pub context: usize,
    /// Most rows of a prompt per pass.
    pub chunk: usize,
    /// What keys and values are kept as.
    pub kv: KvTypes,
    /// Bytes of weights that stay in memory.
    pub resident: u64,
    /// Bytes of weights that each pass reads.
    pub streamed: u64,
    /// Staging slots, and bytes of each.
    pub slots: (usize, u64),
    pub(crate) weights: Weights,
}

/// Bytes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// What they are for.
    pub kind: Kind,
    /// How many.
    pub bytes: u64,
}

/// What memory is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`name` says what each is")]
pub enum Kind {
    Program,
    Resident,
    Staging,
    Rows,
    Moving,
    KeysAndValues,
    Recurrent,
    Activations,
    Reserve,
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a memory budget of {} is too small for this model: {} is the least, and each token then reads {} from disk",
    mebibytes(*budget), mebibytes(*least), mebibytes(*streamed)
)]
pub struct TooSmall {
    /// The budget that was asked for.
    pub budget: u64,
    /// The smallest that works.
    pub least: u64,
    /// Bytes that each token then waits for.
    pub streamed: u64,
}

/// Plans.
///
/// # Errors
/// If the budget is too small: with the smallest one that is not.
pub fn plan(question: &Question<'_>) -> Result<Plan, TooSmall> {
    let planner = Planner::new(question);
    planner.plan().ok_or_else(|| planner.too_small())
}

struct Planner<'a> {
    question: &'a Question<'a>,
    demand: Demand,
    sources: Vec<Vec<WeightSource>>,
}

impl<'a> Planner<'a> {
    fn new(question: &'a Question<'a>) -> Self {
        let Question { model, options, .. } = question;
        let demand = Demand::new(&model.program, options);
        Planner { question, demand, sources: model.weight_sources() }
    }

    fn plan(&self) -> Option<Plan> {
        let context = self.context();
        let room = self.question.budget.checked_sub(self.base(context))?;
        let (chunk, weights) = self.resident(context, room).or_else(|| self.streamed(context, room))?;
        Some(self.explained(context, chunk, weights))
    }

    /// Rows of a pass, and all weights in memory.
    fn resident(&self, context: usize, room: u64) -> Option<(usize, Weights)> {
        let usual = self.question.options.chunk.unwrap_or(CHUNK).min(self.positions(context));
        let chunks = [usual].into_iter().chain(NARROW.into_iter().filter(|chunk| *chunk < usual));
        let units = Units::new(&self.question.model.program, &self.sources, u64::MAX);
        chunks.into_iter().find_map(|chunk| Some((chunk, units.resident(room, chunk)?)))
    }

    /// Rows of a pass, and the weights where some are read in each.
    fn streamed(&self, context: usize, room: u64) -> Option<(usize, Weights)> {
        let program = &self.question.model.program;
        let most = self.question.options.chunk.unwrap_or(usize::MAX).min(self.positions(context));
        let usual = Units::new(program, &self.sources, section_bytes(room));
        let small = Units::new(program, &self.sources, SMALL);
        let with = |chunk: usize| {
            let is_small = chunk <= WIDE || usual.activations(chunk) <= room / ACTIVATION_SHARE;
            let weights = || usual.streamed(room, chunk).or_else(|| small.streamed(room, chunk));
            is_small.then(weights).flatten().map(|weights| (chunk, weights))
        };
        let chunks = CHUNKS.into_iter().filter(|&chunk| chunk < most);
        Some(most).filter(|most| *most <= CHUNKS[0]).into_iter().chain(chunks).find_map(with)
    }

    /// Of all sessions: no pass has more rows.
    fn positions(&self, context: usize) -> usize {
        context * self.question.options.sessions
    }

    /// Bytes of everything but weights and activations.
    fn base(&self, context: usize) -> u64 {
        let n = self.question.options.sessions;
        let Demand { recurrent, fixed, .. } = self.demand;
        self.question.held + fixed + self.demand.kv(context, n) + recurrent * n as u64
    }

    /// The context asked for, or the longest that leaves the larger part of the memory to the weights.
    fn context(&self) -> usize {
        let Question { model, options, budget, held } = self.question;
        let most = model.descriptor.context_len;
        if let Some(asked) = options.context {
            return asked.min(most);
        }
        let room = budget.saturating_sub(held + self.demand.fixed) / CONTEXT_SHARE;
        let fits = |context: &usize| self.demand.kv(*context, options.sessions) <= room;
        let halves = std::iter::successors(Some(most), |context| Some(context / 2));
        let longest = halves.take_while(|context| *context > LEAST_CONTEXT).find(fits);
        longest.unwrap_or(LEAST_CONTEXT.min(most))
    }

    fn explained(&self, context: usize, chunk: usize, weights: Weights) -> Plan {
        let Question { options, budget, held, .. } = *self.question;
        let n = options.sessions;
        let uses = [
            (Kind::Program, held),
            (Kind::Resident, weights.pinned),
            (Kind::Staging, weights.staging),
            (Kind::Rows, weights.rows),
            (Kind::Moving, weights.moving),
            (Kind::KeysAndValues, self.demand.kv(context, n)),
            (Kind::Recurrent, self.demand.recurrent * n as u64),
            (Kind::Activations, weights.activations),
            (Kind::Reserve, self.demand.fixed),
        ];
        Plan {
            budget,
            uses: uses.map(|(kind, bytes)| Use { kind, bytes }).into(),
            context,
            chunk,
            kv: options.kv_types(),
            resident: weights.pinned,
            streamed: weights.streamed,
            slots: (weights.placement.n_slots, weights.placement.slot_bytes as u64),
            weights,
        }
    }

    fn too_small(&self) -> TooSmall {
        let Question { model, options, budget, .. } = *self.question;
        let most = model.descriptor.context_len;
        let context = options.context.unwrap_or(LEAST_CONTEXT).min(most);
        let chunk = CHUNKS[CHUNKS.len() - 1].min(options.chunk.unwrap_or(context)).min(context);
        let weights = Units::new(&model.program, &self.sources, SMALL).least(chunk);
        let least = self.base(context) + weights.len();
        TooSmall { budget, least, streamed: weights.streamed }
    }
}

impl Plan {
    /// The process's peak memory, if everything that is planned for is used.
    pub fn peak(&self) -> u64 {
        self.uses.iter().map(|of| of.bytes).sum()
    }

    /// What a backend is to take at once, before anyone else can: nothing where there is enough.
    pub(crate) fn reserve(&self, options: &Options) -> Reserve {
        if self.streamed == 0 {
            return Reserve::default();
        }
        Reserve { rows: self.chunk, sequences: options.sessions, positions: self.context }
    }
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Program => "program and tokenizer",
            Kind::Resident => "resident weights",
            Kind::Staging => "staging",
            Kind::Rows => "embedding rows",
            Kind::Moving => "rearranging",
            Kind::KeysAndValues => "keys and values",
            Kind::Recurrent => "recurrent state",
            Kind::Activations => "activations",
            Kind::Reserve => "logits, threads, reserve",
        }
    }
}

/// Rounded up, as `120 MiB`.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
