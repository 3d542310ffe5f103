//! What tells models apart, in eight bytes.

use std::hash::Hasher;

use twox_hash::XxHash3_64;

use crate::Prepared;

/// Of each tensor so much is looked at.
const SAMPLE: usize = 64;

impl Prepared {
    /// A number that differs where tokens may: by the model (all tensors' names, types and shapes, and how each begins) and
    /// by how it computes.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = XxHash3_64::with_seed(0);
        hasher.write(format!("{:?} {:?}", self.options().arithmetic, self.kv_types()).as_bytes());
        for (name, info) in &self.checkpoint().tensors {
            hasher.write(format!("{name} {} {:?}", info.block_type.block().name, info.shape).as_bytes());
            if self.checkpoint().has_bytes(info) {
                let bytes = self.checkpoint().bytes(info);
                hasher.write(&bytes[..bytes.len().min(SAMPLE)]);
            }
        }
        self.checkpoint().forget_pages();
        hasher.finish()
    }
}
