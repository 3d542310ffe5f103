//! What is told about a generation: on stderr for people, as JSON for programs.

use std::fmt::Write;

use dewdrop::plan::Prediction;
use dewdrop::{Engine, Stats, machine};
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

/// What streaming has done, as a line for people; none where nothing is streamed.
pub(crate) fn streaming(engine: &Engine, stats: &Stats) -> anyhow::Result<Option<String>> {
    let (Some(streaming), Some(plan)) = (engine.streaming()?, engine.plan()) else { return Ok(None) };
    let time = (stats.prompt_time + stats.generation_time).as_secs_f64();
    let share = |part: f64| if time > 0.0 { 100.0 * part / time } else { 0.0 };
    Ok(Some(format!(
        "weights {} resident, {} per pass from disk ({})\n\
         read {} at {}/s, waited for {:.0} % of the time\n\
         peak memory planned {}, budget {}\n{}",
        units::bytes(streaming.pinned_bytes),
        units::bytes(streaming.bytes_per_round),
        streaming.reader,
        units::bytes(streaming.bytes_read),
        units::bytes(if time > 0.0 { (streaming.bytes_read as f64 / time) as u64 } else { 0 }),
        share(streaming.stalled.as_secs_f64()),
        units::bytes(plan.peak()),
        units::bytes(plan.budget),
        in_words(engine.prediction(stats.prompt_tokens)),
    )))
}

/// What was predicted, as a line for people.
fn in_words(prediction: Option<Prediction>) -> String {
    let Some(prediction) = prediction else {
        return "not predicted: `dewdrop plan` measures this machine".into();
    };
    format!(
        "predicted {:.2} tokens/s, first token after {:.3} s",
        prediction.tokens_per_second(),
        prediction.first_token()
    )
}

/// What streaming has done, as a member of a JSON record; null where nothing is streamed.
pub(crate) fn streaming_json(engine: &Engine, stats: &Stats) -> anyhow::Result<Value> {
    let (Some(streaming), Some(plan)) = (engine.streaming()?, engine.plan()) else { return Ok(Value::Null) };
    let prediction = engine.prediction(stats.prompt_tokens);
    Ok(json!({
        "budget_bytes": plan.budget,
        "planned_peak_bytes": plan.peak(),
        "resident_bytes": streaming.pinned_bytes,
        "streamed_bytes_per_pass": streaming.bytes_per_round,
        "bytes_read": streaming.bytes_read,
        "stalled_seconds": streaming.stalled.as_secs_f64(),
        "reader": streaming.reader,
        "predicted_tokens_per_second": prediction.map(|prediction| prediction.tokens_per_second()),
        "predicted_time_to_first_token_seconds": prediction.map(|prediction| prediction.first_token()),
    }))
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
