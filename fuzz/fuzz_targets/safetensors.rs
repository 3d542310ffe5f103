#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = "fuzz.safetensors".as_ref();
    if let Ok(header) = dewdrop_format::safetensors::parse_header(path, bytes, bytes.len() as u64, 0) {
        assert!(header.tensors.iter().all(|tensor| tensor.offset + tensor.len <= bytes.len() as u64));
    }
    let _ = dewdrop_format::safetensors::parse_index(path, bytes);
});
