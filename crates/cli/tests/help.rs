//! What the binary says about itself.

mod support;

use support::{run, shown, stdout};

const COMMANDS: [&str; 12] = [
    "run",
    "chat",
    "batch",
    "inspect",
    "tokenize",
    "convert",
    "eval",
    "bench",
    "plan",
    "verify",
    "completions",
    "man",
];

#[test]
fn the_list_of_commands() {
    insta::assert_snapshot!(shown(&run(&["--help"])));
}

#[test]
fn every_command_explains_itself() {
    for command in COMMANDS {
        insta::assert_snapshot!(format!("help_{command}"), shown(&run(&[command, "--help"])));
    }
}

#[test]
fn the_list_of_commands_is_complete() {
    let help = stdout(&run(&["-h"]));
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let listed: Vec<_> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(listed, COMMANDS);
}

#[test]
fn no_command_is_wrong_usage() {
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&run(&["completions", shell]));
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("man");
    stdout(&run(&["man", "-o", path.to_str().expect("UTF-8")]));
    for command in COMMANDS {
        let page = stdout(&run(&["man", command]));
        assert!(page.contains(&format!("dewdrop {command}")), "{page}");
        assert!(path.join(format!("dewdrop-{command}.1")).exists(), "{command}");
    }
    assert!(stdout(&run(&["man"])).contains(".TH dewdrop"));
    assert_eq!(run(&["man", "nothing"]).status.code(), Some(2));
}
