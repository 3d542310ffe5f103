//! A model that is opened, with everything but its weights.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use dewdrop_backend::KvTypes;
use dewdrop_backend::state::PAGE;
use dewdrop_model::{Descriptor, ROPE_FACTORS};
use dewdrop_store::Checkpoint;
use dewdrop_text::{ChatTemplate, EncodeOptions};

use crate::language::Language;
use crate::plan::{Kind, Plan, Question, TooSmall, Use, plan};
use crate::{Engine, Error, Model, Options, built_in, machine, recognize};

/// A model that is known to run, its tokenizer included, before any of its weights are read: what plans are made for.
pub struct Prepared {
    pub(crate) checkpoint: Arc<Checkpoint>,
    pub(crate) model: Model,
    pub(crate) language: Language,
    pub(crate) options: Options,
    /// Most positions of a session, by the options and the model.
    pub(crate) context: usize,
    /// Bytes that the process has before there is an engine; unknown until somebody asks, and after it has taken more.
    held: OnceLock<u64>,
}

/// What sessions have, and keep.
#[derive(Clone, Copy)]
pub(crate) struct InUse {
    /// Of the longest one.
    pub(crate) positions: usize,
    pub(crate) sessions: usize,
}

impl Prepared {
    /// Prepares a model as [`Engine::open`] takes it, opened by [`open_checkpoint`].
    pub fn open(path: &Path, options: Options) -> Result<Self, Error> {
        Self::new(open_checkpoint(path)?, options)
    }

    /// As [`open`](Prepared::open), for a model of which the first part may be all that is here: it can be planned for, and
    /// [`engine`](Prepared::engine) says what is missing.
    pub fn open_headers(path: &Path, options: Options) -> Result<Self, Error> {
        Self::new(Checkpoint::open_headers(path)?, options)
    }

    /// Prepares the model that is built into the program (feature `built-in`).
    pub fn built_in(options: Options) -> Result<Self, Error> {
        Self::new(built_in()?, options)
    }

    /// Prepares the model of open files.
    pub fn new(checkpoint: impl Into<Arc<Checkpoint>>, options: Options) -> Result<Self, Error> {
        let checkpoint = checkpoint.into();
        let model = recognize(&checkpoint)
            .map_err(|error| Error::Model { path: checkpoint.path().to_owned(), source: Box::new(error) })?;
        dewdrop_cpu::check_threads(options.n_threads())?;
        options.kv_types(&model.program.states).check(&model.program.states)?;
        let context = context(&options, &model.descriptor)?;
        let language = Language::of(&checkpoint, &model.descriptor)?;
        checkpoint.forget_pages();
        Ok(Prepared { checkpoint, model, language, options, context, held: OnceLock::new() })
    }

    /// The model's files.
    pub fn checkpoint(&self) -> &Arc<Checkpoint> {
        &self.checkpoint
    }

    /// The model in these files.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How it is to be run.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What keys and values are kept as.
    pub fn kv_types(&self) -> KvTypes {
        self.options.kv_types(&self.model.program.states)
    }

    /// Ids of a text that is known before there is an engine: what they take, and what is left of their making, is part
    /// of what plans count.
    ///
    /// # Errors
    /// If the text cannot be turned into tokens.
    pub fn encode(&mut self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, Error> {
        self.held.take();
        let ids = self.language.tokenizer.encode(text, options);
        ids.map_err(|error| Error::text(&self.checkpoint, error))
    }

    /// How the model wants conversations written, if its files say.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.language.template.as_ref()
    }

    /// Most tokens of a session, by the options and the model.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Asks for a context of so many tokens, but no more than there may be.
    pub fn set_context(&mut self, n: usize) -> &mut Self {
        self.context = self.context.min(n);
        self.options.context = Some(self.context);
        self
    }

    /// Makes room for so many sessions at a time.
    pub fn set_sessions(&mut self, n: usize) -> &mut Self {
        self.options.sessions = n;
        self
    }

    /// The share of the budget that the state of all sessions takes; more than all of it where there is no plan.
    pub fn state_share(&self) -> f64 {
        let Some(budget) = self.budget() else { return 0.0 };
        let is_state = |of: &&Use| matches!(of.kind, Kind::KeysAndValues | Kind::Recurrent);
        self.plan(budget).map_or(f64::INFINITY, |plan| {
            plan.uses.iter().filter(is_state).map(|of| of.bytes).sum::<u64>() as f64 / budget as f64
        })
    }

    /// The budget of the options, or what the system has to spare. None where it does not say.
    pub fn budget(&self) -> Option<u64> {
        self.options.memory.or_else(machine::available_memory)
    }

    /// How it would be run within a budget.
    ///
    /// # Errors
    /// If the budget is too small.
    pub fn plan(&self, budget: u64) -> Result<Plan, TooSmall> {
        self.plan_with(&self.options, budget)
    }

    /// Whether such a plan is followed: where somebody set a budget, or not all weights fit. Otherwise the files are run
    /// from their map.
    pub fn is_by_plan(&self, plan: &Plan) -> bool {
        self.options.memory.is_some() || plan.streamed > 0
    }

    /// Makes it ready to run.
    ///
    /// # Errors
    /// If the budget is too small, or backend or weights cannot be had.
    pub fn engine(self) -> Result<Engine, Error> {
        Engine::from_prepared(self)
    }

    /// How it goes on within another budget, with sessions that were told that they may have `most` positions. `promised`:
    /// as long a context as is kept if it can be.
    pub(crate) fn plan_again(
        &self,
        budget: u64,
        in_use: InUse,
        most: usize,
        promised: Option<usize>,
    ) -> Result<Plan, Error> {
        let with = |context| {
            let sessions = self.options.sessions.max(in_use.sessions);
            let options = Options { context, sessions, memory: Some(budget), ..self.options.clone() };
            self.plan_with(&options, budget)
        };
        let least = (in_use.positions + PAGE).min(most);
        let mut result = with(self.options.context.or(promised)).and_then(|plan| {
            // A plan that chose for itself may have chosen less than is in use.
            if plan.context < least { with(Some(least)) } else { Ok(plan) }
        });
        if self.options.context.is_none() {
            let halves = std::iter::successors(Some(most / 2), |context| Some(context / 2));
            for context in halves.take_while(|context| *context > least).chain([least]) {
                result = result.or_else(|_| with(Some(context)));
            }
        }
        result.map_err(|refusal| self.refuse(refusal))
    }

    /// The plan for the budget; none where there is none and the system does not say what it has to spare.
    pub(crate) fn plan_to_follow(&self) -> Result<Option<Plan>, Error> {
        // Known for later budgets, too.
        self.held();
        self.budget().map(|budget| self.plan(budget)).transpose().map_err(|refusal| self.refuse(refusal))
    }

    fn plan_with(&self, options: &Options, budget: u64) -> Result<Plan, TooSmall> {
        plan(&Question { model: &self.model, options, budget, held: self.held() })
    }

    pub(crate) fn held(&self) -> u64 {
        let measure = || machine::held_memory().unwrap_or(0) + self.checkpoint.bytes_in_program();
        *self.held.get_or_init(measure)
    }

    fn refuse(&self, refusal: TooSmall) -> Error {
        Error::Memory { path: self.checkpoint.path().to_owned(), refusal: Box::new(refusal) }
    }
}

/// The files of a model that is to be run. Where checksums lie beside them (`dewdrop verify --write`), each tensor is compared
/// with them when it is read for the first time.
///
/// # Errors
/// If they are not a model's, or a header is damaged.
pub fn open_checkpoint(path: &Path) -> Result<Checkpoint, Error> {
    let checkpoint = Checkpoint::open(path)?.with_checksums()?;
    // Read before everything else, by the model's description.
    if let Some(factors) = checkpoint.tensors.get(ROPE_FACTORS) {
        checkpoint.check_sums(factors, &checkpoint.bytes(factors))?;
    }
    Ok(checkpoint)
}

fn context(options: &Options, descriptor: &Descriptor) -> Result<usize, Error> {
    let most = descriptor.context_len;
    match options.context {
        Some(asked) if asked > most => Err(Error::Context { asked, most }),
        Some(asked) => Ok(asked),
        None => Ok(most),
    }
}
