//! Whom an event is for.

use std::fmt;
use std::num::NonZeroU64;

use super::{ConversationId, UserId};

/// The set of sessions an event goes to. Its `Display` is the name on the bus that Django shares.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Group {
    /// `user_{id}_notifications`: the chat and notification sockets of one user.
    User(UserId),
    /// `chat_{id}`: the sockets of one conversation.
    Conversation(ConversationId),
    /// `presence_{id}`: the chat sockets that watch one user.
    Presence(UserId),
    /// `general_chat_notifications`: every chat socket.
    General,
}

/// A [`Group`] in one word, as tables keep it: its kind in the two highest bits, then its id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GroupKey(NonZeroU64);

impl From<Group> for GroupKey {
    fn from(group: Group) -> Self {
        let (kind, id) = match group {
            Group::User(UserId(id)) => (0, id),
            Group::Conversation(ConversationId(id)) => (1, id),
            Group::Presence(UserId(id)) => (2, id),
            Group::General => (3, 0),
        };
        // A database counts from 1 and does not get that far.
        debug_assert!(id >> ID_BITS == 0, "an id of {id}");
        // Turned over, since no group is all ones, and 0 then says "none" in an `Option`.
        let key = !((kind << ID_BITS) | (id as u64 & ((1 << ID_BITS) - 1)));
        Self(NonZeroU64::new(key).unwrap_or(NonZeroU64::MAX))
    }
}

const ID_BITS: u32 = 62;

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user_{id}_notifications"),
            Self::Conversation(id) => write!(f, "chat_{id}"),
            Self::Presence(id) => write!(f, "presence_{id}"),
            Self::General => f.write_str("general_chat_notifications"),
        }
    }
}

/// What an event is about; a session may mute some.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Topic {
    /// Matches and likes: `match_notifications`.
    Matches = 1,
    /// New messages of others: `message_notifications`.
    Messages = 1 << 1,
    /// What the user wrote on another device; muted with `message_notifications`, and never on notification sockets.
    OwnMessages = 1 << 2,
    /// `system_alerts`.
    Alerts = 1 << 3,
    /// `user_status`.
    UserStatus = 1 << 4,
    /// The conversation itself: messages, typing, receipts. Never muted.
    Conversation = 1 << 5,
    /// What everyone in the group must hear: `conversation_update`.
    Other = 1 << 6,
    /// Typing and receipts of all the user's conversations, for a chat socket of `fortifun.v1`, which can serve a whole app.
    Activity = 1 << 7,
}

impl Topic {
    /// The `subscription_type` of this topic on the wire, where it has one.
    pub const fn subscription_type(self) -> Option<&'static str> {
        match self {
            Self::Matches => Some("match_notifications"),
            Self::Messages => Some("message_notifications"),
            Self::Alerts => Some("system_alerts"),
            Self::UserStatus => Some("user_status"),
            Self::OwnMessages | Self::Conversation | Self::Other | Self::Activity => None,
        }
    }

    /// The topic of a `subscription_type`.
    pub fn from_subscription_type(name: &str) -> Option<Self> {
        [Self::Matches, Self::Messages, Self::Alerts, Self::UserStatus]
            .into_iter()
            .find(|topic| topic.subscription_type() == Some(name))
    }
}

/// The topics that one session hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Audience(u8);

impl Audience {
    /// Everything.
    pub const ALL: Self = Self(u8::MAX);

    /// True exactly when `topic` is heard.
    pub const fn hears(self, topic: Topic) -> bool {
        self.0 & topic as u8 != 0
    }

    /// The same with `topic` on or off.
    #[must_use]
    pub const fn with(self, topic: Topic, on: bool) -> Self {
        if on { Self(self.0 | topic as u8) } else { Self(self.0 & !(topic as u8)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_muted_topic_is_not_heard_and_the_others_are() {
        let quiet = Audience::ALL.with(Topic::Messages, false);
        assert!(!quiet.hears(Topic::Messages));
        assert!(quiet.hears(Topic::Matches) && quiet.hears(Topic::OwnMessages));
        assert_eq!(quiet.with(Topic::Messages, true), Audience::ALL);
    }

    #[test]
    fn groups_are_named_as_django_names_them() {
        let names = [
            (Group::User(UserId(7)), "user_7_notifications"),
            (Group::Conversation(ConversationId(456)), "chat_456"),
            (Group::Presence(UserId(2)), "presence_2"),
            (Group::General, "general_chat_notifications"),
        ];
        for (group, name) in names {
            assert_eq!(group.to_string(), name);
        }
    }

    #[test]
    fn every_subscription_type_names_its_topic() {
        for topic in [Topic::Matches, Topic::Messages, Topic::Alerts, Topic::UserStatus] {
            let name = topic.subscription_type().expect("these four have one");
            assert_eq!(Topic::from_subscription_type(name), Some(topic));
        }
        assert_eq!(Topic::from_subscription_type("weather"), None);
    }
}
