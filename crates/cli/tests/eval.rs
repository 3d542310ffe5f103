//! `dewdrop eval` with a model whose probabilities are known.

mod support;

use support::alphabet::{self, Template};
use support::{json, run, shown};

/// What follows as the alphabet says has a logit of 8, less what the norm's epsilon takes; the other 258 tokens have 0.
fn perplexity(n_expected: f64, n_other: f64) -> f64 {
    let logit = (1.0 / 64.0 + 1e-6_f64).sqrt().recip();
    let sum = (logit.exp() + 258.0).ln();
    ((n_expected * (sum - logit) + n_other * sum) / (n_expected + n_other)).exp()
}

fn eval(text: &str, rest: &[&str]) -> std::process::Output {
    let folder = tempfile::tempdir().expect("a folder");
    let model = alphabet::write(folder.path(), Template::None);
    let file = folder.path().join("text.txt");
    std::fs::write(&file, text).expect("a file");
    let paths = [&model, &file].map(|path| path.to_str().expect("UTF-8"));
    run(&[&["eval", "-m", paths[0], "-f", paths[1]], rest].concat())
}

#[test]
fn plain_windows_score_all_but_their_first_token() {
    // Windows of 4: `abcd`, `efgh` and `zzzz`; what is left over is not used.
    let value = json(&eval("abcdefghzzzzab", &["--window", "4", "--json", "--exact-math"]));
    assert_eq!((&value["windows"], &value["scored_tokens"]), (&3.into(), &9.into()));
    let found = value["perplexity"].as_f64().expect("a number");
    assert!((found - perplexity(6.0, 3.0)).abs() < 1e-4, "{found}");
}

#[test]
fn llama_cpps_windows_score_their_second_half() {
    // Windows of 6, of which tokens 4 and 5 are scored.
    let value = json(&eval(
        "zzzabczzzzzz\n",
        &["--window", "6", "--json", "--exact-math", "--definition", "llama.cpp"],
    ));
    assert_eq!((&value["windows"], &value["scored_tokens"]), (&2.into(), &4.into()));
    let found = value["perplexity"].as_f64().expect("a number");
    assert!((found - perplexity(2.0, 2.0)).abs() < 1e-4, "{found}");
}

#[test]
fn the_record_holds_everything() {
    let mut value = json(&eval("abcdefgh", &["--window", "4", "--json", "--windows", "1"]));
    value["model"] = "MODEL".into();
    insta::assert_snapshot!(format!("{value:#}"));
}

#[test]
fn people_get_a_line() {
    let output = eval("abcdefgh", &["--window", "4"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    insta::assert_snapshot!(text);
}

#[test]
fn too_short_a_text_is_an_error() {
    insta::assert_snapshot!(shown(&eval("abc", &[])));
    insta::assert_snapshot!(shown(&eval("abcdef", &["--window", "4", "--definition", "llama.cpp"])));
}
