//! What a session has done, and how long it took.

use std::time::Duration;

/// Counts and times since the last [`set_prompt`](crate::Session::set_prompt) (or the session's start).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Prompt tokens computed.
    pub prompt_tokens: usize,
    /// Prompt tokens that were computed before and reused.
    pub reused_tokens: usize,
    /// Time spent on the prompt.
    pub prompt_time: Duration,
    /// Tokens generated.
    pub generated_tokens: usize,
    /// Time spent generating: choosing, and computing what the next choice needs.
    pub generation_time: Duration,
    /// From the prompt to the first token chosen.
    pub time_to_first_token: Option<Duration>,
}

impl Stats {
    /// Prompt tokens per second; 0 before any.
    pub fn prompt_speed(&self) -> f64 {
        per_second(self.prompt_tokens, self.prompt_time)
    }

    /// Generated tokens per second; 0 before any. The first token needs no pass of its own and is not counted.
    pub fn generation_speed(&self) -> f64 {
        per_second(self.generated_tokens.saturating_sub(1), self.generation_time)
    }
}

fn per_second(n: usize, time: Duration) -> f64 {
    if n == 0 || time.is_zero() { 0.0 } else { n as f64 / time.as_secs_f64() }
}
