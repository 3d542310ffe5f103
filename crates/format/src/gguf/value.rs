//! Single values of metadata, and how files spell them.

use super::array::Array;
use super::reader::{Reader, to_u64};
use crate::FormatError;
use crate::error::DAMAGED;

/// The type number of arrays.
pub(super) const ARRAY: u32 = 9;

/// A value of metadata.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Value {
    /// The value as a whole number from zero up, whatever integer type it has.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::U64(n) => Some(n),
            _ => self.as_i64()?.try_into().ok(),
        }
    }

    /// The value as a whole number, whatever integer type it has.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::U8(n) => Some(n.into()),
            Self::I8(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::I16(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::I32(n) => Some(n.into()),
            Self::U64(n) => n.try_into().ok(),
            Self::I64(n) => Some(n),
            _ => None,
        }
    }

    /// The value as a single, if it is floating point.
    #[expect(clippy::as_conversions, reason = "rounding a double to a single is what is asked for")]
    pub fn as_f32(&self) -> Option<f32> {
        match *self {
            Self::F32(x) => Some(x),
            Self::F64(x) => Some(x as f32),
            _ => None,
        }
    }

    /// The value as a truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = *self { Some(truth) } else { None }
    }

    /// The value as text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The value as an array, if it is one.
    pub fn as_array(&self) -> Option<&Array> {
        if let Self::Array(array) = self { Some(array) } else { None }
    }

    /// The type in words, for messages: `u32`, `array of string`.
    pub fn type_name(&self) -> String {
        match self {
            Self::Array(array) => format!("array of {}", type_name(array.type_id())),
            _ => type_name(self.type_id()).into(),
        }
    }

    pub(super) fn type_id(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::Array(_) => ARRAY,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    pub(super) fn parse(reader: &mut Reader<'_>, place: &impl Fn() -> String) -> Result<Self, FormatError> {
        Ok(match reader.u32(place)? {
            0 => Self::U8(u8::from_le_bytes(reader.array(place)?)),
            1 => Self::I8(i8::from_le_bytes(reader.array(place)?)),
            2 => Self::U16(u16::from_le_bytes(reader.array(place)?)),
            3 => Self::I16(i16::from_le_bytes(reader.array(place)?)),
            4 => Self::U32(u32::from_le_bytes(reader.array(place)?)),
            5 => Self::I32(i32::from_le_bytes(reader.array(place)?)),
            6 => Self::F32(f32::from_le_bytes(reader.array(place)?)),
            7 => Self::Bool(parse_bool(reader, place)?),
            8 => Self::String(reader.string(place)?.into()),
            ARRAY => Self::Array(Array::parse(reader, place, 1)?),
            10 => Self::U64(u64::from_le_bytes(reader.array(place)?)),
            11 => Self::I64(i64::from_le_bytes(reader.array(place)?)),
            12 => Self::F64(f64::from_le_bytes(reader.array(place)?)),
            id => return Err(unknown_type(reader, place, id)),
        })
    }

    /// Appends the value, without its type, as files spell it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(n) => out.push(*n),
            Self::I8(n) => out.extend(n.to_le_bytes()),
            Self::U16(n) => out.extend(n.to_le_bytes()),
            Self::I16(n) => out.extend(n.to_le_bytes()),
            Self::U32(n) => out.extend(n.to_le_bytes()),
            Self::I32(n) => out.extend(n.to_le_bytes()),
            Self::F32(n) => out.extend(n.to_le_bytes()),
            Self::Bool(truth) => out.push((*truth).into()),
            Self::String(text) => write_string(text, out),
            Self::Array(array) => array.write(out),
            Self::U64(n) => out.extend(n.to_le_bytes()),
            Self::I64(n) => out.extend(n.to_le_bytes()),
            Self::F64(n) => out.extend(n.to_le_bytes()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::U32(n)
    }
}

impl From<f32> for Value {
    fn from(x: f32) -> Self {
        Self::F32(x)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Self::Array(array)
    }
}

/// Appends a string's length and bytes.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend(to_u64(text.len()).to_le_bytes());
    out.extend(text.as_bytes());
}

fn type_name(id: u32) -> &'static str {
    ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"]
        .get(usize::try_from(id).unwrap_or(usize::MAX))
        .copied()
        .unwrap_or("unknown")
}

/// One byte, 0 or 1.
pub(super) fn parse_bool(reader: &mut Reader<'_>, place: &impl Fn() -> String) -> Result<bool, FormatError> {
    match reader.array(place)? {
        [0] => Ok(false),
        [1] => Ok(true),
        [byte] => {
            let found = format!("truth value {byte}");
            Err(FormatError::malformed(reader.path(), place(), found, "0 or 1", DAMAGED))
        }
    }
}

/// The refusal of a type number.
pub(super) fn unknown_type(reader: &Reader<'_>, place: &impl Fn() -> String, id: u32) -> FormatError {
    FormatError::malformed(reader.path(), place(), format!("value type {id}"), "0 to 12", DAMAGED)
}
