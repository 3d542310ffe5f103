//! How much memory there is to have.

use std::path::Path;
use std::time::Duration;

use dewdrop_store::system;

use super::{kilobytes, read};

/// Shares of what is available that are left to others: one in twenty, but not less than this.
const MARGIN: u64 = 64 << 20;

/// Bytes that this process can come to hold without others having to give theirs up: what the system or its control
/// groups (version 1 and 2) have to spare, less a margin. None where the system does not say.
pub fn available_memory() -> Option<u64> {
    let spare = spare_memory()?;
    let margin = (spare / 20).max(MARGIN);
    Some(super::held_memory()? + spare.saturating_sub(margin))
}

/// Bytes that the system or its control groups (version 1 and 2) have to spare. None where the system does not say.
pub fn spare_memory() -> Option<u64> {
    let Some(memory) = read("/proc/meminfo") else { return system::spare() };
    let available = kilobytes(&memory, "MemAvailable:")? * 1024;
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    groups.lines().filter_map(group_spare).chain([available]).min()
}

/// Time that tasks have stood still for lack of memory, in this process's control group where that says so (version 2), or
/// else in the whole system. None where the kernel does not count (it does with PSI, since Linux 4.20).
pub fn stalled_for_memory() -> Option<Duration> {
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = group.and_then(|group| text(&Path::new("/sys/fs/cgroup").join(group).join("memory.pressure")));
    stalled(&own.or_else(|| read("/proc/pressure/memory"))?)
}

/// The total of the line `some avg10=0.00 avg60=0.00 avg300=0.00 total=82723098`, in microseconds.
fn stalled(pressure: &str) -> Option<Duration> {
    let some = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    let total = some.split(' ').find_map(|value| value.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
}

/// What the group of a line of `/proc/self/cgroup`, and those above it, have to spare; none if it has no limit.
fn group_spare(line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, group) = (parts.next()?, parts.next()?.trim_start_matches('/'));
    let (root, version): (&str, fn(&Path) -> Option<u64>) = match controllers {
        "" => ("/sys/fs/cgroup", spare_v2),
        _ if controllers.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", spare_v1),
        _ => return None,
    };
    let folder = Path::new(root).join(group);
    folder.ancestors().take_while(|folder| folder.starts_with(root)).filter_map(version).min()
}

fn spare_v1(folder: &Path) -> Option<u64> {
    let limit = number(&folder.join("memory.limit_in_bytes"))?;
    spare(limit, number(&folder.join("memory.usage_in_bytes"))?, &text(&folder.join("memory.stat"))?)
}

fn spare_v2(folder: &Path) -> Option<u64> {
    // Beyond `high` a group is slowed down, beyond `max` killed.
    let limit =
        ["memory.max", "memory.high"].into_iter().filter_map(|name| number(&folder.join(name))).min()?;
    spare(limit, number(&folder.join("memory.current"))?, &text(&folder.join("memory.stat"))?)
}

/// File pages that nobody used lately count against a group, but go when memory is wanted.
fn spare(limit: u64, usage: u64, stat: &str) -> Option<u64> {
    let value = |key: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    // Version 1 writes its largest number where there is no limit.
    let is_limited = limit < 1 << 60;
    let inactive = value("total_inactive_file").or_else(|| value("inactive_file")).unwrap_or(0);
    is_limited.then(|| limit.saturating_sub(usage.saturating_sub(inactive)))
}

/// A file with a number; none for `max`.
fn number(path: &Path) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

fn text(path: &Path) -> Option<String> {
    read(path.to_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_file_pages_are_to_spare() {
        let stat = "cache 100\ninactive_file 30\ntotal_inactive_file 40\n";
        assert_eq!(spare(100, 70, stat), Some(70));
        assert_eq!(spare(100, 70, "inactive_file 30\n"), Some(60));
        assert_eq!(spare(100, 170, ""), Some(0));
        assert_eq!(spare(9_223_372_036_854_771_712, 70, stat), None);
    }

    #[test]
    fn a_group_of_version_2_is_held_by_the_lower_of_its_limits() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("memory.current", "100\n");
        write("memory.stat", "file 20\n");
        for (max, high, spare) in [
            ("1000", "800", Some(700)),
            ("600", "max", Some(500)),
            ("max", "300", Some(200)),
            ("max", "max", None),
        ] {
            write("memory.max", max);
            write("memory.high", high);
            assert_eq!(spare_v2(folder.path()), spare, "{max} {high}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_has_memory_to_spare() {
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn pressure_is_a_total_of_microseconds() {
        let text = "some avg10=0.00 avg60=1.00 avg300=0.00 total=82723098\nfull avg10=0.00 total=5\n";
        assert_eq!(stalled(text), Some(Duration::from_micros(82_723_098)));
        assert_eq!(stalled("full total=5"), None);
        assert_eq!(stalled("some total=x"), None);
    }

    #[test]
    fn other_groups_do_not_count() {
        assert_eq!(group_spare("3:cpuset:/"), None);
        assert_eq!(group_spare("nonsense"), None);
    }
}
