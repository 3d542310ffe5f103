//! Reading a whole header.

use std::path::Path;

use super::metadata::Metadata;
use super::reader::Reader;
use super::tensors::{self, parse_tensors};
use super::value::Value;
use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC};
use crate::error::{DAMAGED, FAULTY_TOOL, shown};
use crate::tensor::{Place, check_places};
use crate::{FormatError, TensorInfo};

/// Bytes of the shortest entry of metadata: an empty key, a type and a byte.
const LEAST_ENTRY_BYTES: usize = 8 + 4 + 1;
/// Alignments are multiples of 8 by the format's description; beyond a megabyte none makes sense.
const ALIGNMENTS: std::ops::RangeInclusive<u64> = 8..=1 << 20;

/// What a GGUF file says before its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Gguf {
    /// Version of the format: 2 or 3.
    pub version: u32,
    /// What every tensor's offset is a multiple of, counted from the start of the data.
    pub alignment: u64,
    /// Keys and values.
    pub metadata: Metadata,
    /// Tensors in the order of the file.
    pub tensors: Vec<TensorInfo>,
}

/// Parses and checks a header.
///
/// `bytes` are the first bytes of a file of `file_len` bytes: at least the header, at most everything. Where nobody knows
/// how long the whole file is, `file_len` is as long as one may be. `file` becomes [`TensorInfo::file`]; `path` is for messages. The memory used is a small multiple of the header's bytes, however
/// large the numbers in it.
///
/// # Errors
///
/// If the header is cut off or breaks a rule, a tensor is of a type that is not supported or outside the file, or
/// tensors share a name or bytes.
pub fn parse(path: &Path, bytes: &[u8], file_len: u64, file: usize) -> Result<Gguf, FormatError> {
    let mut reader = Reader::new(path, bytes);
    let version = parse_version(&mut reader)?;
    let n_tensors = reader.count(tensors::LEAST_BYTES, &|| "number of tensors".into())?;
    let n_entries = reader.count(LEAST_ENTRY_BYTES, &|| "number of keys".into())?;
    let metadata = parse_metadata(&mut reader, n_entries)?;
    let alignment = alignment(&metadata)?;
    let mut tensors = parse_tensors(&mut reader, n_tensors, file)?;
    place_tensors(path, &mut tensors, reader.offset().next_multiple_of(alignment), alignment)?;
    check_places(path, tensors.iter().map(Place::from).collect(), file_len)?;
    Ok(Gguf { version, alignment, metadata, tensors })
}

/// The alignment that these entries ask for.
pub(super) fn alignment(metadata: &Metadata) -> Result<u64, FormatError> {
    let alignment = metadata.get_u64(ALIGNMENT_KEY)?.unwrap_or(DEFAULT_ALIGNMENT);
    if alignment.is_power_of_two() && ALIGNMENTS.contains(&alignment) {
        return Ok(alignment);
    }
    let (place, found) = (format!("key `{ALIGNMENT_KEY}`"), format!("alignment {alignment}"));
    let expected = format!("a power of two from {} to {}", ALIGNMENTS.start(), ALIGNMENTS.end());
    Err(FormatError::malformed(metadata.path(), place, found, expected, FAULTY_TOOL))
}

fn parse_version(reader: &mut Reader<'_>) -> Result<u32, FormatError> {
    let magic: [u8; 4] = reader.array(&|| "first bytes".into())?;
    if &magic != MAGIC {
        return Err(FormatError::NotThisFormat {
            path: reader.path().into(),
            found: magic.escape_ascii().to_string(),
            expected: "`GGUF`",
            remedy: "is this a GGUF file?",
        });
    }
    let version = reader.u32(&|| "version".into())?;
    let (found, remedy) = match version {
        2 | 3 => return Ok(version),
        _ if matches!(version.swap_bytes(), 1..=3) => {
            ("a big-endian file".into(), "convert the model again for little-endian machines")
        }
        _ => (format!("version {version}"), "convert the model again with a current tool"),
    };
    Err(FormatError::malformed(reader.path(), "version", found, "version 2 or 3", remedy))
}

fn parse_metadata(reader: &mut Reader<'_>, n_entries: usize) -> Result<Metadata, FormatError> {
    let mut metadata = Metadata::new(reader.path());
    for position in 0..n_entries {
        let key = reader.string(&|| format!("name of key {position}"))?;
        let value = Value::parse(reader, &|| format!("key `{}`", shown(key)))?;
        metadata.append(key, value)?;
    }
    Ok(metadata)
}

/// Turns offsets in the data, which begins at `start`, into offsets in the file.
fn place_tensors(
    path: &Path,
    tensors: &mut [TensorInfo],
    start: u64,
    alignment: u64,
) -> Result<(), FormatError> {
    for tensor in tensors {
        let refuse = |expected: String| {
            let (place, found) =
                (format!("tensor `{}`", shown(&tensor.name)), format!("offset {}", tensor.offset));
            FormatError::malformed(path, place, found, expected, DAMAGED)
        };
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(refuse(format!("a multiple of {alignment}")));
        }
        let offset =
            start.checked_add(tensor.offset).filter(|offset| offset.checked_add(tensor.len).is_some());
        tensor.offset = offset.ok_or_else(|| refuse("an offset inside the file".into()))?;
    }
    Ok(())
}
