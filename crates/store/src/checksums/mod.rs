//! Checksums of tensors, made once, and compared when bytes are read: damage becomes an error that names its place.
//!
//! Each tensor is summed in pieces, so that a part of one (some channels of the head, a row of the embedding table) can
//! be checked without reading all of it. XXH3 sums faster than memory delivers. It finds damage, not forgery.
//! [`sidecar`] says how they lie in a file beside the model's.

mod sidecar;

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;

use twox_hash::XxHash3_64;

use crate::map::Source;
use crate::{Checkpoint, StoreError};

pub use sidecar::sidecar_path;

/// Bytes of a piece: small enough that a row of a table costs little more with the piece around it.
const PIECE: u64 = 256 << 10;

/// Checksums of one of a checkpoint's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// Bytes of the file.
    len: u64,
    /// Of all before the first tensor.
    header: Sums,
    tensors: BTreeMap<String, Sums>,
}

/// Checksums of a stretch of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sums {
    offset: u64,
    len: u64,
    /// Of each piece; the last one may be shorter.
    pieces: Vec<u64>,
}

/// A stretch that is not what it was when it was summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The tensor; none: the file's header.
    pub tensor: Option<String>,
    /// First byte of the first piece that differs, counted from the start of the file.
    pub offset: u64,
    /// Bytes of the tensor in pieces that differ.
    pub bytes: u64,
}

/// Hears after each stretch how many bytes were read since the last; may end the work.
pub type Progress<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

impl Checksums {
    /// Sums one of a checkpoint's files; none if `progress` ended it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn compute(
        checkpoint: &Checkpoint,
        file: usize,
        progress: Progress<'_>,
    ) -> Result<Option<Checksums>, StoreError> {
        let source = &checkpoint.sources()[file];
        let mut sum = |range: Range<u64>| -> Result<Option<Sums>, StoreError> {
            let sums = Sums::compute(source, range.clone())?;
            Ok(progress(range.end - range.start).is_continue().then_some(sums))
        };
        let Some(header) = sum(0..header_len(checkpoint, file))? else { return Ok(None) };
        let mut tensors = BTreeMap::new();
        for (name, range) in places(checkpoint, file) {
            let Some(sums) = sum(range)? else { return Ok(None) };
            tensors.insert(name.to_owned(), sums);
        }
        Ok(Some(Checksums { len: source.len(), header, tensors }))
    }

    /// Reads all of a file and yields what differs; none if `progress` ended it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn damages(
        &self,
        checkpoint: &Checkpoint,
        file: usize,
        progress: Progress<'_>,
    ) -> Result<Option<Vec<Damage>>, StoreError> {
        let source = &checkpoint.sources()[file];
        let mut damages = Vec::new();
        let tensors = self.tensors.iter().map(|(name, sums)| (Some(name), sums));
        for (tensor, sums) in std::iter::once((None, &self.header)).chain(tensors) {
            let found = Sums::compute(source, sums.offset..sums.offset + sums.len)?;
            damages.extend(sums.damage(&found).map(|damage| Damage { tensor: tensor.cloned(), ..damage }));
            if progress(sums.len).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(damages))
    }

    /// Bytes that are summed.
    pub fn n_bytes(&self) -> u64 {
        self.header.len + self.tensors.values().map(|sums| sums.len).sum::<u64>()
    }

    /// An error if a header, which was read when the file was opened, is not the one that was summed.
    pub(crate) fn check_header(&self, source: &Source) -> Result<(), StoreError> {
        let found = Sums::compute(source, 0..self.header.len)?;
        self.header.damage(&found).map_or(Ok(()), |damage| Err(damaged(source, &damage)))
    }

    /// An error if `bytes`, read at `offset`, are not those of the tensor that was summed.
    pub(crate) fn check(
        &self,
        source: &Source,
        tensor: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        // All tensors are there: the sidecar was compared with the file's list.
        let Some(sums) = self.tensors.get(tensor) else { return Ok(()) };
        let read = offset..offset + bytes.len() as u64;
        for (piece, sum) in sums.overlapping(&read) {
            if !is_intact(source, &piece, *sum, &read, bytes)? {
                let (tensor, bytes) = (Some(tensor.to_owned()), piece.end - piece.start);
                return Err(damaged(source, &Damage { tensor, offset: piece.start, bytes }));
            }
        }
        Ok(())
    }
}

impl Sums {
    fn compute(source: &Source, range: Range<u64>) -> Result<Sums, StoreError> {
        let mut sums = Sums { offset: range.start, len: range.end - range.start, pieces: Vec::new() };
        let mut buffer = vec![0; PIECE.min(sums.len) as usize];
        for start in range.clone().step_by(PIECE as usize) {
            let bytes = &mut buffer[..PIECE.min(range.end - start) as usize];
            source.read(start, bytes)?;
            sums.pieces.push(XxHash3_64::oneshot(bytes));
        }
        Ok(sums)
    }

    /// Each piece's place in the file and its sum, where it has bytes of `read`.
    fn overlapping(&self, read: &Range<u64>) -> impl Iterator<Item = (Range<u64>, &u64)> {
        let (offset, end, read) = (self.offset, self.offset + self.len, read.clone());
        let place = move |(i, sum)| {
            let start = offset + i * PIECE;
            (start..end.min(start + PIECE), sum)
        };
        let skipped = read.start.saturating_sub(offset) / PIECE;
        let pieces = (0..).zip(&self.pieces).skip(usize::try_from(skipped).unwrap_or(usize::MAX));
        pieces.map(place).take_while(move |(piece, _)| piece.start < read.end)
    }

    /// What differs in sums of the same stretch.
    fn damage(&self, found: &Sums) -> Option<Damage> {
        let whole = self.offset..self.offset + self.len;
        let all = self.overlapping(&whole).zip(&found.pieces);
        let differing: Vec<Range<u64>> =
            all.filter(|((_, sum), found)| sum != found).map(|((piece, _), _)| piece).collect();
        let bytes = differing.iter().map(|piece| piece.end - piece.start).sum();
        Some(Damage { tensor: None, offset: differing.first()?.start, bytes })
    }
}

/// Whether the part of `bytes`, read from `read`, that lies in a piece is intact. Where only a part of the piece was read,
/// all of it is read once more, and the part must be the same.
fn is_intact(
    source: &Source,
    piece: &Range<u64>,
    sum: u64,
    read: &Range<u64>,
    bytes: &[u8],
) -> Result<bool, StoreError> {
    let (start, end) = (piece.start.max(read.start), piece.end.min(read.end));
    let part = &bytes[(start - read.start) as usize..(end - read.start) as usize];
    if (start, end) == (piece.start, piece.end) {
        return Ok(XxHash3_64::oneshot(part) == sum);
    }
    let mut whole = vec![0; (piece.end - piece.start) as usize];
    source.read(piece.start, &mut whole)?;
    let same = whole[(start - piece.start) as usize..(end - piece.start) as usize] == *part;
    Ok(same && XxHash3_64::oneshot(&whole) == sum)
}

fn damaged(source: &Source, damage: &Damage) -> StoreError {
    let path = source.path().to_owned();
    let place = match &damage.tensor {
        Some(tensor) => format!("tensor `{tensor}`"),
        None => "header".into(),
    };
    let (offset, sidecar) = (damage.offset, sidecar_path(&path));
    StoreError::Damaged { path, place, offset, bytes: damage.bytes, sidecar }
}

/// A file's tensors by name, and where they lie.
fn places(checkpoint: &Checkpoint, file: usize) -> impl Iterator<Item = (&str, Range<u64>)> {
    let tensors = checkpoint.tensors.values().filter(move |tensor| tensor.file == file);
    tensors.map(|tensor| (&*tensor.name, tensor.offset..tensor.offset + tensor.len))
}

/// Bytes before a file's first tensor.
fn header_len(checkpoint: &Checkpoint, file: usize) -> u64 {
    let starts = places(checkpoint, file).map(|(_, range)| range.start);
    starts.min().unwrap_or_else(|| checkpoint.sources()[file].len())
}

/// The checksums that lie beside a checkpoint's files; none beside a file without.
pub(crate) fn beside(checkpoint: &Checkpoint) -> Result<Vec<Option<Checksums>>, StoreError> {
    (0..checkpoint.sources().len()).map(|file| Checksums::read(checkpoint, file)).collect()
}

impl Checksums {
    /// Those in the sidecar of one of a checkpoint's files; none if it has no sidecar.
    ///
    /// # Errors
    /// If the sidecar cannot be read or is of another file.
    pub fn read(checkpoint: &Checkpoint, file: usize) -> Result<Option<Checksums>, StoreError> {
        let source = &checkpoint.sources()[file];
        let sidecar = sidecar_path(source.path());
        if source.file().is_none() || !sidecar.exists() {
            return Ok(None);
        }
        let checksums = sidecar::read(&sidecar)?;
        checksums.check_places(checkpoint, file, &sidecar)?;
        Ok(Some(checksums))
    }

    /// An error if these are of a file with another length or other tensors.
    fn check_places(&self, checkpoint: &Checkpoint, file: usize, sidecar: &Path) -> Result<(), StoreError> {
        let source = &checkpoint.sources()[file];
        let other = |found: String, expected: String| {
            let (path, sidecar) = (source.path().to_owned(), sidecar.to_owned());
            Err(StoreError::OtherChecksums { sidecar, path, found, expected })
        };
        if self.len != source.len() {
            return other(format!("a file of {} bytes", self.len), format!("{} bytes", source.len()));
        }
        let found = self.tensors.iter().map(|(name, sums)| (&**name, sums.offset..sums.offset + sums.len));
        let (found, expected): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (found.collect(), places(checkpoint, file).collect());
        if self.header.len != header_len(checkpoint, file) {
            let expected = header_len(checkpoint, file);
            return other(format!("a header of {} bytes", self.header.len), format!("{expected} bytes"));
        }
        match expected.iter().find(|(name, place)| found.get(*name) != Some(*place)) {
            Some((name, place)) => other(
                format!("tensor `{name}` missing or elsewhere"),
                format!("bytes {} to {}", place.start, place.end),
            ),
            None if found.len() > expected.len() => {
                other(format!("{} tensors", found.len()), format!("{} tensors", expected.len()))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use dewdrop_backend::Blocks;

    use super::*;

    const OFFSET: u64 = 100;

    /// A file with one tensor of three pieces and a bit, and its sums.
    fn summed() -> (Vec<u8>, Checksums) {
        let bytes: Vec<u8> = (0..OFFSET + 3 * PIECE + 1000).map(|i| (i * i / 7 % 251) as u8).collect();
        let source = Source::from_memory("file", Blocks::from(bytes.clone()));
        let sums = |range| Sums::compute(&source, range).unwrap();
        let tensors = [("x".to_owned(), sums(OFFSET..source.len()))].into();
        (bytes, Checksums { len: source.len(), header: sums(0..OFFSET), tensors })
    }

    #[test]
    fn parts_within_and_across_pieces_are_checked_and_all_else_is_not() {
        let (mut bytes, checksums) = summed();
        // The last byte of the second piece.
        let hit = OFFSET + 2 * PIECE - 1;
        bytes[hit as usize] ^= 0x80;
        let source = Source::from_memory("file", Blocks::from(bytes.clone()));
        let end = source.len();
        for part in [
            OFFSET..end,
            OFFSET..OFFSET + 10,
            OFFSET + PIECE - 1..OFFSET + PIECE,
            OFFSET + PIECE - 1..OFFSET + PIECE + 1,
            OFFSET + PIECE..hit + 1,
            hit..hit + 1,
            hit + 1..end,
            end - 1..end,
        ] {
            let result =
                checksums.check(&source, "x", part.start, &bytes[part.start as usize..part.end as usize]);
            let meets = part.start <= hit && part.end > OFFSET + PIECE;
            assert_eq!(result.is_err(), meets, "{part:?}: {result:?}");
        }
        checksums.check_header(&source).unwrap();
    }

    #[test]
    fn damages_are_counted_in_pieces() {
        let (_, checksums) = summed();
        let mut other = checksums.tensors["x"].clone();
        other.pieces[1] ^= 1;
        other.pieces[3] ^= 1;
        let damage = checksums.tensors["x"].damage(&other).unwrap();
        assert_eq!(damage, Damage { tensor: None, offset: OFFSET + PIECE, bytes: PIECE + 1000 });
        assert_eq!(other.damage(&other), None);
    }
}
