//! What a client asks.

use std::borrow::Cow;

use super::{ConversationId, MessageId, Seq, Topic, UserId};

/// A command and the reference by which its answer is found again.
#[derive(Clone, PartialEq, Debug)]
pub struct Envelope<'a> {
    /// The client's own word for this command, at most [`crate::limits::REF_BYTES_MAX`] bytes; `ack` and `error` carry it back.
    pub reference: Option<Cow<'a, str>>,
    /// What is asked.
    pub command: Command<'a>,
}

/// A well-formed command: every field has its type and is within its bounds.
///
/// `conversation` is `None` where the client named none: the session's own is meant, and a session without one is refused.
#[derive(Clone, PartialEq, Debug)]
pub enum Command<'a> {
    /// Answered by `pong`.
    Ping {
        /// A JSON scalar as the client wrote it, at most [`crate::limits::PING_TIMESTAMP_BYTES_MAX`] bytes; echoed.
        timestamp: Option<Cow<'a, str>>,
    },
    /// Turns a topic of the chat socket on or off.
    Subscribe {
        /// Which.
        topic: Topic,
        /// True for `subscribe`, false for `unsubscribe`.
        on: bool,
        /// Whose presence, with [`Topic::UserStatus`]; at most [`crate::limits::SUBSCRIBE_USERS_MAX`].
        users: Vec<UserId>,
    },
    /// Says something.
    Message {
        /// Where.
        conversation: Option<ConversationId>,
        /// Trimmed, 1 to [`crate::limits::CONTENT_CHARS_MAX`] characters, no NUL.
        content: Cow<'a, str>,
        /// Makes the send exactly-once, for ever; 1 to [`crate::limits::CLIENT_ID_BYTES_MAX`] bytes.
        client_id: Option<Cow<'a, str>>,
        /// A URL, at most [`crate::limits::ATTACHMENT_CHARS_MAX`] characters.
        attachment: Option<Cow<'a, str>>,
    },
    /// Shows or ends "is typing".
    Typing {
        /// Where.
        conversation: Option<ConversationId>,
        /// Which of the two.
        is_typing: bool,
    },
    /// That message and all earlier ones of others are read.
    ReadReceipt {
        /// Where.
        conversation: Option<ConversationId>,
        /// The last one read.
        message: MessageId,
    },
    /// Asks for what was missed.
    Resume {
        /// Conversation (`None`: the session's own) and the last `seq` seen there; at most
        /// [`crate::limits::RESUME_CONVERSATIONS_MAX`].
        after: Vec<(Option<ConversationId>, Seq)>,
    },
    /// Refreshes the identity's expiry.
    Auth {
        /// A fresh JWT of the same user.
        token: Cow<'a, str>,
    },
}
