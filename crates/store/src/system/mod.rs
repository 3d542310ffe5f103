//! What the operating system says about memory, where it has to be asked by calls: macOS and Windows. Linux writes it into
//! files, which need none of this.

#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod calls;
#[cfg(windows)]
#[path = "windows.rs"]
mod calls;

/// Bytes of memory of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it has now.
    pub now: u64,
    /// The most that it has had.
    pub peak: u64,
}

/// What this process holds; none where the system is not asked by calls, or does not answer.
pub fn held() -> Option<Held> {
    #[cfg(any(target_os = "macos", windows))]
    return calls::held();
    #[cfg(not(any(target_os = "macos", windows)))]
    None
}

/// Bytes of memory that nobody needs; none as with [`held`].
pub fn spare() -> Option<u64> {
    #[cfg(any(target_os = "macos", windows))]
    return calls::spare();
    #[cfg(not(any(target_os = "macos", windows)))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_that_are_asked_answer() {
        if cfg!(any(target_os = "macos", windows)) {
            let held = held().unwrap();
            assert!(held.now > 1 << 16 && held.peak >= held.now, "{held:?}");
            assert!(spare().unwrap() > 1 << 20);
        } else {
            assert_eq!((held(), spare()), (None, None));
        }
    }
}
