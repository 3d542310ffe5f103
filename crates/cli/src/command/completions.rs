//! `dewdrop completions`: scripts that let a shell complete our arguments.

use std::io::{self, Write};

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::aot;

use crate::arguments::Arguments;
use crate::outcome::Outcome;

/// Print the script that completes dewdrop's arguments in a shell
#[derive(Args, Debug)]
#[command(after_help = "Bash: dewdrop completions bash > ~/.local/share/bash-completion/completions/dewdrop
Zsh:  dewdrop completions zsh > DIR/_dewdrop, where DIR is in your $fpath
Fish: dewdrop completions fish > ~/.config/fish/completions/dewdrop.fish")]
pub(crate) struct CompletionsArguments {
    /// Whose script
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Carries the command out.
pub(crate) fn run(arguments: &CompletionsArguments) -> anyhow::Result<Outcome> {
    let shell = match arguments.shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    // Into memory first: the generator panics where a write fails, as it does on a closed pipe.
    let mut script = Vec::new();
    aot::generate(shell, &mut Arguments::command(), "dewdrop", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Outcome::Done)
}
