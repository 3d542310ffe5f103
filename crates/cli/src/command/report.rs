//! What is told about a generation: on stderr for people, as JSON for programs.

use std::fmt::Write;

use dewdrop::{Stats, machine};
use serde_json::{Value, json};

use crate::units;

/// The statistics as lines for people.
pub(crate) fn text(stats: &Stats, seed: u64) -> String {
    let mut text = String::new();
    let mut line = |name: &str, n, speed: f64| {
        let _ = writeln!(text, "{name:<11} {:>12}  {speed:>9.1} tokens/s", units::plural(n, "token"));
    };
    line("prompt", stats.prompt_tokens, stats.prompt_speed());
    line("generation", stats.generated_tokens, stats.generation_speed());
    if stats.reused_tokens > 0 {
        let _ =
            writeln!(text, "{} of the prompt computed before", units::plural(stats.reused_tokens, "token"));
    }
    if let Some(time) = stats.time_to_first_token {
        let _ = write!(text, "first token after {:.3} s, ", time.as_secs_f64());
    }
    if let Some(bytes) = machine::peak_memory() {
        let _ = write!(text, "peak memory {}, ", units::bytes(bytes));
    }
    let _ = write!(text, "seed {seed}");
    text
}

/// The statistics as a member of a JSON record.
pub(crate) fn timings(stats: &Stats) -> Value {
    json!({
        "prompt_seconds": stats.prompt_time.as_secs_f64(),
        "prompt_tokens_per_second": stats.prompt_speed(),
        "time_to_first_token_seconds": stats.time_to_first_token.map(|time| time.as_secs_f64()),
        "generation_seconds": stats.generation_time.as_secs_f64(),
        "generation_tokens_per_second": stats.generation_speed(),
    })
}
