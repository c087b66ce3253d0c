//! The JSON shapes that frames and REST bodies share, borrowed from the model. Key order is the contract's.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer};

use crate::model::{
    Card, Conversation, ConversationId, Match, MatchId, Message, MessageId, Seq, UserId,
};
use crate::time::Timestamp;

/// Appends the JSON of `value`.
pub(super) fn write(buffer: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(buffer, value)
        .expect("a Vec takes every byte, and the shapes' keys are texts");
}

/// What Django's `filepath_to_uri` leaves as it is: letters, digits and `_.-~/!*()'`.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b'/')
    .remove(b'!')
    .remove(b'*')
    .remove(b'(')
    .remove(b')')
    .remove(b'\'');

/// A stored file's URL: an absolute URL as it is, a storage key as `MEDIA_URL` and the percent-encoded key.
#[derive(Clone, Copy)]
pub(super) struct MediaUrl<'a> {
    base: &'a str,
    stored: &'a str,
}

impl<'a> MediaUrl<'a> {
    /// `base` ends in `/`; an empty text is no file.
    pub(super) fn new(base: &'a str, stored: Option<&'a str>) -> Option<Self> {
        stored.filter(|stored| !stored.is_empty()).map(|stored| Self { base, stored })
    }
}

impl fmt::Display for MediaUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if has_scheme(self.stored) {
            return f.write_str(self.stored);
        }
        f.write_str(self.base)?;
        utf8_percent_encode(self.stored.trim_start_matches('/'), KEY).fmt(f)
    }
}

impl Serialize for MediaUrl<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// True exactly when the text begins with a scheme (RFC 3986 §3.1) and `://`.
fn has_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

/// A user in passing.
#[derive(Serialize)]
pub(super) struct CardJson<'a> {
    id: UserId,
    username: &'a str,
    profile_picture: Option<MediaUrl<'a>>,
}

impl<'a> CardJson<'a> {
    pub(super) fn new(base: &'a str, card: &'a Card) -> Self {
        let profile_picture = MediaUrl::new(base, card.profile_picture.as_deref());
        Self { id: card.id, username: &card.username, profile_picture }
    }
}

/// A message, in frames and REST bodies alike.
#[derive(Serialize)]
pub(super) struct MessageJson<'a> {
    id: MessageId,
    conversation_id: ConversationId,
    seq: Seq,
    sender: CardJson<'a>,
    content: &'a str,
    created_at: Timestamp,
    is_read: bool,
    attachment: Option<MediaUrl<'a>>,
    client_id: Option<&'a str>,
}

impl<'a> MessageJson<'a> {
    pub(super) fn new(base: &'a str, message: &'a Message) -> Self {
        Self {
            id: message.id,
            conversation_id: message.conversation,
            seq: message.seq,
            sender: CardJson::new(base, &message.sender),
            content: &message.content,
            created_at: message.created_at,
            is_read: message.is_read,
            attachment: MediaUrl::new(base, message.attachment.as_deref()),
            client_id: message.client_id.as_deref(),
        }
    }
}

/// A conversation as its viewer sees it.
pub(super) struct ConversationJson<'a> {
    base: &'a str,
    conversation: &'a Conversation,
}

impl<'a> ConversationJson<'a> {
    pub(super) const fn new(base: &'a str, conversation: &'a Conversation) -> Self {
        Self { base, conversation }
    }
}

impl Serialize for ConversationJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a, P: Serialize> {
            id: ConversationId,
            participants: P,
            created_at: Timestamp,
            updated_at: Timestamp,
            is_active: bool,
            last_message: Option<MessageJson<'a>>,
            last_seq: Seq,
            unread_count: u64,
        }
        let Self { base, conversation } = *self;
        Shape {
            id: conversation.id,
            participants: List(conversation.participants.iter().map(|p| CardJson::new(base, p))),
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
            is_active: conversation.is_active,
            last_message: conversation.last_message.as_ref().map(|m| MessageJson::new(base, m)),
            last_seq: conversation.last_seq,
            unread_count: conversation.unread_count,
        }
        .serialize(serializer)
    }
}

/// A match as one of the two sees it made.
#[derive(Serialize)]
pub(super) struct MatchJson<'a> {
    id: MatchId,
    conversation_id: ConversationId,
    user: CardJson<'a>,
    created_at: Timestamp,
}

impl<'a> MatchJson<'a> {
    pub(super) fn new(base: &'a str, made: &Match, other: &'a Card) -> Self {
        Self {
            id: made.id,
            conversation_id: made.conversation,
            user: CardJson::new(base, other),
            created_at: made.created_at,
        }
    }
}

/// An iterator as an array.
pub(super) struct List<I>(pub(super) I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for List<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_below_the_media_url_and_a_url_as_it_is() {
        let shown = |stored| MediaUrl::new("https://cdn/m/", Some(stored)).map(|u| u.to_string());
        for (stored, url) in [
            ("photos/a b.png", "https://cdn/m/photos/a%20b.png"),
            ("photos/é.png", "https://cdn/m/photos/%C3%A9.png"),
            ("/lead.png", "https://cdn/m/lead.png"),
            ("a?b#c%d.png", "https://cdn/m/a%3Fb%23c%25d.png"),
            ("it's(1)~!*-_.png", "https://cdn/m/it's(1)~!*-_.png"),
            ("dir/x://y", "https://cdn/m/dir/x%3A//y"),
            ("://y", "https://cdn/m/%3A//y"),
            ("https://other/p.png?x=1", "https://other/p.png?x=1"),
            ("s3+v2.x://bucket/p", "s3+v2.x://bucket/p"),
        ] {
            assert_eq!(shown(stored).as_deref(), Some(url));
        }
        assert_eq!(shown(""), None);
        assert!(MediaUrl::new("/media/", None).is_none());
    }
}
