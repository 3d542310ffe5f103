#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(gguf) = dewdrop_format::gguf::parse("fuzz.gguf".as_ref(), bytes, bytes.len() as u64, 0) {
        assert!(gguf.tensors.iter().all(|tensor| tensor.offset + tensor.len <= bytes.len() as u64));
    }
});
