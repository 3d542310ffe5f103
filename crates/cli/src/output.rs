//! Where text goes and how it looks. Colours appear on a terminal only, and not where `NO_COLOR` is set.

use std::io::{self, IsTerminal, Write};

use clap::builder::styling::{AnsiColor, Effects, Style};

/// How kinds of text look on one stream; all plain where it takes no colours.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Styles {
    /// The word `error`.
    pub(crate) error: Style,
    /// Titles of sections.
    pub(crate) heading: Style,
    /// What the user typed, repeated.
    pub(crate) prompt: Style,
    /// What can be skipped when reading.
    pub(crate) faint: Style,
}

/// The styles that suit a stream.
pub(crate) fn styles_for(stream: &impl IsTerminal) -> Styles {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    if !stream.is_terminal() || is_refused {
        return Styles::default();
    }
    Styles {
        error: AnsiColor::Red.on_default().bold(),
        heading: Style::new().bold(),
        prompt: AnsiColor::Green.on_default(),
        faint: Style::new().effects(Effects::DIMMED),
    }
}

/// Writes a note for people to stderr. A closed stderr is no reason to stop.
pub(crate) fn note(text: &str) {
    let faint = styles_for(&io::stderr()).faint;
    let _ = writeln!(io::stderr(), "{faint}{text}{faint:#}");
}

/// Writes a value as one indented JSON document to stdout.
pub(crate) fn write_json(value: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value:#}")
}

/// A text with its control characters made visible, so that what a file holds cannot steer the terminal.
pub(crate) fn visible(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_debug().collect() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_spelled_out() {
        assert_eq!(visible("a\n\u{1b}[31mé"), "a\\n\\u{1b}[31mé");
    }
}
