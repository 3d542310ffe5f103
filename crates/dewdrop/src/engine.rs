//! An opened model.

use std::path::Path;
use std::sync::Arc;

use dewdrop_engine::{Limits, SharedCore};
use dewdrop_store::Checkpoint;
use dewdrop_text::{ChatTemplate, EncodeOptions, Tokenizer};

use crate::language::Language;
use crate::options::CHUNK;
use crate::{Error, Model, Options, Plan, Prepared, Session, Streaming, assemble};

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
        let plan = prepared.plan_if_short()?;
        let Prepared { checkpoint, model, language, options, context, .. } = prepared;
        let limits = Limits {
            context: plan.as_ref().map_or(context, |plan| plan.context),
            chunk: plan.as_ref().map_or(options.chunk.unwrap_or(CHUNK), |plan| plan.chunk),
            logits: if plan.is_some() { options.logits } else { usize::MAX },
            n_choices: language.n_choices().min(model.descriptor.n_vocab),
        };
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
        self.tokenizer().encode(text, options).map_err(|error| Error::text(self.checkpoint(), error))
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
