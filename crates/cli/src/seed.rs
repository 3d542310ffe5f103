//! A seed that nobody chose.

use std::hash::{BuildHasher, RandomState};

/// 64 bits from the operating system, by way of the standard library's hasher keys.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one("seed")
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_seeds_differ() {
        assert_ne!(super::random(), super::random());
    }
}
