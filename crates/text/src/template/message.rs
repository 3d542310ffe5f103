//! Messages of a conversation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Names under which reasoning is passed; templates read the first.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// One message. From and to JSON as chat interfaces write it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or what the template knows.
    pub role: String,
    /// What was said.
    #[serde(default)]
    pub content: Content,
    /// Everything else: `tool_calls`, `name`, `reasoning_content`.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// What a message says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Parts such as `{"type": "text", "text": "..."}`.
    Parts(Vec<Value>),
    /// Nothing, as beside tool calls.
    #[default]
    Nothing,
}

impl Message {
    /// A message of plain text.
    pub fn new(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self { role: role.into(), content: Content::Text(text.into()), fields: Map::new() }
    }

    /// As templates see it: reasoning under every name they read.
    pub(super) fn to_value(&self) -> Value {
        let content = match &self.content {
            Content::Text(text) => Value::from(text.as_str()),
            Content::Parts(parts) => Value::from(parts.as_slice()),
            Content::Nothing => Value::Null,
        };
        let mut fields = Map::new();
        fields.insert("role".into(), self.role.as_str().into());
        fields.insert("content".into(), content);
        fields.extend(self.fields.clone());
        let reasoning =
            REASONING.iter().find_map(|name| self.fields.get(*name).filter(|value| !value.is_null()));
        if let Some(reasoning) = reasoning {
            fields.entry("thinking").or_insert_with(|| reasoning.clone());
            fields.insert(REASONING[0].into(), reasoning.clone());
        }
        Value::Object(fields)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}
