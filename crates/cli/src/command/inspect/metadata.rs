//! Metadata of both kinds of files as one list.

use dewdrop_format::gguf::{self, Array};
use dewdrop_store::{Checkpoint, CheckpointKind};
use serde_json::{Value, json};

use crate::output;
use crate::table::{Side, Table};

/// Elements of an array that are shown.
const SHOWN_ELEMENTS: usize = 4;
/// Characters of a text that are shown.
const SHOWN_CHARACTERS: usize = 60;

/// A key, the type of its value in words, and the value.
pub(super) struct Entry {
    pub(super) key: String,
    kind: String,
    pub(super) value: Value,
}

/// All metadata in the order of the file.
pub(super) fn entries(checkpoint: &Checkpoint) -> Vec<Entry> {
    match &checkpoint.kind {
        CheckpointKind::Gguf(file) => file.metadata.iter().map(gguf_entry).collect(),
        CheckpointKind::HuggingFace { config, .. } => {
            config.as_object().into_iter().flatten().map(json_entry).collect()
        }
    }
}

/// The entries as people read them: control characters spelled out, long values shortened.
pub(super) fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new(&[Side::Left, Side::Left, Side::Left]);
    for entry in entries {
        table.row([output::visible(&entry.key), entry.kind.clone(), shown(&entry.value)]);
    }
    table
}

fn gguf_entry((key, value): (&str, &gguf::Value)) -> Entry {
    Entry { key: key.into(), kind: value.type_name(), value: gguf_json(value) }
}

fn json_entry((key, value): (&String, &Value)) -> Entry {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Entry { key: key.clone(), kind: kind.into(), value: value.clone() }
}

/// The value in JSON. Floats that JSON has no word for become texts.
fn gguf_json(value: &gguf::Value) -> Value {
    match value {
        gguf::Value::Bool(truth) => json!(truth),
        gguf::Value::String(text) => json!(text),
        gguf::Value::F32(x) => float(*x),
        gguf::Value::F64(x) => double(*x),
        gguf::Value::U64(n) => json!(n),
        gguf::Value::Array(array) => array_json(array),
        _ => json!(value.as_i64()),
    }
}

fn array_json(array: &Array) -> Value {
    match array {
        Array::U8(items) => json!(items),
        Array::I8(items) => json!(items),
        Array::U16(items) => json!(items),
        Array::I16(items) => json!(items),
        Array::U32(items) => json!(items),
        Array::I32(items) => json!(items),
        Array::U64(items) => json!(items),
        Array::I64(items) => json!(items),
        Array::Bool(items) => json!(items),
        Array::String(items) => items.iter().collect(),
        Array::F32(items) => items.iter().copied().map(float).collect(),
        Array::F64(items) => items.iter().copied().map(double).collect(),
        Array::Array(items) => items.iter().map(array_json).collect(),
    }
}

/// A single as its shortest spelling, `0.000001` rather than the double next to it.
fn float(x: f32) -> Value {
    if x.is_finite() { json!(x.to_string().parse::<f64>().unwrap_or(x.into())) } else { json!(x.to_string()) }
}

fn double(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { json!(x.to_string()) }
}

/// A value in one line.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => shown_array(items),
        Value::String(text) => shortened(text),
        other => shortened(&other.to_string()),
    }
}

fn shown_array(items: &[Value]) -> String {
    let mut parts: Vec<_> =
        items.iter().take(SHOWN_ELEMENTS).map(|item| shortened(&item.to_string())).collect();
    if items.len() > SHOWN_ELEMENTS {
        parts.push(format!("... {} in all", items.len()));
    }
    format!("[{}]", parts.join(", "))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        None => output::visible(text),
        Some((end, _)) => format!("{}... {} bytes in all", output::visible(&text[..end]), text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_say_how_long_they_are() {
        assert_eq!(shown(&json!([1, 2])), "[1, 2]");
        assert_eq!(shown(&json!(["a", "b", "c", "d", "e"])), r#"["a", "b", "c", "d", ... 5 in all]"#);
        assert_eq!(shown(&json!("é".repeat(61))), format!("{}... 122 bytes in all", "é".repeat(60)));
        assert_eq!(shown(&json!("a\nb")), "a\\nb");
    }

    #[test]
    fn floats_keep_their_spelling() {
        assert_eq!(float(1e-6), json!(0.000001));
        assert_eq!(float(f32::NAN), json!("NaN"));
    }
}
