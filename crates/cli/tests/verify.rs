//! `dewdrop verify`, and what checksums do to commands that run a model.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use dewdrop_store::Checkpoint;
use support::{json, run, run_with, shown_in, stderr, stdout};
use tempfile::TempDir;

/// A copy of the repository's model with checksums beside it.
fn model() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/dew-10m.gguf");
    fs::copy(model, &path).expect("a copy");
    let written = stdout(&run(&["verify", "--write", text(&path)]));
    assert_eq!(written.trim_end(), format!("{}.checksums.json", path.display()));
    (folder, path)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Turns over one bit in the middle of a tensor; yields where.
fn damage(path: &Path, tensor: &str) -> u64 {
    let info = &Checkpoint::open(path).expect("it opens").tensors[tensor];
    let mut bytes = fs::read(path).expect("it can be read");
    let at = info.offset + info.len / 2;
    bytes[at as usize] ^= 0x10;
    fs::write(path, bytes).expect("it can be written");
    at
}

#[test]
fn an_intact_file_is_told_so_and_a_damaged_one_with_every_place() {
    let (_folder, path) = model();
    assert!(stdout(&run(&["verify", text(&path)])).ends_with(" as they were\n"));
    let tensors = ["blk.3.ffn_up.weight", "output_norm.weight"];
    let places = tensors.map(|tensor| damage(&path, tensor));
    let output = run(&["verify", "--json", "-m", text(&path)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("model.gguf: 2 places are damaged"), "{}", stderr(&output));
    let records: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (i, (tensor, place)) in tensors.into_iter().zip(places).enumerate() {
        let damage = &records[0]["damages"][i];
        assert_eq!(damage["tensor"], tensor);
        let offset = damage["offset"].as_u64().expect("a number");
        let end = offset + damage["bytes"].as_u64().expect("a number");
        assert!((offset..end).contains(&place), "{place}: {damage}");
    }
}

#[test]
fn a_damaged_model_does_not_run_however_its_weights_live() {
    let (folder, path) = model();
    let whole = json(&run(&["run", "--json", "-n", "5", "-s", "1", "-m", text(&path), "hi"]));
    assert_eq!(whole["generated_tokens"], 5, "checksums that agree are in nobody's way");
    damage(&path, "blk.5.attn_q.weight");
    for memory in [&[][..], &["--memory", "64M"], &["--memory", "24M", "-c", "256"]] {
        let output = run(&[&["run", "-n", "5", "-m", text(&path), "hi"], memory].concat());
        assert_eq!(output.status.code(), Some(1), "{memory:?}");
        let message = shown_in(folder.path(), &output);
        assert!(message.contains("error: DIR/model.gguf: tensor `blk.5.attn_q.weight`: "), "{message}");
        assert!(message.contains("are not what DIR/model.gguf.checksums.json says"), "{message}");
        assert!(!message.contains("stdout"), "no token: {message}");
    }
    assert!(run(&["tokenize", "-m", text(&path), "hi"]).status.success(), "no weight is read for this");
}

#[test]
fn checksums_are_not_replaced_by_accident_and_those_of_other_files_refused() {
    let (folder, path) = model();
    let again = run(&["verify", "--write", text(&path)]);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("checksums.json is there already (--force replaces it)"));
    let mut bytes = fs::read(&path).expect("it can be read");
    bytes.extend([0; 32]);
    fs::write(&path, bytes).expect("it can be written");
    for line in [&["verify", text(&path)][..], &["run", "-m", text(&path), "hi"]] {
        let message = shown_in(folder.path(), &run(line));
        assert!(message.contains("not the checksums of DIR/model.gguf: a file of "), "{message}");
    }
    stdout(&run(&["verify", "--write", "--force", text(&path)]));
    assert!(run(&["verify", text(&path)]).status.success());
}

#[test]
fn a_sidecar_that_is_none_is_named() {
    let (folder, path) = model();
    let sidecar = folder.path().join("model.gguf.checksums.json");
    let good = fs::read_to_string(&sidecar).expect("it is there");
    let broken = [
        good[..good.len() / 2].to_owned(),
        good.replace("dewdrop checksums 1", "dewdrop checksums 9"),
        good.replacen("\"sums\": \"", "\"sums\": \"x", 1),
        "[]".into(),
    ];
    for text_of in broken {
        fs::write(&sidecar, text_of).expect("it can be written");
        let output = run_with(&["run", "-m", text(&path)], "hi");
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).starts_with(&format!("error: {}: ", sidecar.display())),
            "{}",
            stderr(&output)
        );
    }
    fs::remove_file(&sidecar).expect("it is there");
    let message = stderr(&run(&["verify", text(&path)]));
    assert!(message.contains("no checksums beside it (`dewdrop verify --write` makes them)"), "{message}");
}
