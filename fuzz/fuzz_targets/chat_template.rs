#![no_main]
use dewdrop_text::{ChatTemplate, Message, TemplateOptions};
libfuzzer_sys::fuzz_target!(|source: &str| {
    if let Ok(template) = ChatTemplate::new(source) {
        let _ = template.render(&[Message::new("user", "hi")], &[], &TemplateOptions::default());
    }
});
