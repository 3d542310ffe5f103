//! Arrays of metadata, and how files spell them.

use super::reader::{Reader, to_u64};
use super::strings::Strings;
use super::value::{ARRAY, parse_bool, unknown_type, write_string};
use crate::FormatError;
use crate::error::DAMAGED;

/// Arrays in arrays in arrays: deeper than any file needs, shallow enough for any stack.
const MAX_DEPTH: usize = 4;

/// Values of one type in a row.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Strings),
    Array(Vec<Array>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

impl Array {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(all) => all.len(),
            Self::I8(all) => all.len(),
            Self::U16(all) => all.len(),
            Self::I16(all) => all.len(),
            Self::U32(all) => all.len(),
            Self::I32(all) => all.len(),
            Self::F32(all) => all.len(),
            Self::Bool(all) => all.len(),
            Self::String(all) => all.len(),
            Self::Array(all) => all.len(),
            Self::U64(all) => all.len(),
            Self::I64(all) => all.len(),
            Self::F64(all) => all.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as whole numbers from zero up, if they are integers of any type and none is negative.
    pub fn to_u64s(&self) -> Option<Vec<u64>> {
        match self {
            Self::U64(all) => Some(all.clone()),
            _ => self.to_i64s()?.into_iter().map(|n| n.try_into().ok()).collect(),
        }
    }

    /// The elements as whole numbers, if they are integers of any type and fit.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        Some(match self {
            Self::U8(all) => all.iter().map(|&n| n.into()).collect(),
            Self::I8(all) => all.iter().map(|&n| n.into()).collect(),
            Self::U16(all) => all.iter().map(|&n| n.into()).collect(),
            Self::I16(all) => all.iter().map(|&n| n.into()).collect(),
            Self::U32(all) => all.iter().map(|&n| n.into()).collect(),
            Self::I32(all) => all.iter().map(|&n| n.into()).collect(),
            Self::U64(all) => return all.iter().map(|&n| n.try_into().ok()).collect(),
            Self::I64(all) => all.clone(),
            _ => return None,
        })
    }

    /// The elements as singles, if they are.
    pub fn as_f32s(&self) -> Option<&[f32]> {
        if let Self::F32(all) = self { Some(all) } else { None }
    }

    /// The elements as truth values, if they are.
    pub fn as_bools(&self) -> Option<&[bool]> {
        if let Self::Bool(all) = self { Some(all) } else { None }
    }

    /// The elements as texts, if they are.
    pub fn as_strings(&self) -> Option<&Strings> {
        if let Self::String(all) = self { Some(all) } else { None }
    }

    /// The type number of the elements.
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

    /// Reads element type, count and elements. `depth`: 1, and one more in each array inside another.
    pub(super) fn parse(
        reader: &mut Reader<'_>,
        place: &impl Fn() -> String,
        depth: usize,
    ) -> Result<Self, FormatError> {
        let id = reader.u32(place)?;
        Ok(match id {
            0 => Self::U8(numbers(reader, place, u8::from_le_bytes)?),
            1 => Self::I8(numbers(reader, place, i8::from_le_bytes)?),
            2 => Self::U16(numbers(reader, place, u16::from_le_bytes)?),
            3 => Self::I16(numbers(reader, place, i16::from_le_bytes)?),
            4 => Self::U32(numbers(reader, place, u32::from_le_bytes)?),
            5 => Self::I32(numbers(reader, place, i32::from_le_bytes)?),
            6 => Self::F32(numbers(reader, place, f32::from_le_bytes)?),
            7 => Self::Bool(elements(reader, place, 1, |reader| parse_bool(reader, place))?),
            8 => Self::String(strings(reader, place)?),
            ARRAY if depth == MAX_DEPTH => {
                let found = format!("arrays nested more than {MAX_DEPTH} deep");
                return Err(FormatError::malformed(reader.path(), place(), found, "fewer levels", DAMAGED));
            }
            ARRAY => {
                Self::Array(elements(reader, place, 12, |reader| Self::parse(reader, place, depth + 1))?)
            }
            10 => Self::U64(numbers(reader, place, u64::from_le_bytes)?),
            11 => Self::I64(numbers(reader, place, i64::from_le_bytes)?),
            12 => Self::F64(numbers(reader, place, f64::from_le_bytes)?),
            _ => return Err(unknown_type(reader, place, id)),
        })
    }

    /// Appends element type, count and elements as files spell them.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.type_id().to_le_bytes());
        out.extend(to_u64(self.len()).to_le_bytes());
        match self {
            Self::U8(all) => out.extend(all),
            Self::I8(all) => out.extend(all.iter().flat_map(|n| n.to_le_bytes())),
            Self::U16(all) => out.extend(all.iter().flat_map(|n| n.to_le_bytes())),
            Self::I16(all) => out.extend(all.iter().flat_map(|n| n.to_le_bytes())),
            Self::U32(all) => out.extend(all.iter().flat_map(|n| n.to_le_bytes())),
            Self::I32(all) => out.extend(all.iter().flat_map(|n| n.to_le_bytes())),
            Self::F32(all) => out.extend(all.iter().flat_map(|n| n.to_le_bytes())),
            Self::Bool(all) => out.extend(all.iter().map(|&truth| u8::from(truth))),
            Self::String(all) => all.iter().for_each(|text| write_string(text, out)),
            Self::Array(all) => all.iter().for_each(|array| array.write(out)),
            Self::U64(all) => out.extend(all.iter().flat_map(|n| n.to_le_bytes())),
            Self::I64(all) => out.extend(all.iter().flat_map(|n| n.to_le_bytes())),
            Self::F64(all) => out.extend(all.iter().flat_map(|n| n.to_le_bytes())),
        }
    }
}

/// Reads a count and that many elements of at least `least_bytes` each.
fn elements<T>(
    reader: &mut Reader<'_>,
    place: &impl Fn() -> String,
    least_bytes: usize,
    element: impl Fn(&mut Reader<'_>) -> Result<T, FormatError>,
) -> Result<Vec<T>, FormatError> {
    let count = reader.count(least_bytes, place)?;
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(element(reader)?);
    }
    Ok(all)
}

fn strings(reader: &mut Reader<'_>, place: &impl Fn() -> String) -> Result<Strings, FormatError> {
    let count = reader.count(8, place)?;
    let mut all = Strings::with_capacity(count);
    for _ in 0..count {
        all.push(reader.string(place)?);
    }
    Ok(all)
}

fn numbers<T, const N: usize>(
    reader: &mut Reader<'_>,
    place: &impl Fn() -> String,
    number: fn([u8; N]) -> T,
) -> Result<Vec<T>, FormatError> {
    elements(reader, place, N, |reader| Ok(number(reader.array(place)?)))
}
