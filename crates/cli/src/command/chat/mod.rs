//! `dewdrop chat`: questions and answers.

mod conversation;
mod lines;
mod request;
mod thinking;

use std::io::{self, Write};

use anyhow::{Context, anyhow};
use clap::Args;
use dewdrop::{EncodeOptions, Engine, Sampling, Session};
use dewdrop_text::{ChatTemplate, Message, TemplateOptions};

use self::conversation::{Conversation, Said};
use self::lines::Lines;
use self::request::Request;
use self::thinking::{Piece, Thinking};
use super::report;
use crate::arguments::{ModelArguments, SamplingArguments};
use crate::interrupt::Interrupt;
use crate::outcome::{self, Outcome};
use crate::output::{self, note};

/// Talk with a model
///
/// Lines that begin with a slash are commands; /help lists them. What was computed
/// for earlier messages is kept, so that an answer costs only what is new. Where
/// standard input is not a terminal, each line of it is a question.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ChatArguments {
    /// System message
    #[arg(long, visible_alias = "system-prompt", value_name = "TEXT")]
    system: Option<String>,

    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    sampling: SamplingArguments,
}

/// Carries the command out.
pub(crate) fn run(arguments: &ChatArguments) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install()?;
    let sampling = arguments.sampling.resolve()?;
    let engine = arguments.model.open()?;
    // Better before the first question than after it.
    engine.encode(&prompt(engine.template(), &opening(None, "hello"))?, ENCODING)?;
    let mut lines = Lines::open()?;
    let conversation = Conversation::new(arguments.system.as_deref());
    let mut session = engine.session()?;
    session.set_cancel_flag(interrupt.cancel());
    let mut chat = Chat { session, engine, conversation, sampling, interrupt };
    if lines.is_terminal() {
        note(&format!(
            "{} ({}). /help lists the commands.",
            arguments.model.name(),
            chat.engine.backend_name()
        ));
    }
    chat.talk(&mut lines)
}

/// How such a text becomes tokens: its template has written all special tokens that the model wants.
pub(super) const ENCODING: EncodeOptions = EncodeOptions { add_special: false, parse_special: true };

/// A conversation that begins with one question.
pub(super) fn opening(system: Option<&str>, question: &str) -> Vec<Message> {
    let mut conversation = Conversation::new(system);
    conversation.ask(question);
    messages(&conversation)
}

/// The text after which a model answers the last of these messages.
pub(super) fn prompt(template: Option<&ChatTemplate>, messages: &[Message]) -> anyhow::Result<String> {
    let template = template.ok_or_else(|| {
        anyhow!("the model has no chat template (it continues texts: use `dewdrop run` without --chat)")
    })?;
    let options = TemplateOptions { add_generation_prompt: true, ..TemplateOptions::default() };
    template.render(messages, &[], &options).context("the model's chat template failed")
}

fn messages(conversation: &Conversation) -> Vec<Message> {
    conversation
        .messages()
        .iter()
        .map(|said: &Said| Message::new(said.role.as_str(), said.content.as_str()))
        .collect()
}

/// What a chat keeps between lines.
struct Chat {
    session: Session,
    engine: Engine,
    conversation: Conversation,
    sampling: Sampling,
    interrupt: Interrupt,
}

impl Chat {
    fn talk(&mut self, lines: &mut Lines) -> anyhow::Result<Outcome> {
        while let Some(line) = lines.next()? {
            let done = match request::parse(&line) {
                Ok(Request::Quit) => break,
                Ok(request) => self.carry_out(request),
                Err(message) => Err(anyhow!(message)),
            };
            match done {
                // A person can mend it; a script would go on with something it did not mean.
                Err(error) if lines.is_terminal() && outcome::is_cancelled(&error) => note("stopped"),
                Err(error) if lines.is_terminal() => outcome::report(&error),
                Err(error) => return Err(error),
                Ok(()) if self.interrupt.is_asked() && !lines.is_terminal() => {
                    return Ok(Outcome::Interrupted);
                }
                Ok(()) => {}
            }
        }
        Ok(Outcome::Done)
    }

    fn carry_out(&mut self, request: Request) -> anyhow::Result<()> {
        match request {
            Request::Nothing | Request::Quit => {}
            Request::Help => note(&request::help()),
            Request::Stats => note(&report::text(self.session.stats(), self.sampling.seed)),
            Request::Reset => self.conversation.reset(),
            Request::System(text) => self.conversation.set_system(&text),
            Request::Save(path) => self.conversation.save(&path)?,
            Request::Load(path) => self.conversation = Conversation::load(&path)?,
            Request::Undo if self.conversation.undo() => {}
            Request::Undo => note("there is nothing to undo"),
            Request::Say(text) => return self.answer(&text),
        }
        Ok(())
    }

    /// Asks, streams the answer, keeps both. If that fails, the question is taken back.
    fn answer(&mut self, question: &str) -> anyhow::Result<()> {
        self.conversation.ask(question);
        match self.stream() {
            Ok(answer) => self.conversation.answer(answer.trim()),
            Err(error) => {
                self.conversation.undo();
                return Err(error);
            }
        }
        Ok(())
    }

    fn stream(&mut self) -> anyhow::Result<String> {
        let _stoppable = self.interrupt.stoppable();
        let prompt = prompt(self.engine.template(), &messages(&self.conversation))?;
        self.session.set_prompt(&self.engine.encode(&prompt, ENCODING)?)?;
        let mut answer = String::new();
        let mut thinking = Thinking::after(&prompt);
        let mut generation = self.session.generate(&self.sampling)?;
        for token in generation.by_ref() {
            let text = token?.text;
            show(&thinking.push(&text))?;
            answer += &text;
        }
        let rest = generation.rest();
        show(&thinking.push(&rest))?;
        show(&[thinking.finish()])?;
        writeln!(io::stdout())?;
        answer += &rest;
        Ok(answer)
    }
}

/// Prints pieces of an answer at once, thinking faintly.
fn show(pieces: &[Piece]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let faint = output::styles_for(&out).faint;
    for Piece { is_thinking, text } in pieces {
        if *is_thinking { write!(out, "{faint}{text}{faint:#}")? } else { write!(out, "{text}")? }
    }
    out.flush()
}
