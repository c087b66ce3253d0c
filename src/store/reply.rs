//! What the store answers.

#[cfg(doc)]
use super::Request;
use crate::model::{
    Card, Conversation, ConversationId, Match, MatchPage, Message, MessageId, Revocation, Seq,
    Standing, UserId,
};
use crate::time::Timestamp;

/// What the store answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// To [`Request::Append`].
    Appended {
        /// As stored.
        message: Message,
        /// Everyone in the conversation.
        participants: Vec<UserId>,
        /// True exactly when the `client_id` was known: nothing was stored.
        duplicate: bool,
    },
    /// To [`Request::MarkRead`].
    MarkedRead {
        /// Where.
        conversation: ConversationId,
        /// Up to and including.
        message: MessageId,
        /// Who.
        reader: Card,
        /// Messages that were unread before; 0 says that nothing changed.
        newly: u64,
        /// When.
        at: Timestamp,
        /// Everyone in the conversation.
        participants: Vec<UserId>,
    },
    /// To [`Request::MaySpeak`]: everyone in the conversation.
    MaySpeak(Vec<UserId>),
    /// To [`Request::Like`].
    Liked {
        /// Who.
        liker: Card,
        /// Whom.
        liked: Card,
        /// The match that this like completed.
        made: Option<Box<Made>>,
    },
    /// To [`Request::Block`].
    Blocked {
        /// Who.
        blocker: UserId,
        /// Whom.
        blocked: UserId,
        /// What the two share, active or not.
        conversations: Vec<ConversationId>,
    },
    /// To [`Request::Unblock`].
    Unblocked {
        /// What the two share and neither blocks any more; empty while the other still blocks.
        conversations: Vec<ConversationId>,
    },
    /// To [`Request::Open`].
    Opened(Box<Opened>),
    /// To [`Request::Leave`].
    Left {
        /// Which.
        conversation: ConversationId,
    },
    /// To [`Request::SetPresence`].
    Presence {
        /// Who.
        user: Card,
        /// True exactly when some node that is alive has the user.
        is_online: bool,
        /// True exactly when that was otherwise before; else nobody need hear of it.
        is_changed: bool,
        /// As set.
        at: Timestamp,
        /// The user's active conversations in which neither blocked the other.
        conversations: Vec<ConversationId>,
    },
    /// To [`Request::Lease`].
    Lease {
        /// True exactly when the node had a lease until now, by an earlier one of these requests. Where it had none, others may have
        /// taken its users offline.
        was_held: bool,
        /// Users who are offline from now on, by id.
        offline: Vec<Gone>,
        /// True exactly when there are more.
        has_more: bool,
    },
    /// To [`Request::AddUser`] and [`Request::FindUser`].
    UserAdded(Card),
    /// To [`Request::Admit`].
    Admitted {
        /// Who.
        user: Card,
        /// The conversation asked for.
        conversation: Option<Admission>,
    },
    /// To [`Request::Watch`].
    Watched(Vec<Status>),
    /// To [`Request::History`].
    History {
        /// Oldest first.
        messages: Vec<Message>,
        /// The conversation's newest place when this was read.
        last_seq: Seq,
    },
    /// To [`Request::Conversations`] and [`Request::Conversation`].
    Conversations(Vec<Conversation>),
    /// To [`Request::RecentMatches`] and [`Request::Matches`].
    Matches(MatchPage),
    /// To [`Request::Revocations`].
    Revocations(Vec<Revocation>),
    /// To [`Request::Standings`].
    Standings(Vec<Standing>),
    /// To [`Request::Since`]: messages and everyone in their conversation, by conversation and place.
    Since(Vec<(Message, Vec<UserId>)>),
    /// To [`Request::Places`].
    Places(Vec<(MessageId, ConversationId, Seq)>),
    /// Done, and there is nothing to tell.
    Done,
}

/// A conversation that was opened, and what was said first.
#[derive(Clone, PartialEq, Debug)]
pub struct Opened {
    /// As the creator sees it.
    pub conversation: Conversation,
    /// As the other participant sees it; `None` where it existed and was active.
    pub for_participant: Option<Conversation>,
    /// The first message, or the stored one that its `client_id` names.
    pub message: Message,
    /// True exactly when the `client_id` was known: no message was stored.
    pub duplicate: bool,
}

/// A match that came to be.
#[derive(Clone, PartialEq, Debug)]
pub struct Made {
    /// The match.
    pub made: Match,
    /// The welcome message; `None` where the two shared a conversation already.
    pub welcome: Option<Message>,
}

/// How one may take part in a conversation.
#[derive(Clone, PartialEq, Debug)]
pub struct Admission {
    /// Which.
    pub id: ConversationId,
    /// Its newest place.
    pub last_seq: Seq,
    /// True exactly when the asker blocked the other: they may read and not speak.
    pub silenced: bool,
    /// The others in it and whether they are here; nobody where `silenced`.
    pub others: Vec<Status>,
}

/// A user's presence.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// Who.
    pub user: Card,
    /// True exactly when some session of the user is open.
    pub is_online: bool,
    /// When the user was last here.
    pub last_activity: Option<Timestamp>,
}

/// A user who went offline with the last node that had them.
#[derive(Clone, PartialEq, Debug)]
pub struct Gone {
    /// Who.
    pub user: Card,
    /// When it was found.
    pub at: Timestamp,
    /// The user's active conversations in which neither blocked the other.
    pub conversations: Vec<ConversationId>,
}
