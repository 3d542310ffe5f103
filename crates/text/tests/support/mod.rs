//! What several tests need: the nasty corpus, and models that may not be there.

#![allow(dead_code, reason = "not every test needs every helper")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders of the reference, one per family; empty with a printed reason when there is none.
pub(crate) fn reference_families() -> Vec<PathBuf> {
    let root = env::var_os("DEWDROP_REFERENCE")
        .map_or_else(|| repository().join("../shared/reference/seed1"), PathBuf::from);
    families(&root, "expected.json")
}

/// The project's own trained models.
pub(crate) fn dew_models() -> Vec<PathBuf> {
    families(&repository().join("../shared/models"), "tokenizer.json")
}

/// A model file in the folder `DEWDROP_PEER_MODELS`.
pub(crate) fn peer_model(name: &str) -> Option<PathBuf> {
    let found = env::var_os("DEWDROP_PEER_MODELS").map(|folder| Path::new(&folder).join(name));
    let found = found.filter(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no {name} in the folder DEWDROP_PEER_MODELS");
    }
    found
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn families(root: &Path, file: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.join(file).exists()).collect();
    found.sort();
    if found.is_empty() {
        eprintln!("skipped: nothing in {}", root.display());
    }
    found
}

/// Texts that tokenizers get wrong.
pub(crate) fn nasty_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t\t x",
        "The capital of France is",
        " leading and trailing ",
        "   three leading",
        "Hello, world! It's 2024; isn't it? I'LL say WE'VE they'd 'Tis 'twas.",
        "line one\nline two\r\nline three\r\rfour\n\n\n  five   \n \n",
        "for i in range(3):\n    pass\n\tif x:\n\t\treturn  # done",
        "1234567890 3.14159 1,000,000 ½ ² Ⅷ ١٢٣ १२३ 12ab34",
        "naïve café résumé Ångström ﬁne Ｆｕｌｌｗｉｄｔｈ",
        "e\u{301} a\u{308}\u{323} o\u{302}\u{300} \u{1100}\u{1161}\u{11a8} \u{212b} \u{2126}",
        "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇫🇷 ❤️ ☺ 🧑🏿‍🚀",
        "露水 朝の露 이슬 สวัสดีครับ नमस्ते दुनिया தமிழ்",
        "שלום עולם مرحبا بالعالم \u{202e}reversed\u{202c} \u{200f}x\u{200e}",
        "\0 nul \u{1} \u{7f} \u{85} \u{a0}nbsp\u{2003}em\u{3000}ideographic\u{feff}bom\u{200b}zero",
        "\u{fffd} \u{ffff} \u{10ffff} \u{e000} \u{d7ff}",
        "<|im_start|>user\nhello<|im_end|>\n<|endoftext|>",
        "<|im_start|<|im_end|> <|im_end|>x<|im_end|> <| im_end|> <think></think><tool_call>",
        "<bos><eos><unk><pad><start_of_turn>model\n<end_of_turn><unused5>[PAD7]<0x0A></s><s><table>",
        "'s 'S 'ſ 're 'LL 'd'm''''s \"quoted\" `code` ~~~ ### $$$ %%% ^^^ &&& ***",
        "https://example.org/a_b-c?d=e&f=%20#g user@host.tld C:\\path\\to",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbb ababababab",
        "don't.stop...now…-–—―‐ x\u{ad}y",
        "\u{0300}\u{0301}starts with marks क्‍ष \u{0e33} \u{0f71}\u{0f72}",
        "İstanbul ıI ßẞ ǅ ŉ Σίσυφος ὀδυσσεύς",
        "𝓗𝓮𝓵𝓵𝓸 𝟘𝟙 𐍈 𠜎 🀄",
    ]
    .map(str::to_owned)
    .to_vec();
    for length in [3, 4, 5, 7, 15, 16, 17, 31, 32, 33, 40, 63, 64, 100] {
        texts.push(format!("a{}b", " ".repeat(length)));
        texts.push(format!("a{}b", "\n".repeat(length)));
        texts.push(format!("{}end", "\t".repeat(length)));
        texts.push(" ".repeat(length));
    }
    texts.push("word ".repeat(500));
    texts.push("-=".repeat(300));
    texts
}
