//! A client's text becomes a command: every field has its type and is within its bounds, or the fault says which is not.

use std::borrow::Cow;

use super::fault::{Fault, Flaw};
use super::fields::{self, Fields, Value};
use super::lists;
use crate::model::{Command, ConversationId, Envelope, ErrorCode, MessageId, Seq, Topic};

/// Decodes one text message of a client.
///
/// Unknown fields are ignored, `null` in an optional field is its absence, and of a key given twice the last counts. Texts
/// without escapes are borrowed. Cost: one pass; a second one to explain a text that is not JSON.
///
/// # Errors
///
/// `InvalidJson`; `InvalidCommand` where the text is no object or its `type` no string; `UnknownType`; `InvalidField`, which
/// names the first field that is missing, of the wrong type or out of bounds.
pub fn decode(text: &str) -> Result<Envelope<'_>, Fault<'_>> {
    let mut fields = Fields::default();
    fields.read(text)?;
    let client_id = fields.client_id.clone();
    let command = match command(&mut fields) {
        Ok(command) => command,
        Err(flaw) => return Err(flaw.of(fields.reference, client_id)),
    };
    match fields.reference.reference() {
        Ok(reference) => Ok(Envelope { reference, command }),
        Err(flaw) => Err(flaw.of(Value::Missing, client_id)),
    }
}

fn command<'a>(fields: &mut Fields<'a>) -> Result<Command<'a>, Flaw> {
    let kind = match std::mem::take(&mut fields.kind) {
        Value::Text(kind) => kind,
        Value::Missing => return Err(Flaw::command("type: missing".into())),
        other => {
            let what = format!("type: expected a string, got {}", other.kind());
            return Err(Flaw::command(what.into()));
        }
    };
    match &*kind {
        "message" => {
            let content = fields.content.content("content")?;
            message(content, fields)
        }
        // The Django code's own spelling.
        "chat_message" => {
            let content = fields.message.content("message")?;
            message(content, fields)
        }
        "typing" => Ok(Command::Typing {
            conversation: conversation(&mut fields.conversation)?,
            is_typing: fields.is_typing.boolean("is_typing")?,
        }),
        "read_receipt" => Ok(Command::ReadReceipt {
            conversation: conversation(&mut fields.conversation)?,
            message: MessageId(fields.message_id.id("message_id")?),
        }),
        "ping" => Ok(Command::Ping { timestamp: fields::timestamp(fields.timestamp)? }),
        "subscribe" => subscribe(fields, true),
        "unsubscribe" => subscribe(fields, false),
        "resume" => resume(fields),
        "auth" => auth(&mut fields.token),
        _ => Err(Flaw { code: ErrorCode::UnknownType, message: Cow::Borrowed("type: unknown") }),
    }
}

fn message<'a>(content: Cow<'a, str>, fields: &mut Fields<'a>) -> Result<Command<'a>, Flaw> {
    Ok(Command::Message {
        conversation: conversation(&mut fields.conversation)?,
        content,
        client_id: fields.client_id.client_id()?,
        attachment: fields.attachment.attachment()?,
    })
}

fn subscribe<'a>(fields: &mut Fields<'a>, on: bool) -> Result<Command<'a>, Flaw> {
    const NAME: &str = "subscription_type";
    let name = fields.subscription_type.text(NAME)?;
    let Some(topic) = Topic::from_subscription_type(&name) else {
        return Err(Flaw::field(NAME, "unknown"));
    };
    let users = match topic {
        Topic::UserStatus => lists::user_ids(fields.user_ids)?,
        _ => Vec::new(),
    };
    Ok(Command::Subscribe { topic, on, users })
}

/// `after_seq` (of `conversation_id`, or the session's own) and `after`, either or both.
fn resume<'a>(fields: &mut Fields<'a>) -> Result<Command<'a>, Flaw> {
    let mut after = match fields.after {
        Some(raw) => lists::places(raw)?,
        None => Vec::new(),
    };
    let is_alone = fields.after.is_none();
    if is_alone || !fields.after_seq.is_absent() {
        let seq = Seq(fields.after_seq.integer("after_seq", 0)?);
        lists::place(&mut after, conversation(&mut fields.conversation)?, seq)?;
    }
    Ok(Command::Resume { after })
}

fn auth<'a>(token: &mut Value<'a>) -> Result<Command<'a>, Flaw> {
    let token = token.text("token")?;
    if token.is_empty() {
        return Err(Flaw::field("token", "empty"));
    }
    Ok(Command::Auth { token })
}

fn conversation(value: &mut Value<'_>) -> Result<Option<ConversationId>, Flaw> {
    Ok(value.optional_id("conversation_id")?.map(ConversationId))
}

#[cfg(test)]
mod tests;
