//! `dewdrop man`: manual pages, made from the same definitions as `--help`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::outcome::{Outcome, WrongUsage};

/// Print a manual page
#[derive(Args, Debug)]
#[command(after_help = "To read one: dewdrop man run | man -l -")]
pub(crate) struct ManArguments {
    /// The command the page is about [default: dewdrop itself]
    command: Option<String>,

    /// Write the pages of dewdrop and of every command into this folder
    #[arg(short, long, value_name = "DIR", conflicts_with = "command")]
    output: Option<PathBuf>,
}

/// Carries the command out.
pub(crate) fn run(arguments: &ManArguments) -> anyhow::Result<Outcome> {
    match (&arguments.output, &arguments.command) {
        (Some(folder), _) => write_all(folder)?,
        (None, name) => print(name.as_deref())?,
    }
    Ok(Outcome::Done)
}

fn write_all(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    clap_mangen::generate_to(Arguments::command(), folder)
        .with_context(|| format!("{}: pages cannot be written", folder.display()))
}

fn print(name: Option<&str>) -> anyhow::Result<()> {
    let mut root = Arguments::command();
    // Gives the commands their full names.
    root.build();
    let page = match name {
        None => &root,
        Some(name) => {
            let command = root.find_subcommand(name);
            command.ok_or_else(|| {
                WrongUsage(format!("there is no command `{name}` (`dewdrop --help` lists them)"))
            })?
        }
    };
    let mut text = Vec::new();
    Man::new(page.clone()).source(root.render_version().trim()).render(&mut text)?;
    Ok(io::stdout().lock().write_all(&text)?)
}
