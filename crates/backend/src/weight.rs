//! Weights as they are handed to a backend: file blocks behind a cheap, shared handle.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use dewdrop_format::BlockType;

use crate::{BackendError, WeightSpec};

/// Bytes that somebody else keeps alive: a map, a buffer, a staging slot. Cloning shares them.
#[derive(Clone)]
pub struct Blocks {
    owner: Owner,
    range: Range<usize>,
}

#[derive(Clone)]
enum Owner {
    /// To be read alone.
    Shared(Arc<dyn AsRef<[u8]> + Send + Sync>),
    /// Given away: whoever is the last to have it may write it.
    Given(Arc<dyn Memory>),
}

/// Memory that can be given away.
pub trait Memory: AsRef<[u8]> + AsMut<[u8]> + Send + Sync {}

impl<T: AsRef<[u8]> + AsMut<[u8]> + Send + Sync> Memory for T {}

impl Blocks {
    /// All bytes of `owner`.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let range = 0..(*owner).as_ref().len();
        Blocks { owner: Owner::Shared(owner), range }
    }

    /// All bytes of `memory`, which nobody else has.
    pub fn given(memory: impl Memory + 'static) -> Self {
        let range = 0..memory.as_ref().len();
        Blocks { owner: Owner::Given(Arc::new(memory)), range }
    }

    /// The given part of these bytes.
    ///
    /// # Panics
    /// If `range` is not within them.
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.range.len(),
            "slice {range:?} of {:?}",
            self.range
        );
        Blocks {
            owner: self.owner.clone(),
            range: self.range.start + range.start..self.range.start + range.end,
        }
    }

    /// The bytes to be written in place, if they were [given](Blocks::given) and nobody else has any of them.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        match &mut self.owner {
            Owner::Shared(_) => None,
            Owner::Given(memory) => Some(&mut Arc::get_mut(memory)?.as_mut()[self.range.clone()]),
        }
    }
}

impl Deref for Blocks {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes = match &self.owner {
            Owner::Shared(owner) => (**owner).as_ref(),
            Owner::Given(memory) => (**memory).as_ref(),
        };
        &bytes[self.range.clone()]
    }
}

impl From<Vec<u8>> for Blocks {
    fn from(bytes: Vec<u8>) -> Self {
        Blocks::given(bytes)
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blocks({} bytes)", self.range.len())
    }
}

/// A matrix of `n_out` channels by `n_in` inputs (a vector: one channel), in file order.
#[derive(Clone, Debug)]
pub struct Weight {
    /// How the bytes are read.
    pub block_type: BlockType,
    /// Channels.
    pub n_out: usize,
    /// Inputs of each channel; a multiple of the block type's length.
    pub n_in: usize,
    /// `n_out` runs of `n_in` weights.
    pub blocks: Blocks,
}

impl Weight {
    /// Refuses a weight whose shape or bytes are not what a section wants.
    ///
    /// # Errors
    /// [`BackendError::Weight`] with both shapes.
    pub fn check(&self, spec: &WeightSpec) -> Result<(), BackendError> {
        let block = self.block_type.block();
        let bytes = (spec.n_in / block.len).checked_mul(spec.n_out).and_then(|n| n.checked_mul(block.bytes));
        let shape = (self.n_out, self.n_in) == (spec.n_out, spec.n_in) && spec.n_in.is_multiple_of(block.len);
        if shape && bytes == Some(self.blocks.len()) {
            return Ok(());
        }
        Err(BackendError::Weight {
            role: spec.role.clone(),
            n_out: self.n_out,
            n_in: self.n_in,
            bytes: self.blocks.len(),
            want_out: spec.n_out,
            want_in: spec.n_in,
        })
    }

    /// The weights as f32, `[n_out, n_in]`. They are as many as [`check`](Weight::check) has seen bytes for.
    pub fn decode(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.n_out * self.n_in];
        (self.block_type.block().decode)(&self.blocks, &mut values);
        values
    }
}

/// What is done to a small tensor's values between file and backend, so that both file formats mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// Handed over as it lies in the file.
    None,
    /// `1 + w`: norms of Gemma and Qwen 3.5 in Hugging Face folders.
    AddOne,
    /// `-exp(w)`: the delta rule's decay in Hugging Face folders.
    NegExp,
}
