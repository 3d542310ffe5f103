//! The lines of the input.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use dewdrop::{EncodeOptions, Prepared, Request, Sampling};
use serde_json::Value;
use twox_hash::XxHash3_64;

use super::results::Finished;

/// Where prompts come from.
pub(super) struct Input<'a> {
    pub(super) path: &'a Path,
    /// Of lines that do not say otherwise.
    pub(super) sampling: &'a Sampling,
}

/// A line that is to be done.
pub(super) struct Line {
    /// Its tag is the line's number, from 1.
    pub(super) request: Request,
    /// As the line has it.
    pub(super) id: Value,
    /// What its result was made of, in short.
    pub(super) key: String,
}

impl Line {
    /// Tokens that it can come to.
    pub(super) fn context(&self) -> usize {
        let most = self.request.sampling.n.unwrap_or(usize::MAX);
        self.request.prompt.len().saturating_add(most.max(1))
    }
}

impl Input<'_> {
    /// The lines that are not finished. Of the text nothing stays: there may be more of it than memory to spare.
    ///
    /// # Errors
    /// If a line is not one, or has another result than it will have now.
    pub(super) fn read(&self, prepared: &mut Prepared, finished: &Finished) -> anyhow::Result<Vec<Line>> {
        let file =
            File::open(self.path).with_context(|| format!("{}: cannot be opened", self.path.display()))?;
        let model = format!("{:016x} {:?}", prepared.fingerprint(), prepared.options().context);
        let mut lines = Vec::new();
        let mut n_finished = 0;
        for (number, text) in (1..).zip(BufReader::new(file).lines()) {
            let place = || format!("{}: line {number}", self.path.display());
            let text = text.with_context(place)?;
            if text.trim().is_empty() {
                continue;
            }
            let wanted = Wanted::parse(&text, self.sampling).with_context(place)?;
            let key = wanted.key(&model);
            if finished.holds(number, &key)? {
                n_finished += 1;
            } else {
                let request = wanted.request(number, prepared).with_context(place)?;
                lines.push(Line { request, id: wanted.id, key });
            }
        }
        finished.check_count(n_finished, self.path)?;
        Ok(lines)
    }
}

/// What a line asks for.
struct Wanted {
    prompt: String,
    sampling: Sampling,
    id: Value,
}

impl Wanted {
    fn parse(text: &str, sampling: &Sampling) -> anyhow::Result<Wanted> {
        let mut value: Value = serde_json::from_str(text)?;
        if value.is_string() {
            value = serde_json::json!({ "prompt": value });
        }
        let Value::Object(fields) = &mut value else { bail!("expected a JSON object or a string") };
        let Some(Value::String(prompt)) = fields.remove("prompt") else { bail!("no text `prompt`") };
        let count = |key: &str| match fields.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                value.as_u64().map(Some).ok_or_else(|| anyhow!("`{key}` is {value}, expected a whole number"))
            }
        };
        let max_tokens = count("max_tokens")?.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let sampling = Sampling {
            seed: count("seed")?.unwrap_or(sampling.seed),
            n: max_tokens.or(sampling.n),
            ..sampling.clone()
        };
        Ok(Wanted { prompt, sampling, id: fields.remove("id").unwrap_or_default() })
    }

    /// Differs where results may.
    fn key(&self, model: &str) -> String {
        let of = format!("{model} {:?} {}", self.sampling, self.prompt);
        format!("{:016x}", XxHash3_64::oneshot(of.as_bytes()))
    }

    fn request(&self, number: u64, prepared: &mut Prepared) -> anyhow::Result<Request> {
        let prompt =
            prepared.encode(&self.prompt, EncodeOptions { add_special: true, parse_special: true })?;
        if prompt.is_empty() {
            bail!("the prompt has no tokens");
        }
        Ok(Request { tag: number, prompt, sampling: self.sampling.clone() })
    }
}
