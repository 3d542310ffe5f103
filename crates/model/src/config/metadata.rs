//! GGUF values as JSON, so that both kinds of config are read by the same queries.

use dewdrop_format::gguf::{Array, Value as Metadatum};
use serde_json::Value;

/// The same value. Numbers that JSON cannot say (NaN, infinities) become `null`, which no query takes for a number.
pub(super) fn to_json(value: &Metadatum) -> Value {
    match value {
        Metadatum::U8(n) => (*n).into(),
        Metadatum::I8(n) => (*n).into(),
        Metadatum::U16(n) => (*n).into(),
        Metadatum::I16(n) => (*n).into(),
        Metadatum::U32(n) => (*n).into(),
        Metadatum::I32(n) => (*n).into(),
        Metadatum::U64(n) => (*n).into(),
        Metadatum::I64(n) => (*n).into(),
        Metadatum::F32(x) => (*x).into(),
        Metadatum::F64(x) => (*x).into(),
        Metadatum::Bool(truth) => (*truth).into(),
        Metadatum::String(text) => text.as_str().into(),
        Metadatum::Array(array) => list(array),
    }
}

fn list(array: &Array) -> Value {
    match array {
        Array::U8(all) => all.as_slice().into(),
        Array::I8(all) => all.as_slice().into(),
        Array::U16(all) => all.as_slice().into(),
        Array::I16(all) => all.as_slice().into(),
        Array::U32(all) => all.as_slice().into(),
        Array::I32(all) => all.as_slice().into(),
        Array::U64(all) => all.as_slice().into(),
        Array::I64(all) => all.as_slice().into(),
        Array::F32(all) => all.as_slice().into(),
        Array::F64(all) => all.as_slice().into(),
        Array::Bool(all) => all.as_slice().into(),
        Array::String(all) => all.iter().collect(),
        Array::Array(all) => all.iter().map(list).collect(),
    }
}
