//! What the documents name exists.

use std::path::Path;

/// Every path under `crates/` between backticks in `text`.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with("crates/"))
}

#[test]
fn documents_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for document in
        ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/arithmetic.md", "docs/performance.md"]
    {
        let text = std::fs::read_to_string(root.join(document)).expect("the document lies in the repository");
        for path in paths(&text) {
            assert!(root.join(path).exists(), "{document} names `{path}`, which does not exist");
        }
    }
}
