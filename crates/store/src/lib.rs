//! Where weights live: opening model files, mapping them, and handing weights to whoever computes.
//!
//! [`Checkpoint`] is what a model's files hold: its metadata and a list of tensors, with the bytes mapped rather than
//! read. [`Store`] is the seam between files and backends: [`Store::next_layer`] hands over the sections of a program in
//! order, again and again, whatever way their weights live: mapped or resident ([`Residency`]), or some pinned and the others
//! streamed from disk in every round ([`Placement`]). Where [`Checksums`] lie
//! beside a file, what is read of it is compared with them. This room knows no mathematics beyond the
//! [`Transform`](dewdrop_backend::Transform)s of small tensors that let both file formats mean the same.

mod aligned;
mod checkpoint;
mod checksums;
mod error;
mod gguf_files;
mod hugging_face;
mod json;
mod map;
mod resident;
mod store;
mod stream;
pub mod system;
mod transform;

pub use checkpoint::{Checkpoint, CheckpointKind};
pub use checksums::{Checksums, Damage, Progress, sidecar_path};
pub use error::StoreError;
pub use store::{LayerWeights, Replacement, Residency, Store, WeightSource};
pub use stream::{IN_FLIGHT, Place, Placement, Statistics, pinned_len, read_bandwidth, staging_len};
