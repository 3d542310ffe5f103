//! What the operating system says about this machine and process.

mod memory;

use std::collections::BTreeSet;
use std::thread::available_parallelism;

pub use dewdrop_cpu::limits;
use dewdrop_store::system;
pub use memory::{available_memory, spare_memory, stalled_for_memory};

/// Physical cores that this process may use: decode is bound by memory, where a core's second thread does not help.
pub fn physical_cores() -> usize {
    let logical = available_parallelism().map_or(1, usize::from);
    match core_siblings() {
        Some(cores) => cores.clamp(1, logical),
        None => logical,
    }
}

/// The most memory this process has held at once, in bytes, as the kernel counts it (mapped file pages included).
pub fn peak_memory() -> Option<u64> {
    match read("/proc/self/status") {
        Some(status) => kilobytes(&status, "VmHWM:").map(|kilobytes| kilobytes * 1024),
        None => system::held().map(|held| held.peak),
    }
}

/// The memory this process holds now, in bytes, as the kernel counts it (mapped file pages included).
pub fn held_memory() -> Option<u64> {
    match read("/proc/self/status") {
        Some(status) => kilobytes(&status, "VmRSS:").map(|kilobytes| kilobytes * 1024),
        None => system::held().map(|held| held.now),
    }
}

/// Distinct groups of hardware threads that share a core.
fn core_siblings() -> Option<usize> {
    let cpus = std::fs::read_dir("/sys/devices/system/cpu").ok()?.flatten();
    let siblings =
        cpus.filter_map(|cpu| std::fs::read_to_string(cpu.path().join("topology/thread_siblings_list")).ok());
    let groups: BTreeSet<String> = siblings.collect();
    (!groups.is_empty()).then_some(groups.len())
}

fn read(path: &str) -> Option<String> {
    if cfg!(target_os = "linux") { std::fs::read_to_string(path).ok() } else { None }
}

/// A line like `VmHWM:     1234 kB`.
fn kilobytes(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_core() {
        assert!(physical_cores() >= 1);
    }

    #[test]
    fn kilobytes_are_parsed() {
        let status = "Name:\tdewdrop\nVmHWM:\t    2048 kB\nThreads:\t1\n";
        assert_eq!(kilobytes(status, "VmHWM:"), Some(2048));
        assert_eq!(kilobytes(status, "VmRSS:"), None);
        assert_eq!(kilobytes("VmHWM: many kB", "VmHWM:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_counts_memory() {
        assert!(peak_memory().is_some_and(|bytes| bytes > 1 << 16));
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 16));
    }
}
