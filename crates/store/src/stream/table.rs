//! An embedding table of which only the rows in use are in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use dewdrop_backend::Blocks;
use dewdrop_format::TensorInfo;

use super::layout::Extent;
use super::region::Part;
use super::transfers::{Failure, TransferId, Transfers};
use crate::system::page_bytes;
use crate::{Checkpoint, StoreError, WeightSource};

/// Addresses for a whole table. Pages of it are read where tokens need them; all others stay empty and take no memory.
///
/// Whoever computes sees a table like any other, and looks only at the rows of a pass's tokens.
pub(crate) struct Table {
    file: usize,
    /// The page of the file that the table begins in, in bytes from the file's start.
    offset: u64,
    /// Bytes of it before the table.
    lead: usize,
    len: usize,
    row_bytes: usize,
    /// Bytes of a page: reading less would take no less memory.
    page: usize,
    /// Pages that have been read.
    present: BTreeSet<usize>,
    /// Those of them that are to be compared with checksums: each page is when it comes for the first time.
    unchecked: BTreeSet<usize>,
    checked: Vec<bool>,
    /// Most of them that are kept for passes to come.
    most_pages: usize,
    /// Whether as many have been read once.
    is_filled: bool,
    memory: Memory,
}

/// Where the table's memory is just now.
enum Memory {
    Idle(Part),
    Arriving(TransferId),
    HandedOver(Arc<Part>),
    /// Between two of these.
    Moving,
}

impl Table {
    /// `most_bytes`: of pages kept for passes to come.
    pub(crate) fn new(source: &WeightSource, most_bytes: usize) -> Result<Self, StoreError> {
        let (info, page) = (&source.info, page_bytes());
        let offset = info.offset / page as u64 * page as u64;
        let lead = (info.offset - offset) as usize;
        let len = info.len as usize;
        let total = (lead + len).next_multiple_of(page);
        let part = Part::sparse(total).map_err(|source| StoreError::Memory { len: total, source })?;
        let (row_bytes, most_pages) = (info.block_type.bytes_for(source.shape[1]), most_bytes / page);
        Ok(Table {
            file: info.file,
            offset,
            lead,
            len,
            row_bytes,
            page,
            present: BTreeSet::new(),
            unchecked: BTreeSet::new(),
            checked: vec![false; total / page],
            most_pages,
            is_filled: false,
            memory: Memory::Idle(part),
        })
    }

    /// Begins to read the rows of these tokens, and the first time as many others as are kept: those of the first tokens,
    /// which are the commonest in most vocabularies.
    ///
    /// # Errors
    /// If someone still holds the table of the last pass.
    pub(crate) fn begin(
        &mut self,
        transfers: &mut Transfers,
        tokens: impl IntoIterator<Item = u32>,
    ) -> Result<(), StoreError> {
        let mut part = self.reclaim(transfers)?;
        let mut wanted: BTreeSet<usize> = tokens.into_iter().flat_map(|token| self.pages(token)).collect();
        if !std::mem::replace(&mut self.is_filled, true) {
            let n_more = self.most_pages.saturating_sub(wanted.len());
            let all = 0..(self.lead + self.len).div_ceil(self.page);
            let more: Vec<usize> = all.filter(|page| !wanted.contains(page)).take(n_more).collect();
            wanted.extend(more);
        }
        let n_missing = wanted.difference(&self.present).count();
        if self.present.len() + n_missing > self.most_pages {
            part.forget();
            self.forget();
        }
        let missing: BTreeSet<usize> = wanted.difference(&self.present).copied().collect();
        let extent = |pages: std::ops::Range<usize>| Extent {
            file: self.file,
            offset: self.offset + (pages.start * self.page) as u64,
            len: pages.len() * self.page,
            at: pages.start * self.page,
        };
        let extents: Vec<Extent> = runs(&missing).into_iter().map(extent).collect();
        self.memory = Memory::Arriving(transfers.start(part, &extents, true));
        self.unchecked.extend(missing.iter().filter(|page| !self.checked[**page]));
        self.present.extend(missing);
        Ok(())
    }

    /// Waits for the rows, and hands the table over.
    pub(crate) fn finish(&mut self, transfers: &mut Transfers) -> Result<Blocks, Failure> {
        if let Memory::Arriving(id) = self.memory {
            let (part, result) = transfers.finish(id);
            if let Err(failure) = result {
                self.memory = Memory::Idle(part);
                self.forget();
                return Err(failure);
            }
            self.memory = Memory::HandedOver(Arc::new(part));
        }
        let Memory::HandedOver(part) = &self.memory else { panic!("rows are asked for after a beginning") };
        Ok(Blocks::new(part.clone()).slice(self.lead..self.lead + self.len))
    }

    /// Compares pages that have come for the first time with checksums. Upon an error all are read again when they are
    /// needed again.
    pub(crate) fn check_sums(
        &mut self,
        checkpoint: &Checkpoint,
        info: &TensorInfo,
        rows: &[u8],
    ) -> Result<(), StoreError> {
        for pages in runs(&self.unchecked) {
            let start = (pages.start * self.page).saturating_sub(self.lead);
            let end = (pages.end * self.page - self.lead).min(self.len);
            let part = TensorInfo { offset: info.offset + start as u64, ..info.clone() };
            if let Err(error) = checkpoint.check_sums(&part, &rows[start..end]) {
                self.forget();
                return Err(error);
            }
        }
        for page in std::mem::take(&mut self.unchecked) {
            self.checked[page] = true;
        }
        Ok(())
    }

    /// Counts no page as read.
    fn forget(&mut self) {
        self.present.clear();
        self.unchecked.clear();
    }

    fn reclaim(&mut self, transfers: &mut Transfers) -> Result<Part, StoreError> {
        match std::mem::replace(&mut self.memory, Memory::Moving) {
            Memory::Idle(part) => Ok(part),
            Memory::Arriving(id) => {
                let (part, result) = transfers.finish(id);
                if result.is_err() {
                    self.forget();
                }
                Ok(part)
            }
            Memory::HandedOver(part) => Arc::try_unwrap(part).map_err(|part| {
                self.memory = Memory::HandedOver(part);
                StoreError::Held { section: 0, held: 1 }
            }),
            Memory::Moving => unreachable!("set within this function alone"),
        }
    }

    /// Pages that a token's row lies on; none for a token that is not in the table.
    fn pages(&self, token: u32) -> std::ops::Range<usize> {
        let start = token as usize * self.row_bytes;
        if start + self.row_bytes > self.len {
            return 0..0;
        }
        let start = self.lead + start;
        start / self.page..(start + self.row_bytes).div_ceil(self.page)
    }
}

/// Neighbouring pages together.
fn runs(pages: &BTreeSet<usize>) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for &page in pages {
        match runs.last_mut().filter(|run| run.end == page) {
            Some(run) => run.end += 1,
            None => runs.push(page..page + 1),
        }
    }
    runs
}
