//! What the process has used.

/// The largest resident memory of this process so far as the kernel counts it, in bytes; none where it does not say.
pub(crate) fn peak_bytes() -> Option<u64> {
    peak_from(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// From the text of Linux's `/proc/self/status`.
fn peak_from(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_high_water_mark() {
        assert_eq!(peak_from("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 12 kB\n"), Some(2 << 20));
        assert_eq!(peak_from("Name:\tx\n"), None);
    }
}
