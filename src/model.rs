//! The domain's words: who, what was said, what a client asks ([`Command`]) and what the server tells ([`Event`]).
//!
//! No serde of the wire and no I/O: how a command is written is `wire::decode`'s matter, how an event is, `wire::encode`'s.

mod answer;
mod command;
mod event;
mod group;
mod people;
mod revocation;
mod standing;

pub use answer::{Answer, Complaint, ErrorCode, Stored};
pub use command::{Command, Envelope};
pub use event::{Control, Event};
pub use group::{Audience, Group, GroupKey, Topic};
pub use people::{Card, Conversation, Match, MatchPage, MatchView, Message, Profile};
pub use revocation::{Revocation, Revoked};
pub use standing::Standing;

pub use crate::ids::{
    ConnKey, ConnRef, ConversationId, MatchId, MessageId, NodeId, Seq, ShardId, UserId,
};

/// Which socket a session came in by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// `/ws/chat/`: everything of one user.
    Chat,
    /// `/ws/conversations/<id>/`: one conversation.
    Conversation(ConversationId),
    /// `/ws/notifications/`: matches, likes, new messages and alerts of one user; takes `ping` and `auth` alone.
    Notifications,
}

impl Endpoint {
    /// The label of this endpoint in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Conversation(_) => "conversation",
            Self::Notifications => "notifications",
        }
    }
}

/// Why a command or a REST request was refused. The command changed nothing; the connection stays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refused {
    /// No such conversation, or one that was left: `not_found`, 404, 4404.
    ConversationNotFound,
    /// The asker is not in the conversation, or was blocked by the other, who need not be told which: `forbidden`, 403, 4403.
    NotParticipant,
    /// One of the two blocked the other, so neither speaks: `forbidden`.
    Silenced,
    /// No such message in this conversation: `not_found`.
    MessageNotFound,
    /// No such user, or one that is not active: `not_found`.
    UserNotFound,
    /// A like, block or conversation with oneself: `invalid_field`.
    Oneself,
    /// One of the two blocked the other: 400.
    UserBlocked,
    /// Liked already: 400.
    AlreadyLiked,
    /// The name is taken by another user.
    NameTaken,
}

/// Close codes of this application (RFC 6455 §7.4.2 leaves 4000 to 4999 to it); the standard's own are in `protocol::ws`.
pub mod close {
    /// Too many bad commands.
    pub const BAD_COMMANDS: u16 = 4400;
    /// Token missing, invalid, expired or revoked.
    pub const UNAUTHENTICATED: u16 = 4401;
    /// Not, or no longer, a participant; blocked.
    pub const FORBIDDEN: u16 = 4403;
    /// No such conversation.
    pub const NOT_FOUND: u16 = 4404;
    /// No pong within two heartbeats.
    pub const UNRESPONSIVE: u16 = 4408;
    /// Replaced: over the per-user connection limit.
    pub const REPLACED: u16 = 4409;
    /// A rate limit was ignored.
    pub const RATE_LIMITED: u16 = 4429;
    /// Slow consumer.
    pub const SLOW_CONSUMER: u16 = 4480;
}
