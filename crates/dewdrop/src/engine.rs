//! An opened model.

use std::path::Path;
use std::sync::Arc;

use dewdrop_engine::{Limits, SharedCore};
use dewdrop_model::Descriptor;
use dewdrop_store::Checkpoint;
use dewdrop_text::{ChatTemplate, EncodeOptions, Tokenizer};

use crate::language::Language;
use crate::options::CHUNK;
use crate::plan::{self, Plan, TooSmall};
use crate::{Error, Model, Options, Session, Streaming, assemble, built_in, machine, recognize};

/// A model that is ready to run. Clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    checkpoint: Arc<Checkpoint>,
    model: Model,
    language: Language,
    core: SharedCore,
    backend_name: String,
    limits: Limits,
    plan: Option<Plan>,
}

impl Engine {
    /// Opens a GGUF file (of a split model, any of its files), a `.safetensors` file with `config.json` beside it, or a
    /// Hugging Face folder.
    ///
    /// Files are mapped: they must not change while the engine lives.
    pub fn open(path: &Path, options: Options) -> Result<Engine, Error> {
        Self::from_checkpoint(Checkpoint::open(path)?, options)
    }

    /// Opens the model that is built into the program (feature `built-in`).
    pub fn built_in(options: Options) -> Result<Engine, Error> {
        Self::from_checkpoint(built_in()?, options)
    }

    /// Makes an engine of files that are open already.
    pub fn from_checkpoint(checkpoint: Checkpoint, options: Options) -> Result<Engine, Error> {
        let model = recognize(&checkpoint)
            .map_err(|error| Error::Model { path: checkpoint.path().to_owned(), source: Box::new(error) })?;
        let context = context(&options, &model.descriptor)?;
        let language = Language::of(&checkpoint, &model.descriptor)?;
        let plan = plan_if_short(&checkpoint, &model, &options)?;
        let limits = Limits {
            context: plan.as_ref().map_or(context, |plan| plan.context),
            chunk: plan.as_ref().map_or(options.chunk.unwrap_or(CHUNK), |plan| plan.chunk),
            n_choices: language.n_choices().min(model.descriptor.n_vocab),
        };
        let checkpoint = Arc::new(checkpoint);
        let core = match &plan {
            Some(plan) => assemble::by_plan(checkpoint.clone(), plan, &options)?,
            None => assemble(checkpoint.clone(), &model, &options)?,
        };
        let backend_name = core.backend_name();
        let core = SharedCore::new(core);
        Ok(Engine(Arc::new(Inner { checkpoint, model, language, core, backend_name, limits, plan })))
    }

    /// A new session. All sessions of an engine share its weights; their passes take turns.
    pub fn session(&self) -> Result<Session, Error> {
        Session::new(self.clone())
    }

    /// The model's files.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.0.checkpoint
    }

    /// The model in these files.
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// Text to ids and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.language.tokenizer
    }

    /// Ids of a text.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, Error> {
        let path = || self.checkpoint().path().to_owned();
        self.tokenizer()
            .encode(text, options)
            .map_err(|error| Error::Text { path: path(), source: Box::new(error) })
    }

    /// How the model wants conversations written, if its files say.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.0.language.template.as_ref()
    }

    /// Tokens that end generation, ascending.
    pub fn end_tokens(&self) -> &[u32] {
        &self.0.language.end_tokens
    }

    /// Most tokens of a session.
    pub fn context(&self) -> usize {
        self.0.limits.context
    }

    /// Who computes, for people: `cpu (avx2, 2 threads)`.
    pub fn backend_name(&self) -> String {
        self.0.backend_name.clone()
    }

    /// How the model is run within the budget; none where all of it fits and nobody set one.
    pub fn plan(&self) -> Option<&Plan> {
        self.0.plan.as_ref()
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
}

/// The plan for a budget; none where nobody set one and there is room for everything.
fn plan_if_short(checkpoint: &Checkpoint, model: &Model, options: &Options) -> Result<Option<Plan>, Error> {
    let Some(budget) = options.memory.or_else(machine::available_memory) else { return Ok(None) };
    checkpoint.forget_pages();
    let held = machine::held_memory().unwrap_or(0) + checkpoint.bytes_in_memory();
    match plan::plan(&plan::Question { model, options, budget, held }) {
        Ok(plan) => Ok((options.memory.is_some() || plan.streamed > 0).then_some(plan)),
        Err(TooSmall { budget, least, streamed }) => {
            Err(Error::Memory { path: checkpoint.path().to_owned(), budget, least, streamed })
        }
    }
}

fn context(options: &Options, descriptor: &Descriptor) -> Result<usize, Error> {
    let most = descriptor.context_len;
    match options.context {
        Some(asked) if asked > most => Err(Error::Context { asked, most }),
        Some(asked) => Ok(asked),
        None => Ok(most),
    }
}
