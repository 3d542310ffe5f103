//! `dewdrop convert` with a tiny model of plain numbers.

mod support;

use support::alphabet::{self, Template};
use support::{run, shown, shown_in, stdout};

#[test]
fn a_converted_model_says_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = alphabet::write(folder.path(), Template::Chat);
    let output = folder.path().join("small.gguf");
    let [source, output] = [&source, &output].map(|path| path.to_str().expect("UTF-8"));

    let converted = run(&["convert", source, "-o", output, "--type", "q8_0", "--pure", "-t", "1"]);
    insta::assert_snapshot!(shown_in(folder.path(), &converted));
    assert_eq!(stdout(&run(&["run", "-m", output, "v"])), "wxyz\n");

    let again = run(&["convert", source, "-o", output, "--type", "F16"]);
    assert_eq!(again.status.code(), Some(2), "{}", shown(&again));
    assert!(run(&["convert", source, "-o", output, "--type", "F16", "--force"]).status.success());
    assert!(stdout(&run(&["inspect", output])).contains("F16"));
}

#[test]
fn types_that_do_not_fit_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = alphabet::write(folder.path(), Template::None);
    let output = folder.path().join("small.gguf");
    let [source, output] = [&source, &output].map(|path| path.to_str().expect("UTF-8"));
    let converted = run(&["convert", source, "-o", output, "--type", "Q4_K"]);
    insta::assert_snapshot!(shown_in(folder.path(), &converted));
}

#[test]
fn quantized_weights_are_not_quantized_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = alphabet::write(folder.path(), Template::None);
    let [small, smaller] = ["small.gguf", "smaller.gguf"].map(|name| folder.path().join(name));
    let [source, small, smaller] = [&source, &small, &smaller].map(|path| path.to_str().expect("UTF-8"));
    assert!(run(&["convert", source, "-o", small, "--type", "Q8_0"]).status.success());
    let refused = run(&["convert", small, "-o", smaller, "--type", "Q4_0"]);
    insta::assert_snapshot!(shown_in(folder.path(), &refused));
}

/// As on a full disk: the system takes no more than the first kilobyte or half of it.
#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_written_whole_is_not_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = alphabet::write(folder.path(), Template::None);
    let output = folder.path().join("out").join("small.gguf");
    std::fs::create_dir(folder.path().join("out")).expect("a folder");
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let converted = std::process::Command::new("sh")
        .args(["-c", limited, "sh", env!("CARGO_BIN_EXE_dewdrop"), "convert", "--type", "F32"])
        .arg(&source)
        .arg("-o")
        .arg(&output)
        .output()
        .expect("sh runs");
    let shown = shown_in(folder.path(), &converted);
    assert!(shown.starts_with("exit 1\n--- stderr\nerror: DIR/out/small.gguf: write of "), "{shown}");
    let left = std::fs::read_dir(folder.path().join("out")).expect("a folder").count();
    assert_eq!(left, 0, "{shown}");
}
