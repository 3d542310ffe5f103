//! A text from the command line, a file or standard input.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

/// A text and where it comes from.
#[derive(Args, Debug)]
pub(crate) struct TextArguments {
    /// The text [default: standard input]
    #[arg(value_name = "TEXT", conflicts_with_all = ["prompt", "file"])]
    text: Option<String>,

    /// The text, as llama.cpp names it
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file")]
    prompt: Option<String>,

    /// File that holds the text; `-`: standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl TextArguments {
    /// The text, read where it has to be. None if nothing names one and standard input is a terminal.
    pub(crate) fn read(&self) -> anyhow::Result<Option<String>> {
        if let Some(text) = self.text.as_ref().or(self.prompt.as_ref()) {
            return Ok(Some(text.clone()));
        }
        match &self.file {
            Some(path) => read_text(path).map(Some),
            None if io::stdin().is_terminal() => Ok(None),
            None => read_text(Path::new("-")).map(Some),
        }
    }

    /// Whether the text was typed as an argument, so that its end is where the user put it.
    pub(crate) fn is_typed(&self) -> bool {
        self.text.is_some() || self.prompt.is_some()
    }
}

/// A text file's content without the newline that editors end it with.
pub(crate) fn without_last_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// The text in a file; `-`: on standard input.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("standard input: cannot be read")?;
        return utf8(bytes).context("standard input");
    }
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    utf8(bytes).with_context(|| path.display().to_string())
}

fn utf8(bytes: Vec<u8>) -> anyhow::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        anyhow::anyhow!("byte {} is not UTF-8 (convert the text first)", error.utf8_error().valid_up_to())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_taken_off() {
        let shorter: Vec<_> =
            ["a\n", "a\n\n", "a\r\n", "a"].map(|text| without_last_newline(text.into())).into();
        assert_eq!(shorter, ["a", "a\n", "a", "a"]);
    }
}
