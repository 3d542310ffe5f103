//! What keys and values are kept as.

use crate::{BackendError, StateSpec};

/// A type of kept keys or values. `docs/arithmetic.md`, "Attend", says what it does to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvType {
    /// As computed.
    F32,
    /// Rounded to half precision.
    F16,
    /// Rounded to bfloat16.
    BF16,
    /// Integers of 16 bits, each head of a position with a scale.
    I16,
    /// Integers of 8 bits in groups of 32, each group with a scale in half precision.
    Q8_0,
}

/// All of them.
pub const KV_TYPES: [KvType; 5] = [KvType::F32, KvType::F16, KvType::BF16, KvType::I16, KvType::Q8_0];

/// Values of a head that share a scale of [`KvType::Q8_0`]; and so many at a time are summed exactly in either type of integers.
pub const KV_GROUP: usize = 32;
/// Dimensions that lie side by side in a page: heads of [`KvType::I16`] are a multiple of these.
pub(crate) const KV_LANES: usize = 16;

impl KvType {
    /// As in flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
            KvType::BF16 => "bf16",
            KvType::I16 => "i16",
            KvType::Q8_0 => "q8_0",
        }
    }

    /// Bytes of a head's values at one position.
    pub fn bytes_for(self, head_dim: usize) -> usize {
        match self {
            KvType::F32 => 4 * head_dim,
            KvType::F16 | KvType::BF16 => 2 * head_dim,
            KvType::I16 => 2 * head_dim + 2,
            KvType::Q8_0 => head_dim + 2 * (head_dim / KV_GROUP),
        }
    }

    /// What widths of heads are a multiple of that can be kept so.
    pub fn multiple(self) -> usize {
        match self {
            KvType::F32 | KvType::F16 | KvType::BF16 => 1,
            KvType::I16 => KV_LANES,
            KvType::Q8_0 => KV_GROUP,
        }
    }

    /// Whether heads of this width can be kept so.
    pub fn fits(self, head_dim: usize) -> bool {
        head_dim.is_multiple_of(self.multiple())
    }
}

/// What keys and what values are kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KvTypes {
    /// What keys are kept as.
    pub keys: KvType,
    /// What values are kept as.
    pub values: KvType,
}

impl From<KvType> for KvTypes {
    /// Both as the same.
    fn from(kv: KvType) -> Self {
        KvTypes { keys: kv, values: kv }
    }
}

impl KvTypes {
    /// Bytes of a key and a value of one head.
    pub fn bytes_for(self, head_dim: usize) -> usize {
        self.keys.bytes_for(head_dim) + self.values.bytes_for(head_dim)
    }

    /// Checks that a program's heads can be kept so.
    ///
    /// # Errors
    /// If their widths do not fit.
    pub fn check(self, states: &[StateSpec]) -> Result<(), BackendError> {
        for state in states {
            let StateSpec::Attention { head_dim, .. } = *state else { continue };
            for (what, kv, option) in
                [("keys", self.keys, "--cache-type-k"), ("values", self.values, "--cache-type-v")]
            {
                if !kv.fits(head_dim) {
                    let (multiple, kv) = (kv.multiple(), kv.name());
                    return Err(BackendError::KvType { what, kv, multiple, head_dim, option });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_no_whole_number_of_groups_are_refused() {
        let states = |head_dim| [StateSpec::Attention { n_kv_heads: 1, head_dim, window: None }];
        for kv in KV_TYPES {
            assert!(KvTypes::from(kv).check(&states(96)).is_ok());
        }
        let mixed = KvTypes { keys: KvType::F16, values: KvType::Q8_0 };
        let error = mixed.check(&states(80)).unwrap_err().to_string();
        assert!(error.contains("--cache-type-v") && error.contains("80"), "{error}");
        assert!(KvTypes { keys: KvType::F16, values: KvType::I16 }.check(&states(80)).is_ok());
        let keys = KvTypes { keys: KvType::I16, values: KvType::F16 };
        let error = keys.check(&states(24)).unwrap_err().to_string();
        assert!(
            error.contains("--cache-type-k") && error.contains("of 16") && error.contains("24"),
            "{error}"
        );
    }

    #[test]
    fn bytes_of_a_head() {
        let bytes = KV_TYPES.map(|kv| kv.bytes_for(128));
        assert_eq!(bytes, [512, 256, 256, 258, 136]);
        assert_eq!(KvTypes { keys: KvType::Q8_0, values: KvType::F16 }.bytes_for(128), 136 + 256);
    }
}
