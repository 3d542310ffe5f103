//! The file of results, which a later run goes on with.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dewdrop::Completion;
use serde_json::{Value, json};

use super::input::Line;
use crate::command::run::finish_reason;

/// How each record begins, before its line's number and before its key.
const MARKS: [&[u8]; 2] = [b"{\"line\":", b",\"key\":\""];
/// Digits of a key.
const KEY: usize = 16;

/// What a file of results holds.
#[derive(Default)]
pub(super) struct Finished {
    path: PathBuf,
    /// Keys by the line of the input, and on which line they stand.
    keys: BTreeMap<u64, (String, u64)>,
    /// Bytes of whole records.
    len: u64,
    /// A piece of one follows, which an ended run left.
    has_piece: bool,
}

impl Finished {
    /// Reads a file of results, if there is one.
    ///
    /// # Errors
    /// If it holds something else.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut finished = Finished { path: path.to_owned(), ..Finished::default() };
        let mut file = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(finished),
            Err(error) => return Err(error).context(format!("{}: cannot be read", path.display())),
        };
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            file.read_until(b'\n', &mut text)
                .with_context(|| format!("{}: cannot be read", path.display()))?;
            let is_ours = match text.strip_suffix(b"\n") {
                Some(record) => finished.add(number, record),
                None => text.is_empty() || is_begun(&text),
            };
            if !is_ours {
                bail!(
                    "{}: line {number} is no result of a batch, so nothing is written (give another file)",
                    path.display()
                );
            }
            if text.last() != Some(&b'\n') {
                finished.has_piece = !text.is_empty();
                break;
            }
            finished.len += text.len() as u64;
        }
        Ok(finished)
    }

    /// How many lines are finished.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether a line of the input is finished.
    ///
    /// # Errors
    /// If its result was made of something else.
    pub(super) fn holds(&self, line: u64, key: &str) -> anyhow::Result<bool> {
        match self.keys.get(&line) {
            None => Ok(false),
            Some((found, _)) if found == key => Ok(true),
            Some((_, number)) => bail!(
                "{}: line {number} is the result of another prompt, model or sampling than line {line} of the input has \
                 (give another file, or all as it was)",
                self.path.display()
            ),
        }
    }

    /// An error if some results are of lines that the input does not have, which has `n` of them.
    pub(super) fn check_count(&self, n: usize, input: &Path) -> anyhow::Result<()> {
        if n == self.len() {
            return Ok(());
        }
        bail!(
            "{}: holds {} results, but {n} of them are of lines of {} (give another file)",
            self.path.display(),
            self.len(),
            input.display()
        )
    }

    /// Takes a record; false if it is none.
    fn add(&mut self, number: u64, record: &[u8]) -> bool {
        let Ok(value) = serde_json::from_slice::<Value>(record) else { return false };
        let (Some(line), Some(key)) = (value["line"].as_u64(), value["key"].as_str()) else { return false };
        self.keys.insert(line, (key.to_owned(), number));
        true
    }
}

/// Whether a text is the beginning of a record.
fn is_begun(text: &[u8]) -> bool {
    let [first, second] = MARKS;
    let Some(rest) = text.strip_prefix(first) else { return first.starts_with(text) };
    let n_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &rest[n_digits..];
    let Some(rest) = rest.strip_prefix(second) else { return second.starts_with(rest) };
    rest.iter().take(KEY).all(u8::is_ascii_hexdigit)
}

/// The file that results are appended to.
pub(super) struct Results {
    file: File,
    path: PathBuf,
    /// Ids and keys of lines whose results are to come.
    expected: BTreeMap<u64, (Value, String)>,
    /// Lines still to be written in this order; none if any order will do.
    order: Option<VecDeque<u64>>,
    /// Written when their turn comes.
    waiting: BTreeMap<u64, String>,
}

impl Results {
    /// Opens the file. What an ended run left half written is cut off.
    pub(super) fn open(
        path: &Path,
        finished: &Finished,
        in_order: bool,
        lines: &[Line],
    ) -> anyhow::Result<Self> {
        let unwritable = || format!("{}: cannot be written", path.display());
        if finished.has_piece {
            let file = File::options().write(true).open(path);
            file.and_then(|file| file.set_len(finished.len)).with_context(unwritable)?;
        }
        let file = File::options().create(true).append(true).open(path).with_context(unwritable)?;
        let order = in_order.then(|| lines.iter().map(|line| line.request.tag).collect());
        let expect = |line: &Line| (line.request.tag, (line.id.clone(), line.key.clone()));
        let expected = lines.iter().map(expect).collect();
        Ok(Results { file, path: path.to_owned(), expected, order, waiting: BTreeMap::new() })
    }

    /// Takes what came of a line.
    pub(super) fn take(&mut self, completion: &Completion) -> anyhow::Result<()> {
        let line = completion.tag;
        let (id, key) = self.expected.remove(&line).expect("each line is completed once");
        self.waiting.insert(line, record(completion, &id, &key));
        while let Some(record) = self.next() {
            let written = self.file.write_all(record.as_bytes());
            written.with_context(|| format!("{}: cannot be written", self.path.display()))?;
        }
        Ok(())
    }

    /// What can be written now.
    fn next(&mut self) -> Option<String> {
        match &mut self.order {
            None => Some(self.waiting.pop_first()?.1),
            Some(order) => {
                let record = self.waiting.remove(order.front()?)?;
                order.pop_front();
                Some(record)
            }
        }
    }
}

/// A line of the file. It begins as [`is_begun`] knows it.
fn record(completion: &Completion, id: &Value, key: &str) -> String {
    let Completion { tag, n_prompt, ids, text, finish } = completion;
    let rest = json!({
        "id": id,
        "text": text,
        "finish_reason": finish_reason(finish),
        "prompt_tokens": n_prompt,
        "generated_tokens": ids.len(),
    });
    let [first, second] = MARKS.map(|mark| std::str::from_utf8(mark).expect("ASCII"));
    format!("{first}{tag}{second}{key}\",{}\n", &rest.to_string()[1..])
}

#[cfg(test)]
mod tests {
    use dewdrop::Finish;

    use super::*;

    #[test]
    fn a_record_is_known_by_each_of_its_beginnings() {
        let completion =
            Completion { tag: 12, n_prompt: 3, ids: vec![1], text: "a\"b".into(), finish: Finish::Limit };
        let record = record(&completion, &json!(7), "0123456789abcdef");
        let value: Value = serde_json::from_str(&record).expect("JSON");
        assert_eq!(
            (&value["line"], &value["key"], &value["id"]),
            (&json!(12), &json!("0123456789abcdef"), &json!(7))
        );
        for end in 0..record.len() {
            assert!(is_begun(&record.as_bytes()[..end]), "{}", &record[..end]);
        }
    }

    #[test]
    fn other_texts_are_not() {
        for text in
            ["{}", "a note", "\"The dog\"", "{\"prompt\": 1}", "{\"line\":1}", "{\"line\":1,\"key\":\"x"]
        {
            assert!(!is_begun(text.as_bytes()), "{text}");
        }
    }
}
