//! Chat templates against what Python's Jinja made of them (`data/templates/record.py`).

use std::fs;
use std::path::{Path, PathBuf};

use dewdrop_text::{ChatTemplate, Message, TemplateOptions, TextError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The time `record.py` pretends it is.
const NOW: i64 = 1_720_000_000;

#[derive(Deserialize)]
struct Case {
    template: String,
    talk: String,
    messages: Vec<Message>,
    tools: Option<Vec<Value>>,
    add_generation_prompt: bool,
    variables: Map<String, Value>,
    text: Option<String>,
    refused: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/templates")
}

fn template(name: &str) -> ChatTemplate {
    let source = fs::read_to_string(folder().join(format!("{name}.jinja"))).unwrap();
    ChatTemplate::new(&source).unwrap()
}

fn options(case: &Case) -> TemplateOptions {
    let mut variables = case.variables.clone();
    variables.insert("bos_token".into(), "<bos>".into());
    variables.insert("eos_token".into(), "<eos>".into());
    TemplateOptions { add_generation_prompt: case.add_generation_prompt, now: Some(NOW), variables }
}

#[test]
fn templates_render_as_in_python() {
    let cases: Vec<Case> =
        serde_json::from_slice(&fs::read(folder().join("recorded.json")).unwrap()).unwrap();
    for case in &cases {
        let name = format!("{} on `{}`", case.template, case.talk);
        let tools = case.tools.as_deref().unwrap_or_default();
        let rendered = template(&case.template).render(&case.messages, tools, &options(case));
        match (&case.text, &case.refused, rendered) {
            (Some(want), _, Ok(got)) => assert_eq!(&got, want, "{name}"),
            (_, Some(want), Err(TextError::TemplateRefused { message })) => {
                assert_eq!(&message, want, "{name}");
            }
            (None, None, Err(TextError::TemplateRender { .. })) => {}
            (_, _, other) => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn syntax_errors_name_the_line() {
    let error = ChatTemplate::new("fine\n{% if %}\n{% endif %}").unwrap_err();
    assert!(matches!(error, TextError::TemplateSyntax { line: 2, .. }), "{error}");
}

#[test]
fn endless_and_overflowing_templates_end_in_errors() {
    let hostile = [
        "{% for a in range(90000) %}{% for b in range(90000) %}x{% endfor %}{% endfor %}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ 'x' * 99999999999999 }}",
        "{{ [1] * 99999999999999 }}",
        "{{ 'a\nb' | indent(99999999999999) }}",
        "{{ 'a' | tojson(indent=99999999999999) }}",
        "{{ '%99999999999999d' | format(1) }}",
        "{{ '%.99999999999999f' | format(1) }}",
        "{{ '%*d' | format(99999999999999, 1) }}",
        "{{ '{:99999999999999}'.format(1) }}",
        "{{ '{:{}}'.format(1, 99999999999999) }}",
        "{{ 1 // 0 }}",
        "{{ messages[0].content.content.content }}",
        "{{ no_such_function() }}",
        "{{ 'x' | no_such_filter }}",
        "{{ range(99999999999) | list }}",
        "{% include 'other' %}",
        "{% for x in 5 %}{% endfor %}",
        "{% set x = ('y' * 100000) * 100000 %}{{ x }}",
    ];
    for source in hostile {
        let error = ChatTemplate::new(source)
            .and_then(|template| {
                template.render(&[Message::new("user", "hi")], &[], &TemplateOptions::default())
            })
            .expect_err(source);
        let expected = matches!(error, TextError::TemplateRender { .. } | TextError::TemplateSyntax { .. });
        assert!(expected, "{source}: {error:?}");
    }
}

#[test]
fn messages_come_from_json_as_chat_interfaces_write_it() {
    let json = json!({"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]});
    let message: Message = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&message).unwrap(), json);
    let parts = json!({"role": "user", "content": [{"type": "text", "text": "hi"}]});
    let message: Message = serde_json::from_value(parts.clone()).unwrap();
    assert_eq!(serde_json::to_value(&message).unwrap(), parts);
    let plain: Message = serde_json::from_value(json!({"role": "user", "content": "hi"})).unwrap();
    assert_eq!(plain, Message::new("user", "hi"));
}
