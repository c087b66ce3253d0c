//! What the server tells.

use super::{Card, Conversation, ConversationId, Match, Message, MessageId, Seq, UserId};
use crate::time::Timestamp;

/// Something that happened, for sessions to be told of. Each is encoded once, whoever receives it.
#[derive(Clone, PartialEq, Debug)]
pub enum Event<'a> {
    /// `message`: a stored message, to every session in its conversation.
    Message(&'a Message),
    /// `message` with `"duplicate":true`: the stored message that a repeated `client_id` names, to the sender alone.
    Duplicate(&'a Message),
    /// `new_message`: the same message, to the user-wide sockets of its participants.
    NewMessage(&'a Message),
    /// `typing`.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// The typist's name.
        username: &'a str,
        /// Began or ended.
        is_typing: bool,
    },
    /// `read_receipt`.
    ReadReceipt {
        /// Where.
        conversation: ConversationId,
        /// Up to and including this one.
        message: MessageId,
        /// Who read.
        reader: &'a Card,
        /// When.
        at: Timestamp,
    },
    /// `user_status`.
    UserStatus {
        /// Who.
        user: &'a Card,
        /// True exactly when some session of the user is open.
        is_online: bool,
        /// When the user was last here.
        last_activity: Option<Timestamp>,
        /// When this was found.
        at: Timestamp,
    },
    /// `new_match`, as one of the two sees it.
    NewMatch {
        /// The match.
        made: &'a Match,
        /// The one they matched.
        other: &'a Card,
    },
    /// `new_like`.
    NewLike {
        /// Who liked.
        liker: &'a Card,
    },
    /// `conversation_update` of `conversation.create`.
    ConversationCreated(&'a Conversation),
}

/// An order to the sessions of a group, rather than a frame for their clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// Close the sessions of `user` with `code`.
    Evict {
        /// Whose.
        user: UserId,
        /// Close code.
        code: u16,
    },
    /// Close every session with `code`.
    Disband {
        /// Close code.
        code: u16,
    },
    /// One of the two blocked the other (`true`), or no longer does: neither speaks here meanwhile.
    Silence(bool),
    /// Stop watching this user's presence.
    Unwatch(UserId),
    /// The conversation has messages up to this place: whoever has fewer reads the rest from the store. Between the threads of
    /// one node, and never on the bus.
    Reaches(Seq),
}
