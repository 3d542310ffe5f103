//! What a line of a chat asks for.

use std::path::PathBuf;

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// An answer.
    Say(String),
    /// Nothing.
    Nothing,
    Help,
    Reset,
    Undo,
    /// Another system message; empty: none.
    System(String),
    Save(PathBuf),
    Load(PathBuf),
    Stats,
    Quit,
}

/// A command of the chat.
struct Command {
    name: &'static str,
    /// What stands behind the name; empty: nothing may.
    argument: &'static str,
    help: &'static str,
    request: fn(String) -> Request,
}

/// Every command.
const COMMANDS: &[Command] = &[
    Command { name: "help", argument: "", help: "this list", request: |_| Request::Help },
    Command {
        name: "reset",
        argument: "",
        help: "start anew; the system message stays",
        request: |_| Request::Reset,
    },
    Command {
        name: "undo",
        argument: "",
        help: "forget the last question and its answer",
        request: |_| Request::Undo,
    },
    Command {
        name: "system",
        argument: "[TEXT]",
        help: "replace the system message",
        request: Request::System,
    },
    Command {
        name: "save",
        argument: "FILE",
        help: "write the conversation to a file",
        request: |x| Request::Save(x.into()),
    },
    Command {
        name: "load",
        argument: "FILE",
        help: "go on with a saved conversation",
        request: |x| Request::Load(x.into()),
    },
    Command {
        name: "stats",
        argument: "",
        help: "speed and memory of the last answer",
        request: |_| Request::Stats,
    },
    Command { name: "quit", argument: "", help: "leave, as Ctrl-D does", request: |_| Request::Quit },
];

/// What a line asks for, or why it makes no sense. Lines that begin with a slash are commands.
pub(super) fn parse(line: &str) -> Result<Request, String> {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return Ok(if line.is_empty() { Request::Nothing } else { Request::Say(line.into()) });
    };
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let known = COMMANDS.iter().find(|command| command.name == name);
    let known = known.ok_or_else(|| format!("there is no command `/{name}` (/help lists them)"))?;
    match (known.argument, rest) {
        ("FILE", "") => Err(format!("/{name}: which file?")),
        ("", rest) if !rest.is_empty() => Err(format!("/{name} takes nothing behind it, found `{rest}`")),
        _ => Ok((known.request)(rest.into())),
    }
}

/// All commands in lines for people.
pub(super) fn help() -> String {
    let line = |c: &Command| format!("{:<16} {}\n", format!("/{} {}", c.name, c.argument).trim_end(), c.help);
    let mut text: String = COMMANDS.iter().map(line).collect();
    text += "A backslash at the end of a line goes on in the next one. Ctrl-C stops an answer.";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_questions_unless_they_begin_with_a_slash() {
        assert_eq!(parse(" hello\nthere "), Ok(Request::Say("hello\nthere".into())));
        assert_eq!(parse("  "), Ok(Request::Nothing));
        assert_eq!(parse("/undo"), Ok(Request::Undo));
        assert_eq!(parse("/system be brief"), Ok(Request::System("be brief".into())));
        assert_eq!(parse("/save my chat.json"), Ok(Request::Save("my chat.json".into())));
    }

    #[test]
    fn commands_that_make_no_sense_say_why() {
        assert_eq!(parse("/save").unwrap_err(), "/save: which file?");
        assert_eq!(parse("/undo twice").unwrap_err(), "/undo takes nothing behind it, found `twice`");
        assert_eq!(parse("/x").unwrap_err(), "there is no command `/x` (/help lists them)");
    }

    #[test]
    fn help_names_every_command() {
        let text = help();
        assert!(COMMANDS.iter().all(|command| text.contains(&format!("/{}", command.name))));
    }
}
