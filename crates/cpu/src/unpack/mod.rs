//! File blocks of sixteen channels to panels.
//!
//! [`Unpacker::of`] is the one table. A type without a line of its own is unpacked by its definition in
//! `dewdrop_format`, byte for byte, which works for all of them and is what the fast ones are tested against.

mod generic;

use dewdrop_format::BlockType;

use crate::isa::Isa;
use crate::panel::{CHANNELS, Form, PartMut};

/// Writes the panel of some inputs of sixteen channels, each given as its whole blocks.
pub(crate) type Unpack = fn(Isa, BlockType, [&[u8]; CHANNELS], PartMut<'_>);

/// How a block type becomes panels.
#[derive(Clone, Copy)]
pub(crate) struct Unpacker {
    pub(crate) form: Form,
    pub(crate) unpack: Unpack,
}

impl Unpacker {
    /// The fastest for a type; none for types without integers.
    pub(crate) fn of(block_type: BlockType) -> Option<Unpacker> {
        generic::unpacker(block_type)
    }
}
