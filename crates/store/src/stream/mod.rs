//! Streamed weights: some sections stay in memory, the others pass through a few staging slots, read from disk again in
//! every round.
//!
//! [`Stream`] walks the sections in the order of use, as far ahead as there are free slots, beyond a round's end into the
//! next one, so that the disk always has something to read. `layout` says which stretches of files hold a section,
//! `transfers` has them read, `reader` and its two kinds ([`ring`], [`threads`]) talk to the system, past the page cache.
//! Memory is a [`region::Part`], owned by one of them at a time: a free slot, a transfer, whoever computes.

mod bandwidth;
mod file;
mod layout;
mod reader;
mod region;
#[cfg(target_os = "linux")]
mod ring;
mod space;
mod table;
#[cfg(test)]
mod tests;
mod threads;
mod transfers;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dewdrop_backend::Blocks;

use self::file::ReadFile;
use self::reader::Reader;
use self::region::Part;
use self::table::Table;
use self::transfers::{Failure, TransferId, Transfers};
use crate::{Checkpoint, StoreError, WeightSource};

pub use self::bandwidth::read_bandwidth;
use self::layout::Layout;
pub use self::layout::{pinned_len, staging_len};
pub use self::reader::IN_FLIGHT;
pub(crate) use self::space::Space;

/// Reads begin and end on multiples of this, in files and in memory: what direct reads ask for on common disks.
const PAGE: usize = 4096;

/// Sections that last and are read ahead of their use, in the one round that reads them: they take memory of their own
/// from the beginning of their reads on.
const LASTING_AHEAD: usize = 2;

/// How a section's weights live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Read once, and kept by whoever computes, laid out as that one likes.
    Pinned,
    /// Read in every round.
    Streamed,
    /// A table of which each round reads the rows that its tokens need. The section's only weight, and its first.
    Rows,
}

/// Which weights stay in memory, and what the others pass through.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Placement {
    /// Of each section.
    pub places: Vec<Place>,
    /// Staging slots; one is in use while the others fill.
    pub n_slots: usize,
    /// Bytes of a slot, at least [`staging_len`] of each streamed section.
    pub slot_bytes: usize,
    /// Bytes of rows that are kept for rounds to come.
    pub row_bytes: usize,
}

/// What streaming has done so far.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Statistics {
    /// Who reads, for people: `io_uring, registered buffers`.
    pub reader: &'static str,
    /// Bytes that came from disk.
    pub bytes_read: u64,
    /// Time that whoever computes waited for them.
    pub stalled: Duration,
    /// Bytes that each round reads, rows of the embedding table aside.
    pub bytes_per_round: u64,
    /// Bytes that are read once and stay.
    pub pinned_bytes: u64,
}

/// Sections in order, read ahead of their use.
pub(crate) struct Stream {
    checkpoint: Arc<Checkpoint>,
    sections: Vec<Section>,
    transfers: Transfers,
    table: Option<Table>,
    free: Vec<Part>,
    /// Slots that were handed over; free again when nobody else has them.
    held: Vec<Arc<Part>>,
    /// Sections under way, in the order of their use.
    ahead: VecDeque<Fetch>,
    /// The section to read next.
    next: usize,
    /// Sections that last and are not settled.
    n_unsettled: usize,
}

struct Section {
    place: Place,
    /// One for all weights where they pass through a slot. One for each where they last, so that whoever computes can
    /// let go of each.
    layouts: Vec<Layout>,
    /// Read and handed over for good.
    is_settled: bool,
    /// Read once, and compared with checksums.
    is_checked: bool,
}

struct Fetch {
    section: usize,
    /// One for each layout.
    transfers: Vec<TransferId>,
}

impl Section {
    fn new(place: Place, sources: &[WeightSource]) -> Self {
        let place = if sources.is_empty() { Place::Pinned } else { place };
        let layouts = match place {
            Place::Pinned => sources.chunks(1).map(Layout::new).collect(),
            Place::Streamed => vec![Layout::new(sources)],
            Place::Rows => Vec::new(),
        };
        // Where there is nothing to read, all is there.
        Section { place, layouts, is_settled: sources.is_empty(), is_checked: false }
    }

    /// Each weight's bytes in these, one for each layout.
    fn blocks(&self, parts: impl IntoIterator<Item = Blocks>) -> Vec<Blocks> {
        let of = |(whole, layout): (Blocks, &Layout)| {
            layout.places.iter().map(|place| whole.slice(place.clone())).collect::<Vec<_>>()
        };
        parts.into_iter().zip(&self.layouts).flat_map(of).collect()
    }

    /// An error if checksums differ from what has come to these parts, one for each layout.
    fn check_sums(
        &self,
        checkpoint: &Checkpoint,
        sources: &[WeightSource],
        parts: &[Part],
    ) -> Result<(), StoreError> {
        let mut sources = sources.iter();
        for (part, layout) in parts.iter().zip(&self.layouts) {
            for (place, source) in layout.places.iter().zip(&mut sources) {
                checkpoint.check_sums(&source.info, &part.as_ref()[place.clone()])?;
            }
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.layouts.iter().map(|layout| layout.len).sum()
    }
}

impl Stream {
    pub(crate) fn new(checkpoint: Arc<Checkpoint>, space: Space) -> Self {
        let files: Arc<[ReadFile]> = ReadFile::all(&checkpoint).into();
        let reader = reader::best(&files);
        Self::with_reader(checkpoint, space, files, reader)
    }

    fn with_reader(
        checkpoint: Arc<Checkpoint>,
        space: Space,
        files: Arc<[ReadFile]>,
        reader: Box<dyn Reader>,
    ) -> Self {
        let mut transfers = Transfers::new(reader, files);
        let (sections, table, free) = space.take(&mut transfers);
        let (held, ahead, n_unsettled) = (Vec::new(), VecDeque::new(), n_unsettled(&sections));
        Stream { checkpoint, sections, transfers, table, free, held, ahead, next: 0, n_unsettled }
    }

    /// Lets sections live otherwise from the next round on, which begins with the first. `same`: they are the same ones as
    /// before; then those that last and were handed over count as that where they still last, and all others come again.
    ///
    /// Memory is given back before any is taken.
    pub(crate) fn replace(&mut self, mut space: Space, same: bool) {
        self.drain();
        self.held.clear();
        self.free.clear();
        self.table = None;
        self.transfers.unregister();
        if same {
            for (new, old) in space.sections.iter_mut().zip(&self.sections) {
                new.is_checked = old.is_checked;
                new.is_settled |= old.is_settled && old.place == Place::Pinned && new.place == Place::Pinned;
            }
        }
        (self.sections, self.table, self.free) = space.take(&mut self.transfers);
        (self.n_unsettled, self.next) = (n_unsettled(&self.sections), 0);
    }

    /// Begins a round over these tokens.
    pub(crate) fn begin(&mut self, tokens: impl IntoIterator<Item = u32>) -> Result<(), StoreError> {
        match &mut self.table {
            Some(table) => table.begin(&mut self.transfers, tokens),
            None => Ok(()),
        }
    }

    /// The bytes of each of a section's weights, and whether they last. Sections come in order, round after round;
    /// those that last come once.
    pub(crate) fn take(
        &mut self,
        section: usize,
        sources: &[WeightSource],
    ) -> Result<(Vec<Blocks>, bool), StoreError> {
        self.transfers.poll();
        self.reclaim();
        self.read_ahead()?;
        if self.sections[section].place == Place::Rows {
            let table = self.table.as_mut().expect("made for this section");
            let rows = table.finish(&mut self.transfers).map_err(|failure| self.error(failure, sources))?;
            self.check_files(sources)?;
            let table = self.table.as_mut().expect("made for this section");
            table.check_sums(&self.checkpoint, &sources[0].info, &rows)?;
            return Ok((vec![rows], false));
        }
        if self.sections[section].is_settled {
            return Ok((Vec::new(), true));
        }
        let parts = self.arrived(section, sources)?;
        let of = &mut self.sections[section];
        if of.place == Place::Pinned {
            of.is_settled = true;
            self.n_unsettled -= 1;
            return Ok((of.blocks(parts.into_iter().map(Blocks::given)), true));
        }
        let parts: Vec<_> = parts.into_iter().map(Arc::new).collect();
        let blocks = of.blocks(parts.iter().map(|part| Blocks::new(part.clone())));
        self.held.extend(parts);
        Ok((blocks, false))
    }

    /// Waits for the section that is the first under way. Upon an error it is begun again.
    fn arrived(&mut self, section: usize, sources: &[WeightSource]) -> Result<Vec<Part>, StoreError> {
        let Some(fetch) = self.ahead.pop_front() else {
            return Err(StoreError::Held { section, held: self.held.len() });
        };
        assert_eq!(fetch.section, section, "sections are taken in order");
        let (parts, result) = self.finish(fetch);
        // Checked after the bytes are here: what changes later does not matter to them.
        let result = result.map_err(|failure| self.error(failure, sources));
        let result = result.and_then(|()| self.check_files(sources));
        match result.and_then(|()| self.check_sums(section, sources, &parts)) {
            Ok(()) => Ok(parts),
            Err(error) => {
                let fetch = self.start(section, parts, true);
                self.ahead.push_front(fetch);
                Err(error)
            }
        }
    }

    /// Compares a section that has come for the first time with its checksums.
    fn check_sums(
        &mut self,
        section: usize,
        sources: &[WeightSource],
        parts: &[Part],
    ) -> Result<(), StoreError> {
        let section = &mut self.sections[section];
        if !section.is_checked {
            section.check_sums(&self.checkpoint, sources, parts)?;
            section.is_checked = true;
        }
        Ok(())
    }

    fn start(&mut self, section: usize, parts: Vec<Part>, urgent: bool) -> Fetch {
        let layouts = self.sections[section].layouts.iter();
        let transfers = &mut self.transfers;
        let start = |(layout, part): (&Layout, Part)| transfers.start(part, &layout.extents, urgent);
        Fetch { section, transfers: layouts.zip(parts).map(start).collect() }
    }

    /// Waits for a section. Its parts come back in any case; an error is the first of any.
    fn finish(&mut self, fetch: Fetch) -> (Vec<Part>, Result<(), Failure>) {
        let finished = fetch.transfers.into_iter().map(|transfer| self.transfers.finish(transfer));
        let (parts, results): (Vec<Part>, Vec<_>) = finished.unzip();
        (parts, results.into_iter().collect())
    }

    /// An error if a file that holds one of these is not the one that was opened.
    fn check_files(&self, sources: &[WeightSource]) -> Result<(), StoreError> {
        let files: BTreeSet<usize> = sources.iter().map(|source| source.info.file).collect();
        files.into_iter().try_for_each(|file| self.checkpoint.sources()[file].check_unchanged())
    }

    /// Forgets what was read and handed over, and begins anew with the first section.
    pub(crate) fn restart(&mut self) {
        self.drain();
        for section in &mut self.sections {
            section.is_settled = section.layouts.is_empty();
        }
        self.n_unsettled = n_unsettled(&self.sections);
        self.next = 0;
    }

    /// Waits for all that is under way. Slots are free then, and other memory is given back.
    fn drain(&mut self) {
        while let Some(fetch) = self.ahead.pop_front() {
            let is_streamed = self.sections[fetch.section].place == Place::Streamed;
            let (parts, _) = self.finish(fetch);
            if is_streamed {
                self.free.extend(parts);
            }
        }
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let bytes = |place| {
            let sections = self.sections.iter().filter(|section| section.place == place);
            sections.map(|section| section.len() as u64).sum()
        };
        Statistics {
            reader: self.transfers.reader_name(),
            bytes_read: self.transfers.bytes_read(),
            stalled: self.transfers.stalled(),
            bytes_per_round: bytes(Place::Streamed),
            pinned_bytes: bytes(Place::Pinned),
        }
    }

    /// Takes slots back that nobody uses any more.
    fn reclaim(&mut self) {
        for part in std::mem::take(&mut self.held) {
            match Arc::try_unwrap(part) {
                Ok(part) => self.free.push(part),
                Err(part) => self.held.push(part),
            }
        }
    }

    /// Begins to read sections in their order, as long as there are slots.
    fn read_ahead(&mut self) -> Result<(), StoreError> {
        if self.free.is_empty() && self.n_unsettled == 0 {
            return Ok(());
        }
        // After one whole round there is nothing left to begin.
        for _ in 0..self.sections.len() {
            let Section { place, layouts, is_settled, .. } = &self.sections[self.next];
            let parts = match place {
                Place::Rows => Vec::new(),
                Place::Pinned if *is_settled || self.is_ahead(self.next) => Vec::new(),
                Place::Pinned if self.n_lasting_ahead() == LASTING_AHEAD => break,
                Place::Pinned => layouts.iter().map(|layout| memory(layout.len)).collect::<Result<_, _>>()?,
                Place::Streamed => match self.free.pop() {
                    Some(part) => vec![part],
                    None => break,
                },
            };
            if !parts.is_empty() {
                let fetch = self.start(self.next, parts, false);
                self.ahead.push_back(fetch);
            }
            self.next = (self.next + 1) % self.sections.len();
        }
        Ok(())
    }

    fn n_lasting_ahead(&self) -> usize {
        self.ahead.iter().filter(|fetch| self.sections[fetch.section].place != Place::Streamed).count()
    }

    fn is_ahead(&self, section: usize) -> bool {
        self.ahead.iter().any(|fetch| fetch.section == section)
    }

    /// What a failed read means for the section that it was for.
    fn error(&self, failure: Failure, sources: &[WeightSource]) -> StoreError {
        let Failure { file, offset, len, attempts, source } = failure;
        let file_source = &self.checkpoint.sources()[file];
        // A file that changed is the likelier reason, and the clearer message.
        if let Err(changed) = file_source.check_unchanged() {
            return changed;
        }
        let end = offset + len as u64;
        let infos = sources.iter().map(|source| &source.info);
        let hit = |info: &&dewdrop_format::TensorInfo| {
            info.file == file && info.offset < end && info.offset + info.len > offset
        };
        let tensor = infos.into_iter().find(hit).map(|info| info.name.clone()).unwrap_or_default();
        StoreError::ReadTensor { path: file_source.path().to_owned(), tensor, offset, len, attempts, source }
    }
}

/// Sections that are to be read once, and are not.
fn n_unsettled(sections: &[Section]) -> usize {
    sections.iter().filter(|section| section.place == Place::Pinned && !section.is_settled).count()
}

fn memory(len: usize) -> Result<Part, StoreError> {
    Part::new(len).map_err(|source| StoreError::Memory { len, source })
}
