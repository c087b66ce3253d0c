//! REST bodies: the same shapes as the frames', and the same faults.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::Encoder;
use super::fault::{Fault, Flaw};
use super::fields::{self, Fields, Value};
use super::shapes::{self, ConversationJson, List, MatchJson, MediaUrl, MessageJson};
use crate::model::{
    Card, Conversation, ConversationId, ErrorCode, Match, MatchId, MatchPage, MatchView, Message,
    MessageId, Profile, UserId,
};
use crate::time::Timestamp;

/// The body of `POST /api/v1/conversations/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewConversation<'a> {
    /// With whom: `participant_id`.
    pub participant: UserId,
    /// The first message, `message`: checked as a command's `content` is.
    pub message: Cow<'a, str>,
    /// Makes the first message exactly-once.
    pub client_id: Option<Cow<'a, str>>,
}

/// The body of `POST /api/v1/conversations/{id}/messages/`; bounds as in [`crate::model::Command::Message`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewMessage<'a> {
    /// Trimmed.
    pub content: Cow<'a, str>,
    /// A URL.
    pub attachment: Option<Cow<'a, str>>,
    /// Makes the send exactly-once.
    pub client_id: Option<Cow<'a, str>>,
}

/// Reads `{participant_id, message, client_id?}`. Errors: as [`super::decode`], for a 400.
pub fn new_conversation(body: &[u8]) -> Result<NewConversation<'_>, Fault<'_>> {
    request(body, |fields| {
        Ok(NewConversation {
            participant: UserId(fields.participant.id("participant_id")?),
            message: fields.message.content("message")?,
            client_id: fields.client_id.client_id()?,
        })
    })
}

/// Reads `{content, attachment?, client_id?}`. Errors: as [`super::decode`], for a 400.
pub fn new_message(body: &[u8]) -> Result<NewMessage<'_>, Fault<'_>> {
    request(body, |fields| {
        Ok(NewMessage {
            content: fields.content.content("content")?,
            attachment: fields.attachment.attachment()?,
            client_id: fields.client_id.client_id()?,
        })
    })
}

/// Reads `{user_id}`, whom a like or block is about. Errors: as [`super::decode`], for a 400.
pub fn target(body: &[u8]) -> Result<UserId, Fault<'_>> {
    request(body, |fields| fields.user.id("user_id").map(UserId))
}

/// Checks an `Idempotency-Key` header, which is taken as `client_id`. Errors: `InvalidField`.
pub fn check_idempotency_key(text: &str) -> Result<(), Fault<'static>> {
    fields::check_client_id("Idempotency-Key", text)
        .map_err(|flaw| flaw.of(Value::Missing, Value::Missing))
}

fn request<'a, T>(
    body: &'a [u8],
    read: impl FnOnce(&mut Fields<'a>) -> Result<T, Flaw>,
) -> Result<T, Fault<'a>> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| {
        let flaw = Flaw { code: ErrorCode::InvalidJson, message: "not UTF-8".into() };
        flaw.of(Value::Missing, Value::Missing)
    })?;
    let mut fields = Fields::default();
    fields.read(text)?;
    let client_id = fields.client_id.clone();
    read(&mut fields).map_err(|flaw| flaw.of(Value::Missing, client_id))
}

/// Bodies, without a frame's header.
impl Encoder {
    /// The user's conversations, an array.
    pub fn conversations_body(&self, conversations: &[Conversation]) -> Vec<u8> {
        let base = &*self.media_url;
        body(&List(conversations.iter().map(|c| ConversationJson::new(base, c))))
    }

    /// One conversation.
    pub fn conversation_body(&self, conversation: &Conversation) -> Vec<u8> {
        body(&ConversationJson::new(&self.media_url, conversation))
    }

    /// A history, an array.
    pub fn messages_body(&self, messages: &[Message]) -> Vec<u8> {
        body(&List(messages.iter().map(|m| MessageJson::new(&self.media_url, m))))
    }

    /// One message.
    pub fn message_body(&self, message: &Message) -> Vec<u8> {
        body(&MessageJson::new(&self.media_url, message))
    }

    /// `recent-matches`: an array of the others, each with their match.
    pub fn recent_matches_body(&self, matches: &[MatchView]) -> Vec<u8> {
        body(&List(matches.iter().map(|view| RecentMatch {
            user: ProfileJson::new(&self.media_url, &view.other),
            match_created_at: view.created_at,
            match_id: view.id,
            conversation_id: view.conversation,
        })))
    }

    /// One page of `matches`; `next` and `previous` are the neighbouring pages' URLs.
    pub fn matches_body(
        &self,
        page: &MatchPage,
        next: Option<&str>,
        previous: Option<&str>,
    ) -> Vec<u8> {
        let results = List(page.results.iter().map(|view| MatchResult {
            id: view.id,
            created_at: view.created_at,
            is_active: view.is_active,
            matched_user: ProfileJson::new(&self.media_url, &view.other),
        }));
        body(&Page { count: page.count, next, previous, results })
    }

    /// A like's result; `made` is the match that it completed and the other user.
    pub fn liked_body(&self, detail: &str, made: Option<(&Match, &Card)>) -> Vec<u8> {
        let is_match = made.is_some();
        let made = made.map(|(made, other)| MatchJson::new(&self.media_url, made, other));
        body(&Liked { detail, is_match, made })
    }
}

/// `{"detail": …}`.
pub fn detail_body(detail: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Detail<'a> {
        detail: &'a str,
    }
    body(&Detail { detail })
}

/// A read mark's result: the messages up to `message` are read, `newly` of them only now.
pub fn marked_read_body(
    detail: &str,
    conversation: ConversationId,
    message: MessageId,
    newly: u64,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct MarkedRead<'a> {
        detail: &'a str,
        conversation_id: ConversationId,
        message_id: MessageId,
        newly_read: u64,
    }
    body(&MarkedRead {
        detail,
        conversation_id: conversation,
        message_id: message,
        newly_read: newly,
    })
}

/// What `healthz` and `readyz` say.
#[derive(Serialize, Debug)]
pub struct Health<'a> {
    /// One word.
    pub status: &'a str,
    /// What is not well, and why; left out where there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<BTreeMap<&'a str, &'a str>>,
}

/// Any other body; map keys are texts.
pub fn body(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    shapes::write(&mut bytes, value);
    bytes
}

#[derive(Serialize)]
struct ProfileJson<'a> {
    id: UserId,
    username: &'a str,
    first_name: &'a str,
    last_name: &'a str,
    profile_picture: Option<MediaUrl<'a>>,
    bio: Option<&'a str>,
    location: Option<&'a str>,
    is_online: bool,
    last_activity: Option<Timestamp>,
}

impl<'a> ProfileJson<'a> {
    fn new(base: &'a str, profile: &'a Profile) -> Self {
        Self {
            id: profile.card.id,
            username: &profile.card.username,
            first_name: &profile.first_name,
            last_name: &profile.last_name,
            profile_picture: MediaUrl::new(base, profile.card.profile_picture.as_deref()),
            bio: profile.bio.as_deref(),
            location: profile.location.as_deref(),
            is_online: profile.is_online,
            last_activity: profile.last_activity,
        }
    }
}

#[derive(Serialize)]
struct RecentMatch<'a> {
    #[serde(flatten)]
    user: ProfileJson<'a>,
    match_created_at: Timestamp,
    match_id: MatchId,
    conversation_id: Option<ConversationId>,
}

#[derive(Serialize)]
struct MatchResult<'a> {
    id: MatchId,
    created_at: Timestamp,
    is_active: bool,
    matched_user: ProfileJson<'a>,
}

#[derive(Serialize)]
struct Page<'a, R> {
    count: u64,
    next: Option<&'a str>,
    previous: Option<&'a str>,
    results: R,
}

#[derive(Serialize)]
struct Liked<'a> {
    detail: &'a str,
    is_match: bool,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    made: Option<MatchJson<'a>>,
}

#[cfg(test)]
mod tests;
