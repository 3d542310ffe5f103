//! `dewdrop tokenize`: text to ids and back.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use dewdrop::{Checkpoint, EncodeOptions, Tokenizer};
use serde_json::{Value, json};

use crate::arguments::TextArguments;
use crate::outcome::{Outcome, WrongUsage};
use crate::output;

/// Show a text's tokens, or the text of tokens
///
/// The text is taken whole, its last newline included. Works with models, too, that
/// dewdrop cannot run.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct TokenizeArguments {
    #[command(flatten)]
    text: TextArguments,

    /// Show each token's text beside its id
    #[arg(long)]
    pieces: bool,

    /// Leave out the special tokens that the model wants around a text
    #[arg(long)]
    no_special: bool,

    /// Take special tokens spelled out in the text, such as `<|im_end|>`, as tokens
    #[arg(long)]
    parse_special: bool,

    /// The text is ids, separated by spaces, commas or newlines: print what they say
    #[arg(long, conflicts_with_all = ["pieces", "no_special", "parse_special"])]
    decode: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// GGUF file, or folder in the form of Hugging Face [default: the built-in model]
    #[arg(short, long, value_name = "PATH")]
    model: Option<PathBuf>,
}

/// Carries the command out.
pub(crate) fn run(arguments: &TokenizeArguments) -> anyhow::Result<Outcome> {
    let text = arguments.text.read()?;
    let text = text.ok_or_else(|| {
        WrongUsage("no text (give it as an argument, with `-f FILE`, or on standard input)".into())
    })?;
    let checkpoint = match &arguments.model {
        Some(path) => Checkpoint::open(path)?,
        None => dewdrop::built_in()?,
    };
    let tokenizer = &dewdrop::tokenizer(&checkpoint)?;
    if arguments.decode {
        decode(tokenizer, &parse_ids(&text)?, arguments.json)?;
    } else {
        let options =
            EncodeOptions { add_special: !arguments.no_special, parse_special: arguments.parse_special };
        let ids =
            tokenizer.encode(&text, options).with_context(|| checkpoint.path().display().to_string())?;
        arguments.print(tokenizer, &ids)?;
    }
    Ok(Outcome::Done)
}

impl TokenizeArguments {
    fn print(&self, tokenizer: &Tokenizer, ids: &[u32]) -> anyhow::Result<()> {
        if self.json {
            let pieces = || ids.iter().map(|&id| piece(tokenizer, id)).collect::<Vec<_>>();
            let pieces = if self.pieces { json!(pieces()) } else { Value::Null };
            output::write_json(&json!({ "tokens": ids.len(), "ids": ids, "pieces": pieces }))?;
            return Ok(());
        }
        let mut out = io::BufWriter::new(io::stdout().lock());
        for &id in ids {
            if self.pieces {
                writeln!(out, "{id:>8}  {:?}", piece(tokenizer, id))?;
            } else {
                writeln!(out, "{id}")?;
            }
        }
        Ok(out.flush()?)
    }
}

/// A token's own text; where it holds part of a character, that part is `\u{fffd}`.
fn piece(tokenizer: &Tokenizer, id: u32) -> String {
    tokenizer.decode(&[id], false)
}

fn decode(tokenizer: &Tokenizer, ids: &[u32], as_json: bool) -> anyhow::Result<()> {
    let text = tokenizer.decode(ids, false);
    if as_json {
        output::write_json(&json!({ "tokens": ids.len(), "ids": ids, "text": text }))?;
    } else {
        writeln!(io::stdout().lock(), "{text}")?;
    }
    Ok(())
}

fn parse_ids(text: &str) -> anyhow::Result<Vec<u32>> {
    let words = text.split(|c: char| c.is_whitespace() || "[],".contains(c)).filter(|word| !word.is_empty());
    let parse =
        |word: &str| word.parse().map_err(|_| anyhow!("`{}` is not a token's id", output::visible(word)));
    words.map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_stand_in_lines_lists_and_json() {
        for text in ["1 2\n30\n", "1,2,30", "[1, 2, 30]"] {
            assert_eq!(parse_ids(text).unwrap(), [1, 2, 30]);
        }
        assert_eq!(
            format!("{:#}", parse_ids("1 x").unwrap_err()).split(':').next(),
            Some("`x` is not a token's id")
        );
    }
}
