//! The filter `tojson`, as Python's `json.dumps` writes.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// Deepest nesting written.
const MOST_DEPTH: usize = 128;
/// Longest indentation per level.
const MOST_INDENT: usize = 64;

/// Writes a value as JSON. Arguments as `json.dumps` names them; `ensure_ascii` is false unless given.
pub(super) fn to_json(value: Value, rest: Kwargs) -> Result<Value, Error> {
    let style = Style::parse(&rest)?;
    let mut out = String::new();
    style.write(&value, 0, &mut out)?;
    Ok(Value::from(out))
}

struct Style {
    /// One level of indentation; none: all on one line.
    indent: Option<String>,
    between: String,
    after_key: String,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Style {
    fn parse(rest: &Kwargs) -> Result<Self, Error> {
        let indent = indentation(rest.get::<Option<Value>>("indent")?)?;
        let separators = rest.get::<Option<Vec<String>>>("separators")?;
        let (between, after_key) = match separators.as_deref() {
            Some([between, after_key]) => (between.clone(), after_key.clone()),
            Some(_) => return Err(invalid("`separators` takes two strings")),
            None => (if indent.is_some() { "," } else { ", " }.into(), ": ".into()),
        };
        let ensure_ascii = rest.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
        let sort_keys = rest.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
        rest.assert_all_used()?;
        Ok(Self { indent, between, after_key, ensure_ascii, sort_keys })
    }

    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        if depth > MOST_DEPTH {
            return Err(invalid("JSON nested too deep"));
        }
        match value.kind() {
            ValueKind::None | ValueKind::Undefined => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::String => self.write_string(value.as_str().unwrap_or_default(), out),
            ValueKind::Seq | ValueKind::Iterable => self.write_array(value, depth, out)?,
            ValueKind::Map => self.write_object(value, depth, out)?,
            other => return Err(invalid(&format!("{other} is not JSON"))),
        }
        Ok(())
    }

    fn write_array(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        let items: Vec<Value> = value.try_iter()?.collect();
        out.push('[');
        for (index, item) in items.iter().enumerate() {
            self.begin_item(index, depth + 1, out);
            self.write(item, depth + 1, out)?;
        }
        self.end_items(items.len(), depth, out);
        out.push(']');
        Ok(())
    }

    fn write_object(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        let mut keys: Vec<Value> = value.try_iter()?.collect();
        if self.sort_keys {
            keys.sort_by_key(ToString::to_string);
        }
        out.push('{');
        for (index, key) in keys.iter().enumerate() {
            self.begin_item(index, depth + 1, out);
            self.write_string(&key_text(key), out);
            out.push_str(&self.after_key);
            self.write(&value.get_item(key)?, depth + 1, out)?;
        }
        self.end_items(keys.len(), depth, out);
        out.push('}');
        Ok(())
    }

    fn begin_item(&self, index: usize, depth: usize, out: &mut String) {
        if index > 0 {
            out.push_str(&self.between);
        }
        self.new_line(depth, out);
    }

    fn end_items(&self, n_items: usize, depth: usize, out: &mut String) {
        if n_items > 0 {
            self.new_line(depth, out);
        }
    }

    fn new_line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    }

    fn write_string(&self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\0'..='\u{1f}' => push_escaped(character, out),
                _ if self.ensure_ascii && !(' '..='~').contains(&character) => push_escaped(character, out),
                _ => out.push(character),
            }
        }
        out.push('"');
    }
}

/// `\uXXXX`, twice for characters beyond the basic plane.
fn push_escaped(character: char, out: &mut String) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

fn indentation(indent: Option<Value>) -> Result<Option<String>, Error> {
    let Some(indent) = indent.filter(|indent| !indent.is_none()) else { return Ok(None) };
    if let Some(text) = indent.as_str() {
        return bounded(text.len()).map(|_| Some(text.to_owned()));
    }
    let width = i64::try_from(indent)?.max(0);
    let width = bounded(usize::try_from(width).unwrap_or(usize::MAX))?;
    Ok(Some(" ".repeat(width)))
}

fn bounded(width: usize) -> Result<usize, Error> {
    if width <= MOST_INDENT { Ok(width) } else { Err(invalid("`indent` is too wide")) }
}

/// Keys are strings, or what Python turns into them.
fn key_text(key: &Value) -> String {
    match key.kind() {
        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
        ValueKind::None | ValueKind::Undefined => "null".into(),
        ValueKind::Bool => key.is_true().to_string(),
        ValueKind::Number => number(key),
        _ => key.to_string(),
    }
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float)
}

/// A float as Python's `repr`: shortest digits, an exponent below -4 and from 16 on.
fn float(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .into();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_are_written_as_python_does() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e22, "1.5e+22"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (1e300, "1e+300"),
            (f64::NAN, "NaN"),
        ];
        for (value, want) in cases {
            assert_eq!(float(value), want);
        }
    }
}
