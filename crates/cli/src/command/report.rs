//! What is told about a generation: on stderr for people, as JSON for programs.

use std::fmt::Write;
use std::time::Duration;

use dewdrop::Stats;
use serde_json::{Value, json};

use crate::{memory, units};

/// The statistics as lines for people.
pub(crate) fn text(stats: &Stats, seed: u64) -> String {
    let mut text = String::new();
    let rate = |n, time| units::per_second(n, time).map_or("-".into(), |rate| format!("{rate:.1}"));
    let line = |name: &str, n, time| {
        format!("{name:<11} {:>12}  {:>9} tokens/s\n", units::plural(n, "token"), rate(n, time))
    };
    text += &line("prompt", stats.prompt_tokens, stats.prompt_time);
    text += &line("generation", stats.generated_tokens, stats.generation_time);
    if let Some(time) = stats.time_to_first_token {
        let _ = write!(text, "first token after {:.3} s, ", time.as_secs_f64());
    }
    if let Some(bytes) = memory::peak_bytes() {
        let _ = write!(text, "peak memory {}, ", units::bytes(bytes));
    }
    let _ = write!(text, "seed {seed}");
    text
}

/// The statistics as a member of a JSON record.
pub(crate) fn timings(stats: &Stats) -> Value {
    json!({
        "prompt_seconds": stats.prompt_time.as_secs_f64(),
        "prompt_tokens_per_second": units::per_second(stats.prompt_tokens, stats.prompt_time),
        "time_to_first_token_seconds": stats.time_to_first_token.map(|time: Duration| time.as_secs_f64()),
        "generation_seconds": stats.generation_time.as_secs_f64(),
        "generation_tokens_per_second": units::per_second(stats.generated_tokens, stats.generation_time),
    })
}
