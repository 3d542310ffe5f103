//! An opened model.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use dewdrop_backend::KvTypes;
use dewdrop_engine::{Limits, Room, SharedCore};
use dewdrop_store::{Checkpoint, system};
use dewdrop_text::{ChatTemplate, EncodeOptions, Tokenizer};

use crate::options::CHUNK;
use crate::plan::{Prediction, Speeds, Weights};
use crate::prepared::InUse;
use crate::{Error, Model, Options, Plan, Prepared, Session, Streaming, assemble};

/// A model that is ready to run. Clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    prepared: Prepared,
    core: SharedCore,
    backend_name: String,
    /// Of sessions, whatever the budget.
    limits: Limits,
    /// The context that the first budget had room for; none where there was no budget.
    promised: Option<usize>,
    plan: Mutex<Option<Arc<Plan>>>,
}

impl Engine {
    /// Opens a GGUF file (of a split model, any of its files), a `.safetensors` file with `config.json` beside it, or a
    /// Hugging Face folder.
    ///
    /// Files are mapped: they must not change while the engine lives.
    pub fn open(path: &Path, options: Options) -> Result<Engine, Error> {
        Prepared::open(path, options)?.engine()
    }

    /// Opens the model that is built into the program (feature `built-in`).
    pub fn built_in(options: Options) -> Result<Engine, Error> {
        Prepared::built_in(options)?.engine()
    }

    /// Makes an engine of files that are open already.
    pub fn from_checkpoint(checkpoint: Checkpoint, options: Options) -> Result<Engine, Error> {
        Prepared::new(checkpoint, options)?.engine()
    }

    pub(crate) fn from_prepared(prepared: Prepared) -> Result<Engine, Error> {
        let plan = prepared.plan_to_follow()?;
        let Prepared { checkpoint, model, language, options, context, .. } = &prepared;
        let limits = Limits {
            context: plan.as_ref().map_or(*context, |plan| plan.context),
            chunk: options.chunk.unwrap_or(usize::MAX),
            logits: usize::MAX,
            n_choices: language.n_choices().min(model.descriptor.n_vocab),
        };
        let room = match &plan {
            Some(plan) => room(plan, options),
            None => Room { chunk: options.chunk.unwrap_or(CHUNK), ..Room::default() },
        };
        // From the map, too, within what was planned for a session.
        let plan = plan.filter(|plan| prepared.is_by_plan(plan));
        let (core, room) = match &plan {
            Some(plan) => (assemble::by_plan(checkpoint.clone(), plan, options)?, room),
            None => (
                assemble(checkpoint.clone(), model, options)?,
                Room { sequences: usize::MAX, logits: usize::MAX, ..room },
            ),
        };
        let backend_name = core.backend_name();
        let core = SharedCore::new(core);
        core.set_room(room);
        let promised = plan.as_ref().map(|plan| plan.context);
        let plan = Mutex::new(plan.map(Arc::new));
        Ok(Engine(Arc::new(Inner { prepared, core, backend_name, limits, promised, plan })))
    }

    /// Changes the memory budget, from the next pass on: weights that no longer fit are let go of and read from disk
    /// again, and stay again where there is room for them. Sessions keep what they hold and go on; no token changes. Waits
    /// for the pass that runs.
    ///
    /// The longest context of a session stays as it is, if `budget` has room for it; where nobody asked for one it may
    /// become shorter, but never too short for what sessions hold. A larger budget brings it back.
    ///
    /// # Errors
    /// If the budget is too small for what is in use, or the system refuses memory for staging: all stays as it was then.
    pub fn set_memory(&self, budget: u64) -> Result<Arc<Plan>, Error> {
        let Inner { prepared, core, limits, promised, .. } = &*self.0;
        let mut guard = core.lock()?;
        let in_use = InUse { positions: guard.longest_sequence(), sessions: guard.n_sequences() };
        let plan = prepared.plan_again(budget, in_use, limits.context, *promised)?;
        let Weights { program, sources, placement, .. } = &plan.weights;
        guard.replace(program.clone(), sources.to_vec(), placement, &plan.reserve()).map_err(Error::from)?;
        system::give_back();
        core.set_room(room(&plan, &prepared.options));
        let plan = Arc::new(plan);
        *self.0.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan.clone());
        Ok(plan)
    }

    /// A new session. All sessions of an engine share its weights; their passes take turns.
    ///
    /// # Errors
    /// If there is a memory budget and as many sessions are open as it was planned for: [`Options::sessions`].
    pub fn session(&self) -> Result<Session, Error> {
        Session::new(self.clone())
    }

    /// The model's files.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.0.prepared.checkpoint
    }

    /// The model in these files.
    pub fn model(&self) -> &Model {
        &self.0.prepared.model
    }

    /// Text to ids and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.prepared.language.tokenizer
    }

    /// Ids of a text.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, Error> {
        self.tokenizer().encode(text, options).map_err(|error| Error::text(self.checkpoint(), error))
    }

    /// How the model wants conversations written, if its files say.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.0.prepared.language.template.as_ref()
    }

    /// Tokens that end generation, ascending.
    pub fn end_tokens(&self) -> &[u32] {
        &self.0.prepared.language.end_tokens
    }

    /// Most tokens of a session, at present.
    pub fn context(&self) -> usize {
        self.0.limits.context.min(self.0.core.room().context)
    }

    /// What keys and values are kept as.
    pub fn kv_types(&self) -> KvTypes {
        self.0.prepared.kv_types()
    }

    /// Who computes, for people: `cpu (avx2, 2 threads)`.
    pub fn backend_name(&self) -> String {
        self.0.backend_name.clone()
    }

    /// How the model is run within the budget at present; none where all of it fits and nobody set one.
    pub fn plan(&self) -> Option<Arc<Plan>> {
        self.0.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The memory budget at present, or what the system had to spare when nobody set one. None where it does not say.
    pub fn memory(&self) -> Option<u64> {
        self.plan().map(|plan| plan.budget).or_else(|| self.0.prepared.budget())
    }

    /// How fast it is to be run at present, after a prompt of so many tokens, by this machine's speeds at an earlier time.
    /// None where there is no plan, or nobody measured them ([`Speeds::known_or_measured`]).
    pub fn prediction(&self, n_prompt: usize) -> Option<Prediction> {
        let (plan, speeds) = (self.plan()?, Speeds::known(&self.0.prepared)?);
        Some(Prediction::new(&plan, &speeds, n_prompt))
    }

    /// What streaming has done so far; none where nothing is streamed.
    pub fn streaming(&self) -> Result<Option<Streaming>, Error> {
        Ok(self.0.core.lock()?.statistics())
    }

    /// What runs passes, for tests and measurements that go below sessions.
    pub fn core(&self) -> &SharedCore {
        &self.0.core
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }

    pub(crate) fn downgrade(&self) -> WeakEngine {
        WeakEngine(Arc::downgrade(&self.0))
    }
}

/// An engine that may be gone.
pub(crate) struct WeakEngine(Weak<Inner>);

impl WeakEngine {
    pub(crate) fn upgrade(&self) -> Option<Engine> {
        self.0.upgrade().map(Engine)
    }
}

/// What a plan has memory for.
fn room(plan: &Plan, options: &Options) -> Room {
    Room { context: plan.context, chunk: plan.chunk, logits: options.logits, sequences: plan.sessions }
}

#[cfg(all(test, feature = "built-in"))]
mod tests {
    use dewdrop_backend::Reserve;
    use dewdrop_engine::Sampling;
    use dewdrop_store::{Place, Placement};

    use super::*;

    #[test]
    fn staging_that_cannot_be_had_changes_nothing() {
        let engine = Engine::built_in(Options { memory: Some(1 << 30), ..Options::default() }).unwrap();
        let answer = || {
            let mut session = engine.session().unwrap();
            session.prompt("Once upon a time").unwrap();
            let sampling = Sampling { n: Some(8), ..Sampling::greedy() };
            session.generate(&sampling).unwrap().map(|token| token.unwrap().id).collect::<Vec<_>>()
        };
        let wanted = answer();
        let plan = engine.plan().unwrap();
        let Weights { program, sources, placement, .. } = &plan.weights;
        let places = vec![Place::Streamed; sources.len()];
        let too_large = Placement { places, n_slots: 2, slot_bytes: 1 << 46, ..placement.clone() };
        let mut core = engine.core().lock().unwrap();
        let refused = core.replace(program.clone(), sources.to_vec(), &too_large, &Reserve::default());
        drop(core);
        assert!(refused.is_err());
        assert_eq!(answer(), wanted);
        assert_eq!(engine.streaming().unwrap().unwrap().bytes_per_round, 0, "all stays where it was");
    }

    #[test]
    fn where_all_weights_fit_the_context_is_still_one_that_there_is_memory_for() {
        let most = 1 << 40;
        let mut prepared = Prepared::built_in(Options::default()).unwrap();
        (prepared.model.descriptor.context_len, prepared.context) = (most, most);
        let engine = prepared.engine().unwrap();
        assert!(engine.plan().is_none(), "run from the map");
        assert!(engine.context() < most);
        assert_eq!(engine.session().unwrap().context(), engine.context());
    }
}
