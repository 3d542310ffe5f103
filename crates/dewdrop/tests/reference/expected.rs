//! Recorded values of one family.

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// What `expected.json` and `expected.safetensors` of a folder hold.
pub(crate) struct Expected {
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) logits_tolerance: f32,
    pub(crate) hidden_tolerance: f32,
}

/// One prompt and what comes of it.
pub(crate) struct Prompt {
    index: usize,
    pub(crate) ids: Vec<u32>,
    /// Position of the first row of `logits`.
    pub(crate) logits_from: usize,
    pub(crate) logits: Vec<f32>,
    /// Tokens of the first pass of `cached_logits`.
    pub(crate) split: usize,
    pub(crate) cached_from: usize,
    pub(crate) cached_logits: Vec<f32>,
    /// Before the first layer, after each, after the last norm; empty where not recorded.
    pub(crate) hidden: Vec<Vec<f32>>,
    pub(crate) greedy: Vec<u32>,
}

impl Expected {
    pub(crate) fn read(folder: &Path) -> Self {
        let notes = fs::read(folder.join("expected.json")).expect("expected.json");
        let notes: Value = serde_json::from_slice(&notes).expect("expected.json is JSON");
        let values = Values::read(&folder.join("expected.safetensors"));
        let prompts = notes["prompts"].as_array().expect("a list of prompts");
        let tolerance = |key: &str| notes["tolerance"][key].as_f64().expect("a tolerance") as f32;
        Expected {
            prompts: prompts.iter().enumerate().map(|(i, notes)| Prompt::read(i, notes, &values)).collect(),
            logits_tolerance: tolerance("logits_abs"),
            hidden_tolerance: tolerance("hidden_abs"),
        }
    }
}

impl Prompt {
    fn read(index: usize, notes: &Value, values: &Values) -> Self {
        let number = |key: &str| notes[key].as_u64().expect("a number") as usize;
        let floats = |name: &str| values.floats(&format!("prompt_{index}.{name}"));
        let ids = |name: &str| values.ids(&format!("prompt_{index}.{name}")).expect("recorded ids");
        let layers = (0..).map_while(|layer| floats(&format!("hidden.{layer}")));
        Prompt {
            index,
            ids: ids("input_ids"),
            logits_from: number("logits_rows_from"),
            logits: floats("logits").expect("recorded logits"),
            split: number("split"),
            cached_from: number("cached_rows_from"),
            cached_logits: floats("cached_logits").expect("recorded logits"),
            hidden: layers.chain(floats("hidden.final")).collect(),
            greedy: ids("greedy"),
        }
    }
}

impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prompt {} of {} tokens", self.index, self.ids.len())
    }
}

/// A safetensors file with int32 tensors, which are no weights, so that the library's reader does not place them.
struct Values {
    header: Value,
    data: Vec<u8>,
}

impl Values {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).expect("expected.safetensors");
        let (len, rest) = bytes.split_first_chunk().expect("a header");
        let (header, data) = rest.split_at(u64::from_le_bytes(*len) as usize);
        Values { header: serde_json::from_slice(header).expect("a JSON header"), data: data.to_vec() }
    }

    fn words(&self, name: &str, dtype: &str) -> Option<impl Iterator<Item = [u8; 4]>> {
        let entry = self.header.get(name)?;
        assert_eq!(entry["dtype"], dtype, "{name}");
        let offset = |i: usize| entry["data_offsets"][i].as_u64().expect("an offset") as usize;
        let words = self.data[offset(0)..offset(1)].as_chunks().0;
        Some(words.iter().copied())
    }

    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        Some(self.words(name, "F32")?.map(f32::from_le_bytes).collect())
    }

    fn ids(&self, name: &str) -> Option<Vec<u32>> {
        Some(self.words(name, "I32")?.map(u32::from_le_bytes).collect())
    }
}
