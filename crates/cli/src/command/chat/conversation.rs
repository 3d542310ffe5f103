//! What has been said so far, and how it is kept in files.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

const SYSTEM: &str = "system";
const USER: &str = "user";
const ASSISTANT: &str = "assistant";

/// One message: who speaks, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) role: String,
    pub(super) content: String,
}

/// Messages in order; a system message, if there is one, comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversation {
    messages: Vec<Said>,
}

impl Conversation {
    /// Nothing said yet but, perhaps, a system message.
    pub(super) fn new(system: Option<&str>) -> Self {
        let mut conversation = Self::default();
        if let Some(text) = system {
            conversation.set_system(text);
        }
        conversation
    }

    /// All messages.
    pub(super) fn messages(&self) -> &[Said] {
        &self.messages
    }

    /// The user speaks.
    pub(super) fn ask(&mut self, text: &str) {
        self.say(USER, text);
    }

    /// The model speaks.
    pub(super) fn answer(&mut self, text: &str) {
        self.say(ASSISTANT, text);
    }

    /// Replaces the system message; an empty one is none.
    pub(super) fn set_system(&mut self, text: &str) {
        self.messages.retain(|message| message.role != SYSTEM);
        if !text.is_empty() {
            self.messages.insert(0, Said { role: SYSTEM.into(), content: text.into() });
        }
    }

    /// Drops the user's last message and all that follows. False if there is none.
    pub(super) fn undo(&mut self) -> bool {
        let last = self.messages.iter().rposition(|message| message.role == USER);
        if let Some(index) = last {
            self.messages.truncate(index);
        }
        last.is_some()
    }

    /// Drops everything but the system message.
    pub(super) fn reset(&mut self) {
        self.messages.retain(|message| message.role == SYSTEM);
    }

    /// Writes the messages to a file, which appears under its name only once it is complete.
    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || -> anyhow::Result<()> {
            let mut file = NamedTempFile::new_in(folder)?;
            writeln!(file, "{:#}", self.to_json())?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().with_context(|| format!("{}: cannot be written", path.display()))
    }

    /// Reads what [`Conversation::save`] wrote.
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        let read = || Self::from_json(&serde_json::from_slice(&std::fs::read(path)?)?);
        read().with_context(|| format!("{}: cannot be loaded", path.display()))
    }

    fn say(&mut self, role: &str, text: &str) {
        self.messages.push(Said { role: role.into(), content: text.into() });
    }

    fn to_json(&self) -> Value {
        let messages = self.messages.iter().map(|said| json!({ "role": said.role, "content": said.content }));
        json!({ "messages": messages.collect::<Vec<_>>() })
    }

    fn from_json(value: &Value) -> anyhow::Result<Self> {
        let list = value.get("messages").and_then(Value::as_array);
        let list = list.ok_or_else(|| anyhow!("no list `messages` (was it written by /save?)"))?;
        let messages = list.iter().enumerate().map(|(index, message)| parse_message(index, message));
        Ok(Self { messages: messages.collect::<anyhow::Result<_>>()? })
    }
}

fn parse_message(index: usize, message: &Value) -> anyhow::Result<Said> {
    let text = |key: &str| {
        let text = message.get(key).and_then(Value::as_str);
        text.map(str::to_owned).ok_or_else(|| anyhow!("message {index} has no text `{key}`"))
    };
    let said = Said { role: text("role")?, content: text("content")? };
    if ![SYSTEM, USER, ASSISTANT].contains(&said.role.as_str()) {
        bail!("message {index} has the role `{}`, which is none of {SYSTEM}, {USER}, {ASSISTANT}", said.role);
    }
    if said.role == SYSTEM && index > 0 {
        bail!("message {index} is a system message, which can only come first");
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Conversation {
        let mut conversation = Conversation::new(Some("be brief"));
        conversation.ask("hello");
        conversation.answer("hi");
        conversation
    }

    #[test]
    fn undo_drops_the_last_exchange() {
        let mut conversation = example();
        conversation.ask("again");
        assert!(conversation.undo());
        assert_eq!(conversation, example());
        assert!(conversation.undo());
        assert!(!conversation.undo());
        assert_eq!(conversation, Conversation::new(Some("be brief")));
    }

    #[test]
    fn the_system_message_survives_a_reset_and_can_be_taken_away() {
        let mut conversation = example();
        conversation.set_system("be long");
        conversation.reset();
        assert_eq!(conversation, Conversation::new(Some("be long")));
        conversation.set_system("");
        assert_eq!(conversation, Conversation::default());
    }

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.json");
        example().save(&path).unwrap();
        assert_eq!(Conversation::load(&path).unwrap(), example());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn files_that_are_no_conversation_say_why() {
        let refusal = |value| Conversation::from_json(&value).unwrap_err().to_string();
        assert_eq!(refusal(json!([])), "no list `messages` (was it written by /save?)");
        assert_eq!(refusal(json!({ "messages": [{ "role": "user" }] })), "message 0 has no text `content`");
        let late = json!([{ "role": "user", "content": "" }, { "role": "system", "content": "" }]);
        assert_eq!(
            refusal(json!({ "messages": late })),
            "message 1 is a system message, which can only come first"
        );
    }
}
