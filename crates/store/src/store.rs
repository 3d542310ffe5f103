//! The seam between files and backends: sections of weights, handed over in order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dewdrop_backend::{Blocks, Transform, Weight};
use dewdrop_format::TensorInfo;

use crate::aligned::{ALIGNMENT, Aligned};
use crate::{Checkpoint, StoreError, transform};

/// How weights live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Residency {
    /// In the page cache, through a map of the files: starts at once, and the system may drop pages.
    #[default]
    Mapped,
    /// In memory of our own, read once.
    Resident,
}

/// Which tensor fills a weight slot, and how.
#[derive(Clone, Debug)]
pub struct WeightSource {
    /// Where it lies.
    pub info: TensorInfo,
    /// What is done to its values on the way.
    pub transform: Transform,
    /// `[n_out, n_in]` as the program sees it.
    pub shape: [usize; 2],
}

/// A section's weights, handed over.
#[derive(Debug)]
pub struct LayerWeights {
    /// Index of the section in the program.
    pub section: usize,
    /// In the order of the section's slots. Empty if `lasting` and handed over before.
    pub weights: Vec<Weight>,
    /// They stay as they are: whoever computes keeps what it loaded, and gets them once. Otherwise their memory goes
    /// back to the store when the last handle is dropped, and they come again in the next round.
    pub lasting: bool,
}

/// Hands over a program's weights, section by section, round after round.
pub struct Store {
    checkpoint: Arc<Checkpoint>,
    sections: Vec<Vec<WeightSource>>,
    residency: Residency,
    /// Index of the section that comes next.
    next: usize,
    handed_over: Vec<bool>,
    shared: Shared,
}

impl Store {
    /// `sections`: for each section of the program, in order, what fills its slots.
    pub fn new(checkpoint: Arc<Checkpoint>, sections: Vec<Vec<WeightSource>>, residency: Residency) -> Self {
        let handed_over = vec![false; sections.len()];
        let shared = Shared::find(&sections);
        Store { checkpoint, sections, residency, next: 0, handed_over, shared }
    }

    /// How many sections a round has.
    pub fn n_sections(&self) -> usize {
        self.sections.len()
    }

    /// The next section, after the last the first again.
    ///
    /// # Errors
    /// If a file changed or cannot be read, or a tensor is not of the size that its slot takes. The same section comes
    /// again then.
    pub fn next_layer(&mut self) -> Result<LayerWeights, StoreError> {
        let section = self.next;
        let weights = if self.handed_over[section] { Vec::new() } else { self.weights(section)? };
        self.handed_over[section] = true;
        self.next = (section + 1) % self.sections.len();
        Ok(LayerWeights { section, weights, lasting: true })
    }

    /// Begins again at the first section, for someone who has none of the weights (any more).
    pub fn restart(&mut self) {
        self.next = 0;
        self.handed_over.fill(false);
    }

    fn weights(&mut self, section: usize) -> Result<Vec<Weight>, StoreError> {
        let sources = &self.sections[section];
        for source in sources {
            check_size(source)?;
            self.checkpoint.source(&source.info).check_unchanged()?;
        }
        let blocks = match self.residency {
            Residency::Mapped => sources.iter().map(|source| self.checkpoint.bytes(&source.info)).collect(),
            Residency::Resident => read(&self.checkpoint, sources, &mut self.shared)?,
        };
        Ok(sources.iter().zip(blocks).map(|(source, blocks)| hand_over(source, blocks)).collect())
    }
}

fn check_size(source: &WeightSource) -> Result<(), StoreError> {
    let WeightSource { info, shape: [n_out, n_in], .. } = source;
    let block = info.block_type.block();
    let expected = (n_in / block.len * block.bytes) as u64 * *n_out as u64;
    if n_in.is_multiple_of(block.len) && info.len == expected {
        return Ok(());
    }
    Err(StoreError::Size {
        tensor: info.name.clone(),
        found: info.len,
        expected,
        n_out: *n_out,
        n_in: *n_in,
        block_type: block.name,
    })
}

fn hand_over(source: &WeightSource, blocks: Blocks) -> Weight {
    let [n_out, n_in] = source.shape;
    transform::apply(source.transform, Weight { block_type: source.info.block_type, n_out, n_in, blocks })
}

/// Copies a section's tensors into one buffer, but those that are there already.
fn read(
    checkpoint: &Checkpoint,
    sources: &[WeightSource],
    shared: &mut Shared,
) -> Result<Vec<Blocks>, StoreError> {
    let fresh: Vec<&TensorInfo> =
        sources.iter().map(|source| &source.info).filter(|info| shared.get(info).is_none()).collect();
    let mut buffer = Aligned::zeroed(fresh.iter().map(|info| padded(info)).sum());
    let mut offset = 0;
    for info in &fresh {
        let out = &mut buffer.bytes_mut()[offset..offset + info.len as usize];
        checkpoint.source(info).read(info.offset, out)?;
        offset += padded(info);
    }
    let buffer = Blocks::new(Arc::new(buffer));
    let mut offset = 0;
    let mut take = |info: &TensorInfo| {
        let blocks = buffer.slice(offset..offset + info.len as usize);
        offset += padded(info);
        blocks
    };
    let mut blocks = Vec::with_capacity(sources.len());
    for WeightSource { info, .. } in sources {
        let known = shared.get(info).cloned();
        blocks.push(known.unwrap_or_else(|| take(info)));
    }
    for (source, blocks) in sources.iter().zip(&blocks) {
        shared.keep(&source.info, blocks);
    }
    Ok(blocks)
}

/// Bytes that a tensor takes in a buffer of aligned tensors.
fn padded(info: &TensorInfo) -> usize {
    (info.len as usize).next_multiple_of(ALIGNMENT)
}

/// Tensors that several sections use (an embedding table that is also the head), so that they are read once.
struct Shared {
    tensors: HashMap<(usize, u64), Option<Blocks>>,
}

impl Shared {
    fn find(sections: &[Vec<WeightSource>]) -> Self {
        let mut seen = HashSet::new();
        let mut tensors = HashMap::new();
        for section in sections {
            let places: HashSet<_> = section.iter().map(|source| place(&source.info)).collect();
            tensors
                .extend(places.into_iter().filter(|place| !seen.insert(*place)).map(|place| (place, None)));
        }
        Shared { tensors }
    }

    fn get(&self, info: &TensorInfo) -> Option<&Blocks> {
        self.tensors.get(&place(info))?.as_ref()
    }

    fn keep(&mut self, info: &TensorInfo, blocks: &Blocks) {
        if let Some(slot) = self.tensors.get_mut(&place(info)) {
            *slot = Some(blocks.clone());
        }
    }
}

fn place(info: &TensorInfo) -> (usize, u64) {
    (info.file, info.offset)
}
