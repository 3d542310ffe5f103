//! What the operating system says about memory, where it has to be asked by calls: macOS and Windows. Linux writes most of
//! it into files.

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

/// Bytes of the pages that memory comes in: 4 KiB on most machines, 16 on Apple's, up to 64 on others with ARM processors.
pub fn page_bytes() -> usize {
    #[cfg(unix)]
    // SAFETY: the call takes no memory of ours; it yields -1 where it does not know.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    #[cfg(not(unix))]
    let page = 0;
    usize::try_from(page).unwrap_or(0).max(4096)
}

/// Gives memory that was freed back to the system: glibc keeps what threads other than the first had, however much it is.
/// Elsewhere allocators are left to themselves.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: only memory that nobody has is touched; other threads may allocate meanwhile.
    unsafe {
        libc::malloc_trim(0);
    }
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
        assert!(page_bytes().is_power_of_two() && page_bytes() >= 4096);
    }
}
