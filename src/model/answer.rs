//! What the server says to one session alone: answers to its commands, and notices about itself.

use super::{ConversationId, MessageId, Seq, Topic, UserId};
use crate::time::Timestamp;

/// A frame for one session.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer<'a> {
    /// `hello`: the first frame of a `fortifun.v1` session.
    Hello {
        /// Names this connection in logs and support requests.
        connection_id: &'a str,
        /// Who the token says the client is.
        user: UserId,
        /// Milliseconds between the server's pings.
        heartbeat_ms: u64,
        /// The server's clock.
        at: Timestamp,
        /// The token's `exp`.
        expires_at: Timestamp,
        /// The longest text, bytes.
        message_bytes: usize,
        /// The user's steady rate.
        messages_per_second: f64,
        /// On a conversation's socket: which, and its newest place; live events continue from there.
        conversation: Option<(ConversationId, Seq)>,
    },
    /// `pong`, with the client's own `timestamp` (a JSON scalar as it was written) or else the server's.
    Pong {
        /// What the client sent.
        echo: Option<&'a str>,
        /// The server's clock.
        at: Timestamp,
    },
    /// `ack` of a command with a `ref`; `stored` for a message.
    Ack {
        /// The client's own word for the command.
        reference: &'a str,
        /// What was stored.
        stored: Option<Stored>,
    },
    /// `error`: the command changed nothing.
    Error(Complaint<'a>),
    /// `subscribed` (`on`) or `unsubscribed`.
    Subscribed {
        /// Which topic.
        topic: Topic,
        /// On or off.
        on: bool,
        /// With [`Topic::UserStatus`]: who is watched of those asked for; a user who may not be is left out.
        users: Option<&'a [UserId]>,
    },
    /// `resumed`: everything up to `last_seq` was delivered; live events follow.
    Resumed {
        /// Where.
        conversation: ConversationId,
        /// The last place delivered.
        last_seq: Seq,
        /// False where more is missing than one resume replays.
        complete: bool,
    },
    /// `auth_ok`: the session now lives until then.
    AuthOk {
        /// The fresh token's `exp`.
        expires_at: Timestamp,
    },
    /// `token_expiring`: send `auth` before then.
    TokenExpiring {
        /// The token's `exp`.
        expires_at: Timestamp,
    },
    /// `reconnect`: this node drains; come back, to any node, after the delay.
    Reconnect {
        /// A word for people: `drain`.
        reason: &'static str,
        /// How long to wait first.
        delay_ms: u64,
    },
}

/// The message behind an `ack`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its row.
    pub message: MessageId,
    /// Where.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: Seq,
    /// When.
    pub created_at: Timestamp,
    /// True exactly when its `client_id` was known.
    pub duplicate: bool,
}

/// Why a command was refused, as its client is told.
#[derive(Clone, PartialEq, Debug)]
pub struct Complaint<'a> {
    /// For programs.
    pub code: ErrorCode,
    /// For people: names what was wrong.
    pub message: std::borrow::Cow<'a, str>,
    /// The command's `ref`.
    pub reference: Option<&'a str>,
    /// The message's `client_id`.
    pub client_id: Option<&'a str>,
    /// When to try again, with a temporary code.
    pub retry_after_ms: Option<u64>,
}

/// The codes of `error` events.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorCode {
    /// The text is not JSON.
    InvalidJson,
    /// Not an object, or not one for this socket.
    InvalidCommand,
    /// No command has this `type`.
    UnknownType,
    /// A field is missing, of the wrong type or out of bounds.
    InvalidField,
    /// No such conversation, message or user.
    NotFound,
    /// Not allowed.
    Forbidden,
    /// Faster than allowed.
    RateLimited,
    /// The server's queues are full.
    Busy,
    /// The database cannot be reached.
    StoreUnavailable,
    /// Longer than allowed.
    TooLarge,
}

impl ErrorCode {
    /// The code on the wire and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidCommand => "invalid_command",
            Self::UnknownType => "unknown_type",
            Self::InvalidField => "invalid_field",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::Busy => "busy",
            Self::StoreUnavailable => "store_unavailable",
            Self::TooLarge => "too_large",
        }
    }

    /// True exactly when the same command may succeed later.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::RateLimited | Self::Busy | Self::StoreUnavailable)
    }
}
