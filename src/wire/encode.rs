//! What the server tells becomes whole server frames, ready to be shared by all who receive them.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::frame;
use super::shapes::{CardJson, ConversationJson, MatchJson, MessageJson};
use crate::model::{
    Answer, Complaint, ConversationId, Event, Message, MessageId, Seq, Stored, UserId,
};
use crate::time::Timestamp;

/// Writes events, answers and REST bodies. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// `MEDIA_URL`, ending in `/`.
    pub(super) media_url: Arc<str>,
}

/// A guess at the length of most texts, bytes.
const SMALL_BYTES: usize = 256;
/// The same of a message's without its content.
const MESSAGE_BYTES: usize = 384;
/// What stands before the message in the text of [`Event::Message`]; a `}` stands behind it.
const MESSAGE_OPEN: &str = r#"{"type":"message","message":"#;

impl Encoder {
    /// `media_url` stands before storage keys; a `/` is added where it ends in none.
    pub fn new(media_url: &str) -> Self {
        let slash = if media_url.ends_with('/') { "" } else { "/" };
        Self { media_url: format!("{media_url}{slash}").into() }
    }

    /// `event` as one unmasked text frame, the same for all its receivers.
    pub fn event(&self, event: &Event<'_>) -> Bytes {
        let base = &*self.media_url;
        match *event {
            Event::Message(message) | Event::Duplicate(message) => {
                let shape = MessageEvent {
                    kind: "message",
                    message: MessageJson::new(base, message),
                    duplicate: matches!(event, Event::Duplicate(_)),
                };
                frame::text(&shape, MESSAGE_BYTES + message.content.len())
            }
            Event::NewMessage(message) => {
                let shape = NewMessage {
                    kind: "new_message",
                    conversation_id: message.conversation,
                    message: MessageJson::new(base, message),
                };
                frame::text(&shape, MESSAGE_BYTES + message.content.len())
            }
            Event::Typing { conversation, user, username, is_typing } => small(&TypingEvent {
                kind: "typing",
                conversation_id: conversation,
                user_id: user,
                username,
                is_typing,
            }),
            Event::ReadReceipt { conversation, message, reader, at } => small(&ReadReceipt {
                kind: "read_receipt",
                conversation_id: conversation,
                message_id: message,
                user_id: reader.id,
                username: &reader.username,
                timestamp: at,
            }),
            Event::UserStatus { user, is_online, last_activity, at } => small(&UserStatus {
                kind: "user_status",
                user_id: user.id,
                username: &user.username,
                status: if is_online { "online" } else { "offline" },
                is_online,
                last_activity,
                timestamp: at,
            }),
            Event::NewMatch { made, other } => {
                let kind = "new_match";
                let made = MatchJson::new(base, made, other);
                small(&Nested { kind, event: None, data: NewMatch { kind, made } })
            }
            Event::NewLike { liker } => {
                let kind = "new_like";
                let liker = CardJson::new(base, liker);
                small(&Nested { kind, event: None, data: NewLike { kind, liker } })
            }
            Event::ConversationCreated(conversation) => small(&Nested {
                kind: "conversation_update",
                event: Some("conversation.create"),
                data: ConversationJson::new(base, conversation),
            }),
        }
    }

    /// [`Event::Message`] and [`Event::NewMessage`] of `message`, in this order, as [`Encoder::event`] writes them; for less than the two
    /// cost one by one.
    pub fn message(&self, message: &Message) -> [Bytes; 2] {
        let told = self.event(&Event::Message(message));
        let text = frame::payload(&told);
        debug_assert!(text.starts_with(MESSAGE_OPEN.as_bytes()) && text.ends_with(b"}}"));
        let inner = &text[MESSAGE_OPEN.len()..text.len() - 1];
        let news = frame::text_with(MESSAGE_OPEN.len() + 48 + inner.len(), |text| {
            let id = message.conversation;
            write!(text, r#"{{"type":"new_message","conversation_id":{id},"message":"#)
                .expect("a Vec takes every byte");
            text.extend_from_slice(inner);
            text.push(b'}');
        });
        [told, news]
    }

    /// `answer` as one unmasked text frame for one session.
    pub fn answer(&self, answer: &Answer<'_>) -> Bytes {
        match answer {
            Answer::Hello {
                connection_id,
                user,
                heartbeat_ms,
                at,
                expires_at,
                message_bytes,
                messages_per_second,
                conversation,
            } => small(&Hello {
                kind: "hello",
                connection_id,
                user_id: *user,
                heartbeat_interval_ms: *heartbeat_ms,
                server_time: *at,
                token_expires_at: *expires_at,
                limits: Limits {
                    message_bytes: *message_bytes,
                    messages_per_second: *messages_per_second,
                },
                conversation: conversation.map(|(id, last_seq)| Place { id, last_seq }),
            }),
            Answer::Pong { echo, at } => {
                match echo.and_then(|echo| serde_json::from_str::<&RawValue>(echo).ok()) {
                    Some(timestamp) => small(&Pong { kind: "pong", timestamp }),
                    None => small(&Pong { kind: "pong", timestamp: at }),
                }
            }
            Answer::Ack { reference, stored } => {
                small(&Ack { kind: "ack", reference, stored: stored.map(StoredJson::from) })
            }
            Answer::Error(complaint) => small(&ErrorJson::from(complaint)),
            Answer::Subscribed { topic, on, users } => small(&Subscribed {
                kind: if *on { "subscribed" } else { "unsubscribed" },
                subscription_type: topic.subscription_type(),
                user_ids: *users,
            }),
            Answer::Resumed { conversation, last_seq, complete } => small(&Resumed {
                kind: "resumed",
                conversation_id: *conversation,
                last_seq: *last_seq,
                complete: *complete,
            }),
            Answer::AuthOk { expires_at } => {
                small(&Expiry { kind: "auth_ok", expires_at: *expires_at })
            }
            Answer::TokenExpiring { expires_at } => {
                small(&Expiry { kind: "token_expiring", expires_at: *expires_at })
            }
            Answer::Reconnect { reason, delay_ms } => {
                small(&Reconnect { kind: "reconnect", reason, delay_ms: *delay_ms })
            }
        }
    }
}

fn small(shape: &impl Serialize) -> Bytes {
    frame::text(shape, SMALL_BYTES)
}

#[derive(Serialize)]
struct MessageEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: MessageJson<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

#[derive(Serialize)]
struct NewMessage<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    conversation_id: ConversationId,
    message: MessageJson<'a>,
}

#[derive(Serialize)]
struct TypingEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    conversation_id: ConversationId,
    user_id: UserId,
    username: &'a str,
    is_typing: bool,
}

#[derive(Serialize)]
struct ReadReceipt<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    conversation_id: ConversationId,
    message_id: MessageId,
    user_id: UserId,
    username: &'a str,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct UserStatus<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    user_id: UserId,
    username: &'a str,
    status: &'static str,
    is_online: bool,
    last_activity: Option<Timestamp>,
    timestamp: Timestamp,
}

/// An event whose body is under `data`.
#[derive(Serialize)]
struct Nested<D> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    data: D,
}

#[derive(Serialize)]
struct NewMatch<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "match")]
    made: MatchJson<'a>,
}

#[derive(Serialize)]
struct NewLike<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    liker: CardJson<'a>,
}

#[derive(Serialize)]
struct Hello<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    connection_id: &'a str,
    user_id: UserId,
    heartbeat_interval_ms: u64,
    server_time: Timestamp,
    token_expires_at: Timestamp,
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<Place>,
}

#[derive(Serialize)]
struct Limits {
    message_bytes: usize,
    #[serde(serialize_with = "shortest")]
    messages_per_second: f64,
}

/// A whole number without a fraction: clients may read it as an integer.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn shortest<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

#[derive(Serialize)]
struct Place {
    id: ConversationId,
    last_seq: Seq,
}

#[derive(Serialize)]
struct Pong<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: T,
}

#[derive(Serialize)]
struct Ack<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "ref")]
    reference: &'a str,
    #[serde(flatten)]
    stored: Option<StoredJson>,
}

#[derive(Serialize)]
struct StoredJson {
    message_id: MessageId,
    conversation_id: ConversationId,
    seq: Seq,
    created_at: Timestamp,
    duplicate: bool,
}

impl From<Stored> for StoredJson {
    fn from(stored: Stored) -> Self {
        Self {
            message_id: stored.message,
            conversation_id: stored.conversation,
            seq: stored.seq,
            created_at: stored.created_at,
            duplicate: stored.duplicate,
        }
    }
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
    message: &'a str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    client_id: Option<&'a str>,
    temporary: bool,
    retry_after_ms: Option<u64>,
}

impl<'a> From<&'a Complaint<'_>> for ErrorJson<'a> {
    fn from(complaint: &'a Complaint<'_>) -> Self {
        Self {
            kind: "error",
            code: complaint.code.name(),
            message: &complaint.message,
            reference: complaint.reference,
            client_id: complaint.client_id,
            temporary: complaint.code.is_temporary(),
            retry_after_ms: complaint.retry_after_ms,
        }
    }
}

#[derive(Serialize)]
struct Subscribed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    subscription_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_ids: Option<&'a [UserId]>,
}

#[derive(Serialize)]
struct Resumed {
    #[serde(rename = "type")]
    kind: &'static str,
    conversation_id: ConversationId,
    last_seq: Seq,
    complete: bool,
}

#[derive(Serialize)]
struct Expiry {
    #[serde(rename = "type")]
    kind: &'static str,
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct Reconnect {
    #[serde(rename = "type")]
    kind: &'static str,
    reason: &'static str,
    delay_ms: u64,
}

#[cfg(test)]
mod tests;
