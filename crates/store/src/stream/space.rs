//! What streaming takes before it begins: addresses, which become memory as they are used.

use super::region::Part;
use super::table::Table;
use super::transfers::Transfers;
use super::{PAGE, Place, Placement, Section};
use crate::{StoreError, WeightSource};

/// Sections that live by a placement, and addresses for their table and slots.
pub(crate) struct Space {
    pub(super) sections: Vec<Section>,
    pub(super) table: Option<Table>,
    slots: Slots,
}

impl Space {
    /// # Errors
    /// If there are no such addresses.
    ///
    /// # Panics
    /// If there are no slots where some are needed, or they are too small.
    pub(crate) fn new(sources: &[Vec<WeightSource>], placement: &Placement) -> Result<Self, StoreError> {
        let with_places = || sources.iter().zip(&placement.places);
        let sections: Vec<Section> =
            with_places().map(|(sources, place)| Section::new(*place, sources)).collect();
        // The table of which rows are read, if there is one.
        let rows = with_places().find(|(_, place)| **place == Place::Rows);
        let table = rows.map(|(sources, _)| Table::new(&sources[0], placement.row_bytes)).transpose()?;
        let slots = Slots::new(&sections, placement)?;
        Ok(Space { sections, table, slots })
    }

    /// Its parts; whoever reads learns of the slots, which are memory from then on.
    pub(super) fn take(self, transfers: &mut Transfers) -> (Vec<Section>, Option<Table>, Vec<Part>) {
        (self.sections, self.table, self.slots.take(transfers))
    }
}

/// Addresses for slots, if some are needed.
struct Slots {
    staging: Option<Part>,
    n: usize,
    bytes: usize,
}

impl Slots {
    fn new(sections: &[Section], placement: &Placement) -> Result<Self, StoreError> {
        let Placement { n_slots: n, slot_bytes, .. } = *placement;
        let bytes = slot_bytes.next_multiple_of(PAGE);
        let streamed = sections.iter().filter(|section| section.place == Place::Streamed);
        let Some(largest) = streamed.map(Section::len).max() else {
            return Ok(Slots { staging: None, n, bytes });
        };
        assert!(n > 0 && largest <= slot_bytes, "{n} slots of {slot_bytes} bytes for {largest}");
        Ok(Slots { staging: Some(super::memory(n * bytes)?), n, bytes })
    }

    fn take(self, transfers: &mut Transfers) -> Vec<Part> {
        let Some(mut staging) = self.staging else { return Vec::new() };
        transfers.register(&mut staging);
        staging.cut(self.n, self.bytes)
    }
}
