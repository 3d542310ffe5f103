//! The functions and settings templates are written for.

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};

use super::{clock, json};

/// Steps a template may take: a thousand messages take a hundredth of it.
const FUEL: u64 = 20_000_000;
/// Longest indentation `indent` makes; the library would make any.
const MOST_INDENT: usize = 1024;

/// An environment like that of `transformers`.
pub(super) fn new() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters"));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(python_method);
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", json::to_json);
    environment.add_filter("indent", indent);
    environment.add_filter("format", format_values);
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment
}

/// What a template said when it refused its messages.
pub(super) fn refusal(error: &Error) -> Option<String> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Some(refusal.0.clone());
        }
        source = error.source();
    }
    None
}

/// The template's own words.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

fn raise_exception(message: Value) -> Result<Value, Error> {
    let message = message.to_string();
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Refusal(message)))
}

fn strftime_now(state: &State<'_, '_>, format: String) -> String {
    let now = state.lookup(clock::VARIABLE).and_then(|now| i64::try_from(now).ok());
    clock::strftime(now.unwrap_or_else(clock::now), &format)
}

/// As in Python, and unlike the library's own test, nothing cannot be iterated over.
fn is_iterable(value: &Value) -> bool {
    is_sequence(value) || matches!(value.kind(), ValueKind::Iterable | ValueKind::Undefined)
}

/// Python's strings and dictionaries count, too.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
}

/// The filter `format`, without the widths that fill memory.
fn format_values(
    state: &mut State<'_, '_>,
    text: &Value,
    values: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    check_widths(text.as_str().unwrap_or_default())?;
    minijinja::filters::format(state, text, values)
}

/// Methods of Python's strings, lists and dictionaries.
fn python_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    if method == "format" {
        check_widths(value.as_str().unwrap_or_default())?;
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments)
}

/// Refuses format strings with a width or precision of more than three digits, or one that an argument gives.
fn check_widths(format: &str) -> Result<(), Error> {
    let mut inside = None;
    let mut n_digits = 0;
    for character in format.chars() {
        n_digits = if character.is_ascii_digit() { n_digits + 1 } else { 0 };
        let nested = character == '*' || (character == '{' && inside == Some('{'));
        match (inside, character) {
            (Some(_), _) if nested || n_digits > 3 => {
                let message = "format string with a width of more than 3 digits";
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
            (None, '%' | '{') => inside = Some(character),
            (Some('{'), '}') => inside = None,
            (Some('%'), end) if end.is_alphabetic() || end == '%' => inside = None,
            _ => {}
        }
    }
    Ok(())
}

/// Indents all lines but the first, as Jinja's filter does.
fn indent(text: String, width: Option<usize>, first: Option<bool>, rest: Kwargs) -> Result<String, Error> {
    let width = width.or(rest.get("width")?).unwrap_or(4);
    let first = first.or(rest.get("first")?).unwrap_or(false);
    let blank: bool = rest.get::<Option<bool>>("blank")?.unwrap_or(false);
    rest.assert_all_used()?;
    if width > MOST_INDENT {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("indentation of more than {MOST_INDENT}"),
        ));
    }
    let margin = " ".repeat(width);
    let indented = text.split('\n').enumerate().map(|(index, line)| {
        let wanted = if index == 0 { first } else { blank || !line.is_empty() };
        if wanted { format!("{margin}{line}") } else { line.to_owned() }
    });
    Ok(indented.collect::<Vec<_>>().join("\n"))
}
