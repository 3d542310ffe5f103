//! Where a chat's lines come from: an editor on a terminal, or standard input as it is.

use std::env;
use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

/// Lines of earlier chats that are kept.
const MAX_HISTORY: usize = 1000;

/// A source of lines.
pub(super) enum Lines {
    /// A person at a terminal.
    Terminal { editor: Box<DefaultEditor>, history: Option<PathBuf> },
    /// A pipe or a file.
    Pipe,
}

impl Lines {
    /// By whether a person sits in front of it.
    pub(super) fn open() -> anyhow::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(Self::Pipe);
        }
        let config = Config::builder().max_history_size(MAX_HISTORY)?.build();
        let mut editor = DefaultEditor::with_config(config).context("the terminal cannot be used")?;
        let history = history_file();
        if let Some(path) = &history {
            // There is none before the first chat; and a chat without is still a chat.
            let _ = editor.load_history(path);
        }
        Ok(Self::Terminal { editor: Box::new(editor), history })
    }

    /// Whether a person types the lines.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }

    /// The next line; lines that end in a backslash are joined with the one that follows. None at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<String>> {
        let mut text = String::new();
        loop {
            let prompt = if text.is_empty() { "> " } else { ". " };
            let Some(line) = self.single(prompt)? else {
                return Ok(Some(text).filter(|text| !text.is_empty()));
            };
            match line.strip_suffix('\\') {
                Some(start) => {
                    text += start;
                    text.push('\n');
                }
                None => {
                    text += &line;
                    break;
                }
            }
        }
        self.remember(&text)?;
        Ok(Some(text))
    }

    fn single(&mut self, prompt: &str) -> anyhow::Result<Option<String>> {
        match self {
            Self::Pipe => read_line(&mut io::stdin().lock()),
            Self::Terminal { editor, .. } => match editor.readline(prompt) {
                Ok(line) => Ok(Some(line)),
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
                Err(error) => Err(error).context("the terminal cannot be read"),
            },
        }
    }

    fn remember(&mut self, text: &str) -> anyhow::Result<()> {
        if let Self::Terminal { editor, history } = self
            && !text.trim().is_empty()
        {
            editor.add_history_entry(text)?;
            if let Some(path) = history {
                let _ = append_history(editor, path);
            }
        }
        Ok(())
    }
}

fn append_history(editor: &mut DefaultEditor, path: &Path) -> rustyline::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    editor.append_history(path)
}

/// In the folder where this user's programs keep their state; none where there is no such folder.
fn history_file() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = if cfg!(windows) {
        folder("LOCALAPPDATA")?
    } else {
        folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local").join("state")))?
    };
    Some(state.join("dewdrop").join("history"))
}

fn read_line(input: &mut impl BufRead) -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    let n_bytes = input.read_line(&mut line).context("standard input: cannot be read")?;
    Ok((n_bytes > 0).then(|| line.trim_end_matches(['\n', '\r']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends() {
        let mut input = "a\r\n\nb".as_bytes();
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["a", "", "b"]);
    }
}
