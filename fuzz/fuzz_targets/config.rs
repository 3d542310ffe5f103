#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = serde_json::from_slice(bytes) else { return };
    let tensors = std::collections::BTreeMap::new();
    if let Ok(model) = dewdrop_model::describe(dewdrop_model::Source::HuggingFace(&config), &tensors, None) {
        assert!(dewdrop_model::claim(&model, &dewdrop_model::compile(&model), &tensors).is_err());
    }
});
