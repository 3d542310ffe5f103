#![no_main]
use dewdrop_text::{EncodeOptions, HuggingFaceFiles, Tokenizer};
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let files = HuggingFaceFiles { tokenizer: bytes, tokenizer_config: Some(bytes), ..HuggingFaceFiles::default() };
    if let Ok(tokenizer) = Tokenizer::from_hugging_face(&files) {
        let _ = tokenizer.encode("It's 2 small té\u{301}sts.\n", EncodeOptions { add_special: true, parse_special: true });
        let _ = tokenizer.to_vocabulary(64);
    }
});
