//! Many prompts at a time: each pass over the weights serves all of them.

use dewdrop_engine::{Batch, Cancel, EngineError, Finish, Sampler, Sampling};
use dewdrop_text::Detokenizer;

use crate::stop::StopTexts;
use crate::{Engine, Error, Session};

/// A prompt to go on from.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What the requester knows it by.
    pub tag: u64,
    /// Its tokens, at least one.
    pub prompt: Vec<u32>,
    /// How tokens are chosen; without `logprobs`.
    pub sampling: Sampling,
}

/// What is told while requests are completed.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Tokens were computed.
    Computed {
        /// Of prompts.
        prompt: usize,
        /// Generated before.
        generated: usize,
    },
    /// A request has ended.
    Completed(Completion),
}

/// What came after a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The request's.
    pub tag: u64,
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Tokens that were generated.
    pub ids: Vec<u32>,
    /// Their text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
}

impl Engine {
    /// Completes all requests, `width` of them at a time, each as if it were alone: tokens depend on nothing but the
    /// request. `tell` gets completions as they end. A prompt that does not fit the context ends at once.
    ///
    /// # Errors
    /// If a pass fails, a request is not valid, `tell` says so, there are to be more sessions than the budget was planned for,
    /// or `cancel` is set: [`EngineError::Cancelled`].
    pub fn complete_together<E: From<Error>>(
        &self,
        requests: impl IntoIterator<Item = Request>,
        width: usize,
        cancel: &Cancel,
        mut tell: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut requests = requests.into_iter();
        let mut running: Vec<Running> = Vec::new();
        loop {
            while let Some(request) = requests.by_ref().take(usize::from(running.len() < width.max(1))).next()
            {
                running.push(Running::new(self, request, cancel)?);
            }
            if running.is_empty() {
                return Ok(());
            }
            tell(pass(&mut running, self.core().room().chunk.min(self.limits().chunk).max(1))?)?;
            for ended in running.extract_if(.., |running| running.finish.is_some()) {
                tell(Event::Completed(ended.completion()))?;
            }
        }
    }
}

/// One pass: a row of each that generates, and as much of the others' prompts as there is room for beside them. More
/// passes where those that generate need more.
fn pass(running: &mut [Running], chunk: usize) -> Result<Event, Error> {
    let n_generating = running.iter().filter(|running| running.is_generating()).count();
    let most = chunk - n_generating % chunk;
    let mut room = most;
    let mut batch = Batch::new();
    for running in running.iter_mut().filter(|running| running.finish.is_none()) {
        let n = if running.is_generating() { 1 } else { running.waiting.len().min(room) };
        if n > 0 {
            if !running.is_generating() {
                room -= n;
            }
            let rows: Vec<u32> = running.waiting.drain(..n).collect();
            running.in_pass = true;
            batch.add(running.session.ids_mut(), &rows)?;
        }
    }
    batch.run()?;
    for running in running {
        if std::mem::take(&mut running.in_pass) && running.waiting.is_empty() {
            running.choose();
        }
    }
    Ok(Event::Computed { prompt: most - room, generated: n_generating })
}

/// A request under way.
struct Running {
    tag: u64,
    session: Session,
    n_prompt: usize,
    /// Tokens to be computed: what is left of the prompt, or the one generated last.
    waiting: Vec<u32>,
    in_pass: bool,
    sampler: Sampler,
    ends: Vec<u32>,
    n_left: Option<usize>,
    detokenizer: Detokenizer,
    stop: StopTexts,
    ids: Vec<u32>,
    text: String,
    finish: Option<Finish>,
}

impl Running {
    fn new(
        engine: &Engine,
        Request { tag, prompt, sampling }: Request,
        cancel: &Cancel,
    ) -> Result<Self, Error> {
        if prompt.is_empty() {
            return Err(EngineError::EmptyPrompt.into());
        }
        let sampler = Sampler::new(&sampling, engine.limits().n_choices).map_err(EngineError::from)?;
        let mut session = engine.session()?;
        session.set_cancel_flag(cancel.clone());
        // The prompt and a token are in use from now on, so that no smaller budget takes their room away.
        let finish = match session.ids_mut().hold(prompt.len() + 1) {
            Err(EngineError::ContextFull { .. }) => Some(Finish::Context),
            held => held.map(|()| (sampling.n == Some(0)).then_some(Finish::Limit))?,
        };
        Ok(Running {
            tag,
            session,
            n_prompt: prompt.len(),
            waiting: prompt,
            in_pass: false,
            ends: if sampling.ignore_end { Vec::new() } else { engine.end_tokens().to_vec() },
            n_left: sampling.n,
            detokenizer: engine.tokenizer().detokenizer(true),
            stop: StopTexts::new(&sampling.stop),
            sampler,
            ids: Vec::new(),
            text: String::new(),
            finish,
        })
    }

    fn is_generating(&self) -> bool {
        !self.ids.is_empty()
    }

    /// Chooses the next token after a pass.
    fn choose(&mut self) {
        let id = self.sampler.choose(self.session.logits(), self.session.tokens());
        self.ids.push(id);
        self.n_left = self.n_left.map(|n| n - 1);
        if self.ends.contains(&id) {
            return self.end(Finish::End);
        }
        let fresh = self.detokenizer.push(id);
        if self.take(&fresh) {
            return;
        }
        if self.n_left == Some(0) {
            self.end(Finish::Limit);
        } else if self.session.tokens().len() + 1 >= self.session.context() {
            self.end(Finish::Context);
        } else {
            self.waiting.push(id);
        }
    }

    /// Takes text; true if a stop text came.
    fn take(&mut self, fresh: &str) -> bool {
        let (text, stopped) = self.stop.push(fresh);
        self.text += &text;
        if let Some(index) = stopped {
            self.finish = Some(Finish::Stop(index));
        }
        stopped.is_some()
    }

    fn end(&mut self, finish: Finish) {
        let rest = self.detokenizer.finish();
        if !self.take(&rest) {
            self.text += &self.stop.flush();
            self.finish = Some(finish);
        }
    }

    fn completion(self) -> Completion {
        let Running { tag, n_prompt, ids, text, finish, .. } = self;
        Completion { tag, n_prompt, ids, text, finish: finish.expect("it has ended") }
    }
}
