//! The header of one file.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::error::{DAMAGED, FAULTY_TOOL, shown};
use crate::tensor::{Place, check_places, tensor_len};
use crate::{BlockType, FormatError, TensorInfo};

/// Longest header in bytes: the limit of the format's own library.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes before the header: its length.
const PREFIX: u64 = 8;
/// The one name that is no tensor.
const METADATA: &str = "__metadata__";

/// What a safetensors file says before its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Tensors in the order of the header.
    pub tensors: Vec<TensorInfo>,
    /// Names and dtypes of tensors that no [`BlockType`] can spell. They may belong to parts that are not used, so
    /// they are no error here.
    pub unsupported: Vec<(String, String)>,
}

/// Parses and checks a header.
///
/// `bytes` are the first bytes of a file of `file_len` bytes: at least the header, at most everything. Where nobody knows
/// how long the whole file is, `file_len` is as long as one may be. `file` becomes [`TensorInfo::file`]; `path` is for messages.
///
/// # Errors
///
/// If the header is cut off or not what it should be, a tensor lies outside the file, its bytes do not fit its shape,
/// or tensors share a name or bytes.
pub fn parse_header(path: &Path, bytes: &[u8], file_len: u64, file: usize) -> Result<Header, FormatError> {
    let (json, start) = header_bytes(path, bytes, file_len)?;
    let entries: Entries = serde_json::from_slice(json).map_err(|source| FormatError::Json {
        path: path.into(),
        place: "header",
        source,
    })?;
    let places = places(path, &entries, start)?;
    check_names(path, &entries)?;
    check_places(path, places.clone(), file_len)?;
    let mut header = Header::default();
    for ((name, entry), &Place { offset, len, .. }) in entries.0.iter().zip(&places) {
        match block_type(&entry.dtype) {
            Some(block_type) => {
                let (name, shape) = (name.clone(), entry.shape(path, name, block_type, len)?);
                header.tensors.push(TensorInfo { name, shape, block_type, file, offset, len });
            }
            None => header.unsupported.push((name.clone(), entry.dtype.clone())),
        }
    }
    Ok(header)
}

fn block_type(dtype: &str) -> Option<BlockType> {
    match dtype {
        "F32" => Some(BlockType::F32),
        "F16" => Some(BlockType::F16),
        "BF16" => Some(BlockType::BF16),
        _ => None,
    }
}

/// The header's JSON, and where the data starts.
fn header_bytes<'a>(path: &Path, bytes: &'a [u8], file_len: u64) -> Result<(&'a [u8], u64), FormatError> {
    let end = u64::try_from(bytes.len()).map_or(file_len, |len| len.min(file_len));
    let cut_off = |offset, needed| {
        let place = "header".into();
        FormatError::CutOff { path: path.into(), place, offset, needed, end }
    };
    let Some((len, rest)) = bytes.split_first_chunk() else {
        return Err(cut_off(0, PREFIX));
    };
    let len = u64::from_le_bytes(*len);
    if len > MAX_HEADER {
        let (found, expected) = (format!("a length of {len} bytes"), format!("at most {MAX_HEADER}"));
        return Err(FormatError::malformed(path, "header", found, expected, "is this a safetensors file?"));
    }
    let json = usize::try_from(len).ok().and_then(|len| rest.get(..len));
    Ok((json.filter(|_| PREFIX + len <= file_len).ok_or_else(|| cut_off(PREFIX, len))?, PREFIX + len))
}

/// Where all tensors lie in a file whose data begins at `start`.
fn places<'a>(path: &Path, entries: &'a Entries, start: u64) -> Result<Vec<Place<'a>>, FormatError> {
    let place = |(name, entry): &'a (String, Entry)| {
        let (offset, len) = entry.place(path, name, start)?;
        Ok(Place { name, offset, len })
    };
    entries.0.iter().map(place).collect()
}

fn check_names(path: &Path, entries: &Entries) -> Result<(), FormatError> {
    let mut names = HashSet::with_capacity(entries.0.len());
    match entries.0.iter().find(|(name, _)| !names.insert(name.as_str())) {
        Some((name, _)) => Err(FormatError::duplicate(path, "tensor", name)),
        None => Ok(()),
    }
}

/// One tensor, as the header spells it.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Entry {
    /// First byte in the file, and bytes.
    fn place(&self, path: &Path, name: &str, start: u64) -> Result<(u64, u64), FormatError> {
        let (begin, end) = self.data_offsets;
        match (end.checked_sub(begin), start.checked_add(end)) {
            (Some(len), Some(_)) => Ok((start + begin, len)),
            _ => {
                let (place, found) =
                    (format!("tensor `{}`", shown(name)), format!("data_offsets {begin} to {end}"));
                let expected = "an ascending range inside the file";
                Err(FormatError::malformed(path, place, found, expected, DAMAGED))
            }
        }
    }

    /// The shape, if weights of `block_type` in it take `len` bytes.
    fn shape(
        &self,
        path: &Path,
        name: &str,
        block_type: BlockType,
        len: u64,
    ) -> Result<Vec<usize>, FormatError> {
        let shape: Option<Vec<usize>> = self.shape.iter().map(|&size| usize::try_from(size).ok()).collect();
        let needed = shape.as_deref().and_then(|shape| tensor_len(block_type, shape));
        match shape {
            Some(shape) if needed == Some(len) => Ok(shape),
            _ => {
                let found =
                    format!("{len} bytes for shape {} in {block_type}", shown(&format!("{:?}", self.shape)));
                let expected = needed.map_or("a smaller shape".into(), |needed| format!("{needed} bytes"));
                let place = format!("tensor `{}`", shown(name));
                Err(FormatError::malformed(path, place, found, expected, FAULTY_TOOL))
            }
        }
    }
}

/// All tensors in the order of the header, with repeated names: a map would silently keep the last.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(Entries(entries))
    }
}
