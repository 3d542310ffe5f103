//! Which weights stay in memory, and what the others pass through.

use std::ops::Range;
use std::sync::Arc;

use dewdrop_backend::{Cut, Op, Origin, Program, Section};
use dewdrop_cpu::{activation_bytes, moved_bytes};
use dewdrop_format::BlockType;
use dewdrop_store::system::page_bytes;
use dewdrop_store::{Place, Placement, WeightSource, pinned_len, staging_len};

/// The staging slots of a plan: one in use, and others that fill meanwhile; fewer where there is no room for more. Some disks
/// tell of reads only when they have done all that they were given: then there should be more to give them as soon as the
/// first of many slots has been used.
pub(crate) const N_SLOTS: [usize; 2] = [8, 4];
/// Where memory is shortest.
pub(crate) const FEWEST_SLOTS: usize = 2;
/// Sections are cut to at most this many bytes: less costs prompts more than it gains, since each section rounds its inputs
/// anew.
const LARGE: u64 = 6 << 20;
/// Where memory is short, to this many: less would be more work than reading.
pub(crate) const SMALL: u64 = 1 << 20;
/// Names, operations and sources of a section, in the plan, the store and the backend: 1.2 to 2.6 KB were measured, for some of
/// which the reserve has room.
const PER_SECTION: u64 = 2 << 10;
/// Slots take about this share of the room.
const STAGING_SHARE: u64 = 4;

/// To how many bytes sections are cut where there is so much room for weights and activations.
pub(crate) fn section_bytes(room: u64) -> u64 {
    (room / STAGING_SHARE / N_SLOTS[0] as u64).clamp(SMALL, LARGE)
}

/// How the weights live, and what that and a pass over them take.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    /// The program in the sections that are placed.
    pub(crate) program: Arc<Program>,
    /// What fills their slots.
    pub(crate) sources: Arc<Vec<Vec<WeightSource>>>,
    pub(crate) placement: Placement,
    pub(crate) pinned: u64,
    /// One more copy of those matrices of a pinned section that a backend cannot lay out anew where they lie.
    pub(crate) moving: u64,
    pub(crate) staging: u64,
    pub(crate) rows: u64,
    /// Of a pass.
    pub(crate) activations: u64,
    /// Read in each pass.
    pub(crate) streamed: u64,
}

impl Weights {
    /// Bytes of memory.
    pub(crate) fn len(&self) -> u64 {
        self.pinned + self.moving + self.staging + self.rows + self.activations + self.bookkeeping()
    }

    /// Bytes that it takes to know what all sections do, and where their weights lie.
    pub(crate) fn bookkeeping(&self) -> u64 {
        self.program.sections.len() as u64 * PER_SECTION
    }
}

/// What is pinned or streamed as one.
pub(crate) struct Units {
    program: Arc<Program>,
    sources: Arc<Vec<Vec<WeightSource>>>,
    /// Of each unit.
    sizes: Vec<Size>,
}

#[derive(Clone, Copy)]
struct Size {
    /// Bytes where it stays.
    pinned: u64,
    /// Bytes of a slot that it passes through.
    staging: u64,
    /// Bytes that a backend takes once more while it lays them out anew.
    moving: u64,
    is_table: bool,
}

impl Units {
    /// Sections of `most` bytes, where they can be cut.
    pub(crate) fn new(program: &Program, sources: &[Vec<WeightSource>], most: u64) -> Self {
        let Cut { program, origins } = program.cut(most, |section, slot| sources[section][slot].info.len);
        let source = |origin: &Origin| -> Vec<WeightSource> {
            let of = &sources[origin.section];
            origin.weights.iter().map(|part| part_of(of[part.slot].clone(), part.channels.clone())).collect()
        };
        let sources: Vec<Vec<WeightSource>> = origins.iter().map(source).collect();
        let sizes = program.sections.iter().zip(&sources).map(|(section, sources)| size(section, sources));
        Units { sizes: sizes.collect(), program: Arc::new(program), sources: Arc::new(sources) }
    }

    /// All weights in memory; of the embedding table, where there is no room for it, the rows in use. None if `room`
    /// bytes do not suffice for that and a pass of `n_rows` rows.
    pub(crate) fn resident(&self, room: u64, n_rows: usize) -> Option<Weights> {
        let with = |has_table: bool| {
            let place = |size: &Size| if size.is_table && !has_table { Place::Rows } else { Place::Pinned };
            self.weights(self.sizes.iter().map(place).collect(), 0, n_rows)
        };
        [true, false].into_iter().map(with).find(|weights| weights.len() <= room)
    }

    /// What takes the least memory.
    pub(crate) fn least(&self, n_rows: usize) -> Weights {
        self.weights(self.first_places(), FEWEST_SLOTS, n_rows)
    }

    /// Bytes of activations of a pass.
    pub(crate) fn activations(&self, n_rows: usize) -> u64 {
        let is_bfloat16_matrix =
            |source: &WeightSource| source.info.block_type == BlockType::BF16 && is_matrix(source);
        activation_bytes(&self.program, n_rows, self.sources.iter().flatten().any(is_bfloat16_matrix))
    }

    /// As much as there is room for in memory, the rest through slots; none if there is no room for those.
    pub(crate) fn streamed(&self, room: u64, n_rows: usize, n_slots: usize) -> Option<Weights> {
        let mut places = self.first_places();
        let least = self.weights(places.clone(), n_slots, n_rows).len();
        let moving = self.sizes.iter().map(|size| size.moving).max().unwrap_or(0);
        let room = room.checked_sub(least)?.saturating_sub(moving);
        self.spread(&mut places, room);
        Some(self.weights(places, n_slots, n_rows))
    }

    /// Before anything is pinned.
    fn first_places(&self) -> Vec<Place> {
        self.sizes.iter().map(|size| if size.is_table { Place::Rows } else { Place::Streamed }).collect()
    }

    fn table(&self) -> Option<usize> {
        self.sizes.iter().position(|size| size.is_table)
    }

    /// Slots as long as the longest unit that passes through them.
    fn placement(&self, places: Vec<Place>, n_slots: usize, n_rows: usize) -> Placement {
        let streamed = self.sizes.iter().zip(&places).filter(|(_, place)| **place == Place::Streamed);
        let (n_streamed, slot) = (streamed.clone().count(), streamed.map(|(size, _)| size.staging).max());
        let rows = self.table().filter(|&table| places[table] == Place::Rows);
        let most = self.row_pages() * page_bytes() as u64 * n_rows as u64;
        let row_bytes = rows.map_or(0, |table| most.min(self.sizes[table].pinned));
        // Nothing is gained by slots for more than a whole round.
        let n_slots = n_slots.min(n_streamed);
        Placement { places, n_slots, slot_bytes: slot.unwrap_or(0) as usize, row_bytes: row_bytes as usize }
    }

    /// Pages that a row of the table lies on, at most.
    fn row_pages(&self) -> u64 {
        let row = self.table().map_or(0, |table| {
            let source = &self.sources[table][0];
            source.info.block_type.bytes_for(source.shape[1]) as u64
        });
        row.div_ceil(page_bytes() as u64) + 1
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

    fn weights(&self, places: Vec<Place>, n_slots: usize, n_rows: usize) -> Weights {
        let placement = self.placement(places, n_slots, n_rows);
        let of = |place| {
            let sizes = self.sizes.iter().zip(&placement.places);
            sizes.filter(move |(_, other)| **other == place).map(|(size, _)| size)
        };
        Weights {
            pinned: of(Place::Pinned).map(|size| size.pinned).sum(),
            moving: of(Place::Pinned).map(|size| size.moving).max().unwrap_or(0),
            staging: (placement.n_slots * placement.slot_bytes) as u64,
            rows: placement.row_bytes as u64,
            activations: self.activations(n_rows),
            streamed: of(Place::Streamed).map(|size| size.staging).sum(),
            program: self.program.clone(),
            sources: self.sources.clone(),
            placement,
        }
    }
}

/// Whether rows are multiplied with it, or looked up in it.
pub(super) fn is_matrix(source: &WeightSource) -> bool {
    source.shape[0] > 1
}

/// Some channels of a weight: a stretch of its tensor.
fn part_of(mut source: WeightSource, channels: Option<Range<usize>>) -> WeightSource {
    if let Some(channels) = channels {
        let channel = source.info.block_type.bytes_for(source.shape[1]) as u64;
        source.info.offset += channels.start as u64 * channel;
        source.info.len = channels.len() as u64 * channel;
        source.shape[0] = channels.len();
        source.info.shape = source.shape.to_vec();
    }
    source
}

fn size(section: &Section, sources: &[WeightSource]) -> Size {
    let is_table = matches!(section.ops[..], [Op::Embed { .. }]) && sources.len() == 1;
    let matrices = sources.iter().filter(|source| is_matrix(source) && !is_table);
    Size {
        pinned: pinned_len(sources) as u64,
        staging: staging_len(sources) as u64,
        moving: matrices
            .map(|source| moved_bytes(source.info.block_type, source.shape[0], source.shape[1]))
            .sum(),
        is_table,
    }
}
