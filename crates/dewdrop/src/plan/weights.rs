//! Which weights stay in memory, and what the others pass through.

use dewdrop_backend::{Cut, Op, Program, Section};
use dewdrop_store::{Place, Placement, WeightSource, pinned_len, staging_len};

/// The staging slots of a plan: one in use, and two that fill meanwhile.
const N_SLOTS: usize = 3;
/// Where memory is shortest.
const FEWEST_SLOTS: usize = 2;
/// Sections are cut to about this many bytes: long enough for the disk's full speed, short enough that slots take little.
const LARGE: u64 = 16 << 20;
/// Slots take about this share of the room.
const STAGING_SHARE: u64 = 4;
/// Reads are whole pages.
const PAGE_BYTES: u64 = 4096;

/// How the weights live, and what that takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    /// The program in the sections that are placed.
    pub(crate) cut: Cut,
    /// What fills their slots.
    pub(crate) sources: Vec<Vec<WeightSource>>,
    pub(crate) placement: Placement,
    pub(crate) pinned: u64,
    /// One more copy of the largest pinned matrix, while a backend lays it out anew.
    pub(crate) moving: u64,
    pub(crate) staging: u64,
    pub(crate) rows: u64,
    /// Read in each pass.
    pub(crate) streamed: u64,
}

impl Weights {
    /// Bytes of memory.
    pub(crate) fn len(&self) -> u64 {
        self.pinned + self.moving + self.staging + self.rows
    }

    /// The least to be read in each pass that `room` bytes allow; none if they do not suffice. `n_rows`: of a pass.
    pub(crate) fn within(
        program: &Program,
        sources: &[Vec<WeightSource>],
        room: u64,
        n_rows: usize,
    ) -> Option<Self> {
        let all = Units::new(program, sources, u64::MAX);
        if let Some(weights) = all.pin_everything(room) {
            return Some(weights);
        }
        let most = (room / STAGING_SHARE / N_SLOTS as u64).clamp(1, LARGE);
        let units = Units::new(program, sources, most);
        let with = |n_slots| units.best(room, n_rows, n_slots);
        let smallest = || Units::new(program, sources, 1).best(room, n_rows, FEWEST_SLOTS);
        with(N_SLOTS).or_else(|| with(FEWEST_SLOTS)).or_else(smallest)
    }

    /// What takes the least memory.
    pub(crate) fn least(program: &Program, sources: &[Vec<WeightSource>], n_rows: usize) -> Self {
        let units = Units::new(program, sources, 1);
        let with = |slot| units.with_slots(u64::MAX, n_rows, FEWEST_SLOTS, slot, true);
        let streamed = units.slot_lens().into_iter().filter_map(with);
        streamed.min_by_key(Weights::len).expect("every program has weights")
    }
}

/// What is pinned or streamed as one.
struct Units {
    /// Bytes that they were cut to, where they could.
    most: u64,
    cut: Cut,
    sources: Vec<Vec<WeightSource>>,
    /// Of each unit.
    sizes: Vec<Size>,
}

#[derive(Clone, Copy)]
struct Size {
    /// Bytes where it stays.
    pinned: u64,
    /// Bytes of a slot that it passes through.
    staging: u64,
    /// Bytes that a backend may lay out anew at once.
    matrices: u64,
    is_table: bool,
}

impl Units {
    fn new(program: &Program, sources: &[Vec<WeightSource>], most: u64) -> Self {
        let cut = program.cut(most, |section, slot| sources[section][slot].info.len);
        let source = |origin: &dewdrop_backend::Origin| -> Vec<WeightSource> {
            origin.slots.iter().map(|&slot| sources[origin.section][slot].clone()).collect()
        };
        let sources: Vec<Vec<WeightSource>> = cut.origins.iter().map(source).collect();
        let sizes =
            cut.program.sections.iter().zip(&sources).map(|(section, sources)| size(section, sources));
        Units { sizes: sizes.collect(), most, cut, sources }
    }

    fn pin_everything(self, room: u64) -> Option<Weights> {
        let places = vec![Place::Pinned; self.sizes.len()];
        let weights = self.weights(Placement { places, ..Placement::default() });
        (weights.len() <= room).then_some(weights)
    }

    /// The best choice of slots.
    fn best(&self, room: u64, n_rows: usize, n_slots: usize) -> Option<Weights> {
        let with = |slot| self.with_slots(room, n_rows, n_slots, slot, false);
        self.slot_lens().into_iter().filter_map(with).min_by_key(|weights| weights.streamed)
    }

    /// Lengths that a slot may have: that of the largest unit that was cut small enough, and those of all larger ones.
    fn slot_lens(&self) -> Vec<u64> {
        let lens = || self.sizes.iter().filter(|size| !size.is_table).map(|size| size.staging);
        let page = PAGE_BYTES * 2;
        let usual = lens().filter(|len| *len <= self.most.saturating_add(page)).max();
        let mut lens: Vec<u64> = lens().filter(|len| usual.is_none_or(|usual| *len >= usual)).collect();
        lens.sort_unstable();
        lens.dedup();
        lens
    }

    /// With slots of this length: what is longer is kept, and as much of the rest pinned as there is room for
    /// (`least`: none).
    fn with_slots(
        &self,
        room: u64,
        n_rows: usize,
        n_slots: usize,
        slot: u64,
        least: bool,
    ) -> Option<Weights> {
        let mut places: Vec<Place> = self.sizes.iter().map(|size| size.first_place(slot)).collect();
        self.keep_tied_table(&mut places);
        let mut weights = self.weights(self.placement(places.clone(), n_slots, slot, n_rows));
        if weights.len() > room {
            return None;
        }
        if !least {
            let matrices = self.sizes.iter().map(|size| size.matrices);
            let moving = matrices.filter(|&len| len <= slot).max().unwrap_or(0);
            self.spread(&mut places, (room - weights.len()).saturating_sub(moving));
            weights = self.weights(self.placement(places, n_slots, slot, n_rows));
        }
        Some(weights)
    }

    /// A table whose tensor is kept as the head anyway is kept with it.
    fn keep_tied_table(&self, places: &mut [Place]) {
        let Some(table) = self.table() else { return };
        let is_head = |i: &usize| {
            places[*i] == Place::Kept
                && self.sources[*i].len() == 1
                && self.sources[*i][0].info == self.sources[table][0].info
        };
        if (0..places.len()).any(|i| is_head(&i)) {
            places[table] = Place::Kept;
        }
    }

    fn table(&self) -> Option<usize> {
        self.sizes.iter().position(|size| size.is_table)
    }

    fn placement(&self, places: Vec<Place>, n_slots: usize, slot: u64, n_rows: usize) -> Placement {
        let n_streamed = places.iter().filter(|place| **place == Place::Streamed).count();
        let rows = self.table().filter(|&table| places[table] == Place::Rows);
        let most = self.row_pages() * PAGE_BYTES * n_rows as u64;
        let row_bytes = rows.map_or(0, |table| most.min(self.sizes[table].pinned));
        // Nothing is gained by slots for more than a whole round.
        let n_slots = n_slots.min(n_streamed);
        Placement { places, n_slots, slot_bytes: slot as usize, row_bytes: row_bytes as usize }
    }

    /// Pages that a row of the table lies on, at most.
    fn row_pages(&self) -> u64 {
        let row = self.table().map_or(0, |table| {
            let source = &self.sources[table][0];
            source.info.block_type.bytes_for(source.shape[1]) as u64
        });
        row.div_ceil(PAGE_BYTES) + 1
    }

    /// Pins units up to `room`, spread evenly over the bytes of a round, so that the disk's work and the computer's
    /// alternate; then whatever else fits, the table last of all: its rows cost next to nothing.
    fn spread(&self, places: &mut [Place], room: u64) {
        let candidates: Vec<usize> = (0..places.len()).filter(|&i| places[i] == Place::Streamed).collect();
        let total: u64 = candidates.iter().map(|&i| self.sizes[i].pinned).sum();
        let (mut seen, mut used) = (0, 0);
        for &i in &candidates {
            seen += self.sizes[i].pinned;
            // Of what has been seen no larger a share than of the whole.
            if u128::from(used + self.sizes[i].pinned) * u128::from(total)
                <= u128::from(room) * u128::from(seen)
            {
                used += self.sizes[i].pinned;
                places[i] = Place::Pinned;
            }
        }
        for &i in &candidates {
            if places[i] == Place::Streamed && used + self.sizes[i].pinned <= room {
                used += self.sizes[i].pinned;
                places[i] = Place::Pinned;
            }
        }
        let table = self.table().filter(|&table| places[table] == Place::Rows);
        if let Some(table) = table.filter(|&table| used + self.sizes[table].pinned <= room) {
            places[table] = Place::Pinned;
        }
    }

    fn weights(&self, placement: Placement) -> Weights {
        let of = |place| {
            let sizes = self.sizes.iter().zip(&placement.places);
            sizes.filter(move |(_, other)| **other == place).map(|(size, _)| size)
        };
        // A tied table shares its head's memory.
        let table = of(Place::Kept).find(|size| size.is_table).map_or(0, |size| size.pinned);
        Weights {
            pinned: of(Place::Pinned).chain(of(Place::Kept)).map(|size| size.pinned).sum::<u64>() - table,
            moving: of(Place::Pinned).map(|size| size.matrices).max().unwrap_or(0),
            staging: (placement.n_slots * placement.slot_bytes) as u64,
            rows: placement.row_bytes as u64,
            streamed: of(Place::Streamed).map(|size| size.staging).sum(),
            cut: self.cut.clone(),
            sources: self.sources.clone(),
            placement,
        }
    }
}

impl Size {
    /// Before anything is pinned for speed.
    fn first_place(&self, slot: u64) -> Place {
        match (self.is_table, self.staging > slot) {
            (true, _) => Place::Rows,
            (false, true) => Place::Kept,
            (false, false) => Place::Streamed,
        }
    }
}

fn size(section: &Section, sources: &[WeightSource]) -> Size {
    let is_table = matches!(section.ops[..], [Op::Embed { .. }]) && sources.len() == 1;
    let matrices = sources.iter().filter(|source| source.shape[0] > 1).map(|source| source.info.len).sum();
    Size {
        pinned: pinned_len(sources) as u64,
        staging: staging_len(sources) as u64,
        matrices: if is_table { 0 } else { matrices },
        is_table,
    }
}
