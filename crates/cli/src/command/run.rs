//! `dewdrop run`: goes on from a prompt.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use dewdrop::{EncodeOptions, Finish, Prepared, Sampling, Session, Token, machine};
use serde_json::{Value, json};

use super::{chat, report};
use crate::arguments::{ModelArguments, SamplingArguments, TextArguments, without_last_newline};
use crate::interrupt::Interrupt;
use crate::outcome::{Outcome, WrongUsage};
use crate::output;

/// What the built-in model is asked where nobody asks anything.
const GREETING: &str = "Once upon a time";

/// Continue a prompt
///
/// The prompt goes to the model as it is; special tokens in it, such as
/// `<|im_start|>`, count as such. With --chat it becomes the user's message in the
/// model's chat template. A newline at the end of a file or of standard input is
/// not part of the prompt.
///
/// The continuation streams to standard output (on a terminal, behind the prompt),
/// the statistics go to standard error.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    text: TextArguments,

    /// Put the prompt into the model's chat template
    #[arg(long)]
    chat: bool,

    /// System message, with --chat
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,

    /// Print one JSON record when all is done, instead of streaming
    #[arg(long)]
    json: bool,

    /// Record the N likeliest tokens at each step, with --json
    #[arg(long, value_name = "N", requires = "json")]
    logprobs: Option<usize>,

    /// No statistics
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    sampling: SamplingArguments,
}

/// Carries the command out.
pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install()?;
    let mut sampling = arguments.sampling.resolve()?;
    sampling.logprobs = arguments.logprobs;
    let prompt = arguments.prompt()?;
    let mut prepared = arguments.model.prepare()?;
    let ids = arguments.encode(&mut prepared, &prompt)?;
    let engine = arguments.model.start(prepared)?;

    let mut session = engine.session()?;
    session.set_cancel_flag(interrupt.cancel());
    let _stoppable = interrupt.stoppable();
    session.set_prompt(&ids)?;
    if arguments.json {
        record(arguments, &mut session, &sampling)?;
    } else {
        arguments.echo(&prompt)?;
        stream(&mut session, &sampling)?;
        if !arguments.quiet {
            output::note(&format!("\n{}", report::text(session.stats(), sampling.seed)));
            let streaming = report::streaming(&engine, session.stats())?;
            streaming.filter(|_| arguments.model.is_verbose()).iter().for_each(|text| output::note(text));
        }
    }
    Ok(Outcome::of(interrupt.is_asked()))
}

impl RunArguments {
    fn prompt(&self) -> anyhow::Result<String> {
        match self.text.read()? {
            Some(text) if self.text.is_typed() => Ok(text),
            Some(text) => Ok(without_last_newline(text)),
            None if self.model.is_built_in() => Ok(GREETING.into()),
            None => Err(WrongUsage(
                "no prompt (give one as an argument, with `-f FILE`, or on standard input; \
                 to talk with the model: `dewdrop chat`)"
                    .into(),
            )
            .into()),
        }
    }

    /// Before there is an engine: what a long prompt takes counts in its plan.
    fn encode(&self, prepared: &mut Prepared, prompt: &str) -> anyhow::Result<Vec<u32>> {
        if self.chat {
            let messages = chat::opening(self.system.as_deref(), prompt);
            let prompt = chat::prompt(prepared.template(), &messages)?;
            return Ok(prepared.encode(&prompt, chat::ENCODING)?);
        }
        Ok(prepared.encode(prompt, EncodeOptions { add_special: true, parse_special: true })?)
    }

    /// Repeats the prompt before its continuation where a person reads both as one text.
    fn echo(&self, prompt: &str) -> io::Result<()> {
        if self.chat || !io::stdout().is_terminal() {
            return Ok(());
        }
        let style = output::styles_for(&io::stdout()).prompt;
        write!(io::stdout(), "{style}{prompt}{style:#}")
    }
}

/// Prints tokens as they come.
fn stream(session: &mut Session, sampling: &Sampling) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut generation = session.generate(sampling)?;
    for token in generation.by_ref() {
        out.write_all(token?.text.as_bytes())?;
        out.flush()?;
    }
    writeln!(out, "{}", generation.rest())?;
    Ok(())
}

/// Prints one record at the end.
fn record(arguments: &RunArguments, session: &mut Session, sampling: &Sampling) -> anyhow::Result<()> {
    let n_prompt = session.tokens().len();
    let mut generation = session.generate(sampling)?;
    let tokens = generation.by_ref().collect::<Result<Vec<Token>, _>>()?;
    let finish = generation.finish().map(finish_reason);
    let text = tokens.iter().map(|token| token.text.as_str()).collect::<String>() + &generation.rest();
    let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    let stats = session.stats();
    output::write_json(&json!({
        "model": arguments.model.name(),
        "backend": session.engine().backend_name(),
        "seed": sampling.seed,
        "prompt_tokens": n_prompt,
        "generated_tokens": ids.len(),
        "ids": ids,
        "text": text,
        "finish_reason": finish,
        "logprobs": sampling.logprobs.map(|_| tokens.iter().map(logprobs).collect::<Vec<_>>()),
        "timings": report::timings(stats),
        "peak_memory_bytes": machine::peak_memory(),
        "streaming": report::streaming_json(session.engine(), stats)?,
    }))?;
    Ok(())
}

/// Why generation ended, in the words of OpenAI's interface where it has one.
pub(super) fn finish_reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::End | Finish::Stop(_) => "stop",
        Finish::Limit => "length",
        Finish::Context => "context",
        Finish::Cancelled => "interrupted",
        _ => "other",
    }
}

/// Natural logarithms of probabilities: of the token, and of the likeliest ones.
fn logprobs(token: &Token) -> Value {
    let Some(logprobs) = &token.logprobs else { return Value::Null };
    let top = logprobs.top.iter().map(|(id, logprob)| json!({ "id": id, "logprob": logprob }));
    json!({ "id": token.id, "logprob": logprobs.chosen, "top": top.collect::<Vec<_>>() })
}
