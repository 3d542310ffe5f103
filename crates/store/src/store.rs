//! The seam between files and backends: sections of weights, handed over in order.

use std::sync::Arc;

use dewdrop_backend::{Blocks, Transform, Weight};
use dewdrop_format::TensorInfo;

use crate::resident::{self, Shared};
use crate::stream::{Placement, Space, Statistics, Stream};
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    behaviour: Behaviour,
    /// Index of the section that comes next.
    next: usize,
    handed_over: Vec<bool>,
}

/// Sections that are to live otherwise, and addresses for that.
pub struct Replacement {
    sections: Vec<Vec<WeightSource>>,
    space: Space,
}

/// Where the weights come from.
enum Behaviour {
    Mapped,
    Resident(Shared),
    Streamed(Box<Stream>),
}

impl Store {
    /// `sections`: for each section of the program, in order, what fills its slots.
    pub fn new(checkpoint: Arc<Checkpoint>, sections: Vec<Vec<WeightSource>>, residency: Residency) -> Self {
        let behaviour = match residency {
            Residency::Mapped => Behaviour::Mapped,
            Residency::Resident => Behaviour::Resident(Shared::find(&sections)),
        };
        Self::with(checkpoint, sections, behaviour)
    }

    /// As [`new`](Store::new), with some sections in memory and the others read from disk in every round.
    ///
    /// # Errors
    /// If a tensor is not of the size that its slot takes, or there is no memory for the slots.
    ///
    /// # Panics
    /// If the placement has another number of sections, or slots that are too small.
    pub fn streamed(
        checkpoint: Arc<Checkpoint>,
        sections: Vec<Vec<WeightSource>>,
        placement: &Placement,
    ) -> Result<Self, StoreError> {
        let Replacement { sections, space } = Replacement::new(sections, placement)?;
        let stream = Stream::new(checkpoint.clone(), space);
        Ok(Self::with(checkpoint, sections, Behaviour::Streamed(Box::new(stream))))
    }

    fn with(checkpoint: Arc<Checkpoint>, sections: Vec<Vec<WeightSource>>, behaviour: Behaviour) -> Self {
        let handed_over = vec![false; sections.len()];
        Store { checkpoint, sections, behaviour, next: 0, handed_over }
    }

    /// How many sections a round has.
    pub fn n_sections(&self) -> usize {
        self.sections.len()
    }

    /// Begins a round over these tokens, whose rows of the embedding table it will need.
    ///
    /// # Errors
    /// If weights of the last round that do not last are still held.
    pub fn begin(&mut self, tokens: impl IntoIterator<Item = u32>) -> Result<(), StoreError> {
        match &mut self.behaviour {
            Behaviour::Streamed(stream) => stream.begin(tokens),
            Behaviour::Mapped | Behaviour::Resident(_) => Ok(()),
        }
    }

    /// The next section, after the last the first again.
    ///
    /// # Errors
    /// If a file changed or cannot be read, or a tensor is not of the size that its slot takes. The same section comes
    /// again then.
    pub fn next_layer(&mut self) -> Result<LayerWeights, StoreError> {
        let section = self.next;
        let (weights, lasting) = self.weights(section)?;
        self.next = (section + 1) % self.sections.len();
        Ok(LayerWeights { section, weights, lasting })
    }

    /// Begins again at the first section, for someone who has none of the weights (any more).
    pub fn restart(&mut self) {
        self.next = 0;
        self.handed_over.fill(false);
        if let Behaviour::Streamed(stream) = &mut self.behaviour {
            stream.restart();
        }
    }

    /// Lets weights live otherwise, whatever they did so far, and begins again at the first section. Where the sections are
    /// those that it [`streams`](Store::streams), those that last before and after are not handed over again; whoever
    /// computes has let go of all others.
    pub fn replace(&mut self, replacement: Replacement) {
        let same = self.streams(&replacement);
        let Replacement { sections, space } = replacement;
        if let Behaviour::Streamed(stream) = &mut self.behaviour {
            stream.replace(space, same);
        } else {
            self.behaviour = Behaviour::Mapped;
            self.checkpoint.forget_pages();
            self.behaviour = Behaviour::Streamed(Box::new(Stream::new(self.checkpoint.clone(), space)));
        }
        self.handed_over = vec![false; sections.len()];
        (self.sections, self.next) = (sections, 0);
    }

    /// Whether the sections to come are those that it streams, or keeps beside streamed ones.
    pub fn streams(&self, replacement: &Replacement) -> bool {
        matches!(self.behaviour, Behaviour::Streamed(_)) && replacement.sections == self.sections
    }

    /// What streaming has done; none where nothing is streamed.
    pub fn statistics(&self) -> Option<Statistics> {
        match &self.behaviour {
            Behaviour::Streamed(stream) => Some(stream.statistics()),
            Behaviour::Mapped | Behaviour::Resident(_) => None,
        }
    }

    /// A section's weights, and whether they last.
    fn weights(&mut self, section: usize) -> Result<(Vec<Weight>, bool), StoreError> {
        let sources = &self.sections[section];
        let (blocks, lasting) = match &mut self.behaviour {
            Behaviour::Streamed(stream) => stream.take(section, sources)?,
            _ if self.handed_over[section] => (Vec::new(), true),
            Behaviour::Mapped => {
                check(&self.checkpoint, sources)?;
                let blocks = sources.iter().map(|source| self.checkpoint.bytes(&source.info)).collect();
                (checked(&self.checkpoint, sources, blocks)?, true)
            }
            Behaviour::Resident(shared) => {
                check(&self.checkpoint, sources)?;
                let blocks = resident::read(&self.checkpoint, sources, shared)?;
                (checked(&self.checkpoint, sources, blocks)?, true)
            }
        };
        self.handed_over[section] = true;
        let weights = sources.iter().zip(blocks).map(|(source, blocks)| hand_over(source, blocks));
        Ok((weights.collect(), lasting))
    }
}

impl Replacement {
    /// Sections that will live by `placement`.
    ///
    /// # Errors
    /// If a tensor is not of the size that its slot takes, or there is no memory for the slots.
    ///
    /// # Panics
    /// If the placement has another number of sections, or slots that are too small.
    pub fn new(sections: Vec<Vec<WeightSource>>, placement: &Placement) -> Result<Self, StoreError> {
        assert_eq!(placement.places.len(), sections.len(), "places and sections");
        sections.iter().flatten().try_for_each(check_size)?;
        let space = Space::new(&sections, placement)?;
        Ok(Replacement { sections, space })
    }
}

fn check(checkpoint: &Checkpoint, sources: &[WeightSource]) -> Result<(), StoreError> {
    for source in sources {
        check_size(source)?;
        checkpoint.source(&source.info).check_unchanged()?;
    }
    Ok(())
}

/// The blocks, if checksums agree or there are none.
fn checked(
    checkpoint: &Checkpoint,
    sources: &[WeightSource],
    blocks: Vec<Blocks>,
) -> Result<Vec<Blocks>, StoreError> {
    for (source, blocks) in sources.iter().zip(&blocks) {
        checkpoint.check_sums(&source.info, blocks)?;
    }
    Ok(blocks)
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
