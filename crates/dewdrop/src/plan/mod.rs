//! The planner: how a model is run within a memory budget.
//!
//! [`plan`] is a pure function. From a model's headers, the options and what the process holds already it decides which
//! weights stay in memory, what the others pass through, how long the context is and how many rows a pass has, and says
//! where every byte goes. As many weights stay as there is room for: a pass then waits for the fewest bytes.

mod cache;
mod calibrate;
mod demand;
mod speed;
#[cfg(all(test, feature = "built-in"))]
mod tests;
mod too_small;
mod weights;

use std::cell::LazyCell;

use dewdrop_backend::{KvTypes, Reserve};
use dewdrop_store::WeightSource;

use self::demand::Demand;
pub use self::speed::{KernelSpeed, Prediction, Speeds};
pub use self::too_small::TooSmall;
pub(crate) use self::weights::Weights;
use self::weights::{FEWEST_SLOTS, N_SLOTS, SMALL, Units, section_bytes};
use crate::options::CHUNK;
use crate::{Model, Options};

/// Rows of a pass where weights are streamed: each pass over a prompt reads them once, so few passes are better.
const CHUNKS: [usize; 13] = [4096, 3072, 2048, 1536, WIDE, 1024, 768, 512, 384, 256, 128, 64, 32];
/// The same with the smallest budget, unless there are more sessions.
const LEAST_CHUNK: usize = 16;
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
/// A process does not hold as much each time it is started, nor as much for each command. The least budget that is told leaves
/// room for that.
const HELD_VARIES: u64 = 3 << 19;

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
    /// Sessions at a time.
    pub sessions: usize,
    /// Positions of a session.
    pub context: usize,
    /// Most rows of a pass.
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
        let sources = model.weight_sources();
        let demand = Demand::new(&model.program, &sources, options);
        Planner { question, demand, sources }
    }

    fn plan(&self) -> Option<Plan> {
        self.contexts().find_map(|context| {
            let room = self.question.budget.checked_sub(self.base(context))?;
            let (chunk, weights) = self.resident(context, room).or_else(|| self.streamed(context, room))?;
            Some(self.explained(context, chunk, weights))
        })
    }

    /// Rows of a pass, and all weights in memory.
    fn resident(&self, context: usize, room: u64) -> Option<(usize, Weights)> {
        let (least, most) = (self.least_chunk(context), self.most_rows(context));
        let usual = self.question.options.chunk.unwrap_or(CHUNK.max(least)).min(most);
        let narrow = NARROW.into_iter().filter(|chunk| (least..usual).contains(chunk));
        let chunks = [usual].into_iter().chain(narrow);
        let units = Units::new(&self.question.model.program, &self.sources, u64::MAX);
        chunks.into_iter().find_map(|chunk| Some((chunk, units.resident(room, chunk)?)))
    }

    /// Rows of a pass, and the weights where some are read in each. Wide passes come before long sections, which come before
    /// many slots.
    fn streamed(&self, context: usize, room: u64) -> Option<(usize, Weights)> {
        let (least, most) = (self.least_chunk(context), self.most_rows(context));
        let lens = std::iter::successors(Some(section_bytes(room)), |len| {
            (*len > SMALL).then(|| SMALL.max(len / 2))
        });
        // Mostly the longest are all that is looked at.
        let cut = |len| LazyCell::new(move || Units::new(&self.question.model.program, &self.sources, len));
        let units: Vec<LazyCell<Units, _>> = lens.map(cut).collect();
        let (longest, shortest) = (&units[0], &units[units.len() - 1]);
        let with = |chunk: usize| {
            let is_small = chunk <= WIDE.max(least) || longest.activations(chunk) <= room / ACTIVATION_SHARE;
            let of = |units: &Units| N_SLOTS.into_iter().find_map(|n| units.streamed(room, chunk, n));
            is_small
                .then(|| units.iter().find_map(|units| of(units)))
                .flatten()
                .map(|weights| (chunk, weights))
        };
        let chunks = [most].into_iter().filter(|most| *most <= CHUNKS[0]);
        let chunks = chunks.chain(CHUNKS.into_iter().filter(|chunk| *chunk < most));
        let found = chunks.filter(|chunk| *chunk > least).chain([least]).find_map(with);
        let narrow = || shortest.streamed(room, least, FEWEST_SLOTS).map(|weights| (least, weights));
        found.or_else(narrow)
    }

    /// Rows of the largest pass that there may be: all positions of all sessions.
    fn most_rows(&self, context: usize) -> usize {
        let Options { chunk, sessions, .. } = self.question.options;
        chunk.unwrap_or(usize::MAX).min(context.saturating_mul(*sessions))
    }

    /// Rows of the smallest pass that serves all sessions.
    fn least_chunk(&self, context: usize) -> usize {
        LEAST_CHUNK.max(self.question.options.sessions).min(self.most_rows(context))
    }

    /// Bytes of everything but weights and activations.
    fn base(&self, context: usize) -> u64 {
        let n = self.question.options.sessions;
        let Demand { recurrent, fixed, .. } = self.demand;
        self.question.held + fixed + self.demand.kv(context, n) + recurrent * n as u64
    }

    /// The context asked for; or those that leave the larger part of the memory to the weights, and the shortest.
    fn contexts(&self) -> impl Iterator<Item = usize> {
        let Question { model, options, budget, held } = *self.question;
        let least = self.least_context();
        let longest = options.context.map_or(model.descriptor.context_len, |_| least);
        let room = budget.saturating_sub(held + self.demand.fixed) / CONTEXT_SHARE;
        let fits = move |context: &usize| self.demand.kv(*context, options.sessions) <= room;
        let halves = std::iter::successors(Some(longest), |context| Some(context / 2));
        halves.take_while(move |context| *context > least).filter(fits).chain([least])
    }

    fn least_context(&self) -> usize {
        let Question { model, options, .. } = self.question;
        options.context.unwrap_or(LEAST_CONTEXT).min(model.descriptor.context_len)
    }

    fn explained(&self, context: usize, chunk: usize, weights: Weights) -> Plan {
        let Question { model, options, budget, held } = *self.question;
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
            (Kind::Reserve, self.demand.fixed + weights.bookkeeping()),
        ];
        Plan {
            budget,
            uses: uses.map(|(kind, bytes)| Use { kind, bytes }).into(),
            sessions: n,
            context,
            chunk,
            kv: options.kv_types(&model.program.states),
            resident: weights.pinned,
            streamed: weights.streamed,
            slots: (weights.placement.n_slots, weights.placement.slot_bytes as u64),
            weights,
        }
    }

    fn too_small(&self) -> TooSmall {
        let Question { model, options, budget, .. } = *self.question;
        let context = self.least_context();
        let units = Units::new(&model.program, &self.sources, SMALL);
        let weights = units.least(self.least_chunk(context));
        TooSmall {
            budget,
            is_given: options.memory.is_some(),
            least: self.base(context) + weights.len() + HELD_VARIES,
            streamed: weights.streamed,
            state: self.demand.kv(context, options.sessions),
        }
    }
}

impl Plan {
    /// The process's peak memory, if everything that is planned for is used.
    pub fn peak(&self) -> u64 {
        self.uses.iter().map(|of| of.bytes).sum()
    }

    /// What a backend is to take at once, before anyone else can: nothing where there is enough.
    pub(crate) fn reserve(&self) -> Reserve {
        if self.streamed == 0 {
            return Reserve::default();
        }
        Reserve { rows: self.chunk, sequences: self.sessions, positions: self.context }
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
