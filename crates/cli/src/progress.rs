//! A bar for work whose end is known, drawn on stderr if that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Characters of the bar itself.
const WIDTH: usize = 30;
/// Drawn no more often than this.
const PERIOD: Duration = Duration::from_millis(100);
/// Back to the start of the line, and the line erased.
const ERASE: &str = "\r\x1b[2K";

/// How far a piece of work has come. Erases itself at the end of its life.
#[derive(Debug)]
pub(crate) struct Bar {
    label: &'static str,
    is_shown: bool,
    start: Instant,
    drawn: Option<Instant>,
}

impl Bar {
    /// A bar that appears with the first [`Bar::update`].
    pub(crate) fn new(label: &'static str) -> Self {
        Self { label, is_shown: io::stderr().is_terminal(), start: Instant::now(), drawn: None }
    }

    /// Shows that `done` of `total` are done; `note` stands behind.
    pub(crate) fn update(&mut self, done: u64, total: u64, note: &str) {
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= PERIOD);
        if self.is_shown && is_due {
            self.drawn = Some(Instant::now());
            let left = time_left(self.start.elapsed(), done, total);
            let mut err = io::stderr().lock();
            let _ = write!(err, "{ERASE}{} {} {left}{note}", self.label, bar(done, total));
            let _ = err.flush();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "{ERASE}");
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let share = if total == 0 { 1.0 } else { (done as f64 / total as f64).min(1.0) };
    let n_full = (share * WIDTH as f64) as usize;
    format!("[{}{}] {:3.0} %", "#".repeat(n_full), "-".repeat(WIDTH - n_full), share * 100.0)
}

/// `, 1:05 left`; nothing before a guess is worth showing.
fn time_left(elapsed: Duration, done: u64, total: u64) -> String {
    if done == 0 || elapsed < Duration::from_secs(1) {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64() * total.saturating_sub(done) as f64 / done as f64;
    format!("{}:{:02} left ", seconds as u64 / 60, seconds as u64 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_from_the_left() {
        assert_eq!(bar(1, 3), format!("[{}{}]  33 %", "#".repeat(10), "-".repeat(20)));
        assert_eq!(bar(0, 0), format!("[{}] 100 %", "#".repeat(30)));
        assert_eq!(bar(9, 3), format!("[{}] 100 %", "#".repeat(30)));
    }

    #[test]
    fn the_time_left_follows_from_the_pace() {
        assert_eq!(time_left(Duration::from_secs(65), 1, 2), "1:05 left ");
        assert_eq!(time_left(Duration::from_millis(10), 1, 2), "");
    }
}
