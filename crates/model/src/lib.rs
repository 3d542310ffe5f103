//! Model families as data: from a config to a program.
//!
//! [`describe`] reads a Hugging Face `config.json` or the metadata of a GGUF file, through one accessor for both, into
//! a [`Descriptor`]: plain values that say everything about a model. [`compile`] turns any descriptor into a
//! [`Program`](dewdrop_backend::Program) by one function that serves all families. [`claim`] finds the tensor for each
//! weight of the program and checks it; a tensor that nobody claims and that is not known to be unused refuses the file.
//!
//! A family is one file in `family/` and a line in [`FAMILIES`]. It says which names files use for it, what its config
//! means where it differs from a plain decoder, and how its tensors are called where they differ from the usual names.
//!
//! Values mean what they mean in GGUF files. Folders differ from that in two ways: small tensors (norms stored without
//! their one, logarithms of decays) get a [`Transform`](dewdrop_backend::Transform), and the order of rope pairs and of
//! value heads is a knob of the descriptor. So no large matrix is ever changed.

#![forbid(unsafe_code)]

mod claim;
mod compile;
mod config;
mod describe;
mod descriptor;
mod error;
mod family;
mod listing;
mod names;
mod rope;

pub use claim::{Claim, Claims, claim};
pub use compile::compile;
pub use config::{Source, SourceKind};
pub use describe::describe;
pub use descriptor::{Attention, Descriptor, FeedForward, Layer, Mixer};
pub use error::ModelError;
pub use family::{FAMILIES, Family};
pub use listing::Listing;
pub use names::{Names, ROPE_FACTORS, plain_name};
pub use rope::{RopeLaw, Scaling, Yarn};
