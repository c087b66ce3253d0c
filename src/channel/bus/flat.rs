//! The flat `chat_message` of an older consumer becomes the nested one that clients know.
//!
//! Two forms were in use: the fields of the message beside `type` with its text under `message`, and an object under `message`
//! with the sender's fields in it.

use super::value::{Fields, Value};
use crate::model::{ConversationId, Group};

/// True exactly when a `chat_message` is in the nested form: an object whose sender is not spread over it.
pub(super) fn is_nested(message: &Value) -> bool {
    let Value::Map(message) = message else { return false };
    message.get("sender").is_some() || message.get("sender_id").is_none()
}

/// The message in its nested form, from an event for `group` whose `message` is not nested. What nobody told is null, and a
/// place that nobody knows is left out. `None` where there is no text.
pub(super) fn nested(mut event: Fields, group: Group) -> Option<Fields> {
    let mut flat = match event.take("message") {
        Some(Value::Map(message)) => message,
        Some(text) => {
            event.push_first("content", text);
            event
        }
        None => event,
    };
    let mut first_of = |names: &[&str]| {
        let found: Vec<Value> = names.iter().filter_map(|name| flat.take(name)).collect();
        found.into_iter().find(|value| *value != Value::Null)
    };
    let content = first_of(&["content", "text"]).filter(|content| content.as_text().is_some())?;
    let here = match group {
        Group::Conversation(ConversationId(id)) => Some(Value::Int(id)),
        _ => None,
    };
    let sender: Fields = [
        ("id", or_null(first_of(&["sender_id"]))),
        ("username", or_null(first_of(&["sender_username"]))),
        ("profile_picture", or_null(first_of(&["sender_profile_picture"]))),
    ]
    .into();
    let mut message: Fields = [
        ("id", or_null(first_of(&["id", "message_id"]))),
        ("conversation_id", or_null(first_of(&["conversation_id"]).or(here))),
    ]
    .into();
    if let Some(seq) = first_of(&["seq"]) {
        message.push("seq", seq);
    }
    message.push("sender", sender);
    message.push("content", content);
    message.push("created_at", or_null(first_of(&["created_at", "timestamp"])));
    message.push("is_read", first_of(&["is_read"]).unwrap_or(Value::Bool(false)));
    message.push("attachment", or_null(first_of(&["attachment"])));
    message.push("client_id", or_null(first_of(&["client_id"])));
    Some(message)
}

fn or_null(value: Option<Value>) -> Value {
    value.unwrap_or(Value::Null)
}
