//! Chat templates: messages to the text of a prompt.
//!
//! Templates are Jinja as the `transformers` library runs it: blocks trimmed, `tojson` as Python writes JSON, Python's
//! string methods, `raise_exception`, `strftime_now`, loop controls. They come with model files, so they are bounded in
//! steps, depth and output. What is not bounded is memory in between: a template that doubles a string in a loop can
//! still ask for more than there is.

mod clock;
mod environment;
mod generation;
mod json;
mod message;

use std::io;

use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind};
use serde_json::{Map, Value};

pub use message::{Content, Message};

use crate::{TextError, Tokenizer};

/// Most bytes a template may yield: far above any context.
const MOST_OUTPUT: usize = 64 << 20;
/// The template's name inside its environment.
const NAME: &str = "chat";

/// A parsed chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
}

/// What rendering takes besides messages and tools.
#[derive(Clone, Debug, Default)]
pub struct TemplateOptions {
    /// Ends with the beginning of the assistant's answer.
    pub add_generation_prompt: bool,
    /// Seconds since 1970 for `strftime_now`, in the time zone to show; none: now, UTC.
    pub now: Option<i64>,
    /// Further variables, such as `enable_thinking`.
    pub variables: Map<String, Value>,
}

impl ChatTemplate {
    /// Parses a template.
    pub fn new(source: &str) -> Result<Self, TextError> {
        let mut environment = environment::new();
        environment.add_template_owned(NAME, generation::plain(source)).map_err(error)?;
        Ok(Self { environment })
    }

    /// The template of a tokenizer, which knows the tokenizer's `bos_token`, `eos_token` and others by name.
    pub fn of(tokenizer: &Tokenizer) -> Result<Option<Self>, TextError> {
        tokenizer.chat_template().map(|source| Ok(Self::new(source)?.with_tokens(tokenizer))).transpose()
    }

    /// The text of a prompt.
    ///
    /// `tools` are JSON schemas of functions, or nothing.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[Value],
        options: &TemplateOptions,
    ) -> Result<String, TextError> {
        let mut variables = options.variables.clone();
        variables.insert("messages".into(), messages.iter().map(Message::to_value).collect());
        variables.insert("tools".into(), if tools.is_empty() { Value::Null } else { tools.into() });
        variables.entry("documents").or_insert(Value::Null);
        variables.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        variables.insert(clock::VARIABLE.into(), options.now.unwrap_or_else(clock::now).into());
        let mut output = Bounded(Vec::new());
        let template = self.environment.get_template(NAME).map_err(error)?;
        let context = minijinja::Value::from(Serde(&variables));
        template.render_captured_to(context, &mut output).map_err(error)?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
    }

    fn with_tokens(mut self, tokenizer: &Tokenizer) -> Self {
        let special = tokenizer.special_ids();
        let roles = [
            ("bos_token", special.bos),
            ("eos_token", special.eos),
            ("eot_token", special.eot),
            ("unk_token", special.unknown),
            ("pad_token", special.padding),
            ("sep_token", special.separator),
            ("mask_token", special.mask),
        ];
        for (name, id) in roles {
            if let Some(text) = id.and_then(|id| tokenizer.token_text(id)) {
                self.environment.add_global(name, text);
            }
        }
        self
    }
}

/// Output that ends in an error when it grows too long.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MOST_OUTPUT - self.0.len() {
            return Err(io::Error::other(format!("more than {MOST_OUTPUT} bytes of output")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The library's error in our words.
fn error(error: minijinja::Error) -> TextError {
    if let Some(message) = environment::refusal(&error) {
        return TextError::TemplateRefused { message };
    }
    let line = error.line().unwrap_or(0);
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::BadEscape => TextError::TemplateSyntax { line, message },
        _ => TextError::TemplateRender { line, message },
    }
}
