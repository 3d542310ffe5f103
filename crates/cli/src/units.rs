//! Numbers as people read them.

use std::time::Duration;

/// `532 B`, `1.5 KiB`, `2.4 GiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `12 k`, `10.0 M`, `1.24 G`: counts of parameters.
pub(crate) fn count(n: u64) -> String {
    let value = n as f64;
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1} k", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", value / 1e6),
        _ => format!("{:.2} G", value / 1e9),
    }
}

/// Items in a second; none where no time has passed.
pub(crate) fn per_second(n: usize, time: Duration) -> Option<f64> {
    let seconds = time.as_secs_f64();
    (seconds > 0.0).then(|| n as f64 / seconds)
}

/// `1 token`, `3 tokens`.
pub(crate) fn plural(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_unit_that_keeps_them_short() {
        let shown: Vec<_> = [0, 1023, 1024, 1536, 1 << 20, 5 << 30].map(bytes).into();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB"]);
    }

    #[test]
    fn counts_are_in_thousands() {
        let shown: Vec<_> = [999, 1_500, 25_200_000, 1_240_000_000].map(count).into();
        assert_eq!(shown, ["999", "1.5 k", "25.2 M", "1.24 G"]);
    }

    #[test]
    fn no_time_gives_no_rate() {
        assert_eq!(per_second(3, Duration::ZERO), None);
        assert_eq!(per_second(3, Duration::from_secs(2)), Some(1.5));
    }
}
