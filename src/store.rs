//! The port to what is kept: requests, replies, and the trait that a database implements. Batch first.
//!
//! Implementations live in `store/`; they are named in `server.rs` only. One suite (`tests/ports/store.rs`) holds all of
//! them to the same answers. Nothing here knows of sessions, frames or HTTP.

mod error;
pub mod memory;
mod place;
pub mod postgres;
mod reply;
pub mod schema;
mod settle;
pub mod sqlite;

use std::sync::Arc;

use crate::model::{ConversationId, MessageId, NodeId, Revoked, Seq, UserId};
use crate::time::Timestamp;

pub use error::{Failure, StoreError, StoreErrorKind};
pub use reply::{Admission, Gone, Made, Opened, Reply, Status};

/// A database connection, owned by one worker thread.
pub trait Store: Send {
    /// Carries out `batch` in one transaction, in order, and returns one outcome for each request, in order.
    ///
    /// A refusal is an outcome: it changed nothing and the others stand. When this returns, what succeeded is durable.
    ///
    /// # Errors
    ///
    /// The whole transaction failed and nothing of it is stored, except with [`StoreErrorKind::Unknown`]: then it may have
    /// been, and [`Store::settle`] says what was. Whoever may have to ask gives no two batches the same `now`.
    fn commit(&mut self, batch: &[Request], now: Timestamp) -> Result<Vec<Outcome>, StoreError>;

    /// What was stored of `batch`, whose commit at `at` ended with [`StoreErrorKind::Unknown`]: the reply that was lost for each
    /// [`Request::Append`] that stored a message, or repeated one that the batch stored; `None` for one that stored nothing (a
    /// refusal, a repeat of what was there before) and for all other requests.
    ///
    /// Waits for a backend that is still at work on the batch, so that an answer is final: what is not stored by then is not
    /// stored later. A message is known by its conversation, sender, `client_id`, content and `at`; equal ones are told apart by
    /// their number, in `seq` order. Changes nothing.
    ///
    /// # Errors
    ///
    /// Nothing is known yet; worth asking again.
    fn settle(
        &mut self,
        batch: &[Request],
        at: Timestamp,
    ) -> Result<Vec<Option<Reply>>, StoreError>;

    /// Answers one request that changes nothing ([`Request::lane`] is [`Lane::Read`]).
    fn read(&mut self, request: &Request, now: Timestamp) -> Outcome;

    /// Asks the database for a sign of life; what `readyz` reports.
    fn ping(&mut self) -> Result<(), StoreError>;
}

/// Opens one more connection to the same database; every worker opens its own.
pub type Open = Arc<dyn Fn(Lane) -> Result<Box<dyn Store>, StoreError> + Send + Sync>;

/// What became of one request.
pub type Outcome = Result<Reply, Failure>;

/// Which workers carry a request out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// In a batch, in a transaction.
    Write,
    /// Alone, beside the writes.
    Read,
}

/// What is asked of the store.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Write. Stores a message and gives it the conversation's next `seq`; a known (`conversation`, `sender`, `client_id`) stores
    /// nothing and returns the stored one, even where the sender may not speak any more. Answer: [`Reply::Appended`]. Refused: `ConversationNotFound` (none, or left),
    /// `NotParticipant`, `Silenced` (a block in either direction).
    Append {
        /// Where.
        conversation: ConversationId,
        /// Who.
        sender: UserId,
        /// What, checked.
        content: String,
        /// A key or URL.
        attachment: Option<String>,
        /// The sender's own word for it.
        client_id: Option<String>,
    },
    /// Write. `message` and every earlier one of the conversation not sent by `reader` become read (rows of
    /// `conversations_messageread`, and `is_read`). Answer: [`Reply::MarkedRead`]. Refused: `ConversationNotFound`
    /// (also: inactive), `NotParticipant` (also: blocked by the other), `MessageNotFound` (also: of another conversation).
    MarkRead {
        /// Where.
        conversation: ConversationId,
        /// Who.
        reader: UserId,
        /// Up to and including.
        message: MessageId,
    },
    /// Write. `liker` likes `liked`; where both do, the match is made or made active again, and their conversation with its
    /// welcome message, unless they share one: that one is kept (and is active again). All in one transaction, exactly once whatever the order. Answer: [`Reply::Liked`].
    /// Refused: `Oneself`, `UserNotFound`, `UserBlocked`, `AlreadyLiked`.
    Like {
        /// Who.
        liker: UserId,
        /// Whom.
        liked: UserId,
        /// The first message of a new conversation.
        welcome: Arc<str>,
    },
    /// Write. Takes a like back and ends a match that rested on it; the conversation stays. Answer: [`Reply::Done`], also where
    /// there was no like. Refused: `Oneself`, `UserNotFound`.
    Unlike {
        /// Who.
        liker: UserId,
        /// Whom.
        liked: UserId,
    },
    /// Write. Ends the match, takes both likes back and silences both. Answer: [`Reply::Blocked`], also on a repeat. Refused:
    /// `Oneself`, `UserNotFound`.
    Block {
        /// Who.
        blocker: UserId,
        /// Whom.
        blocked: UserId,
    },
    /// Write. Answer: [`Reply::Unblocked`], also where there was no block. Refused: `Oneself`, `UserNotFound`.
    Unblock {
        /// Who.
        blocker: UserId,
        /// Whom.
        blocked: UserId,
    },
    /// Write. The conversation of the two, the existing one (active again) or a new one, and in it a first message. Answer:
    /// [`Reply::Opened`]. Refused: `Oneself`, `UserNotFound`, `UserBlocked`.
    Open {
        /// Who asks, and says the message.
        creator: UserId,
        /// The other.
        participant: UserId,
        /// The message, checked.
        content: String,
        /// The sender's own word for it.
        client_id: Option<String>,
    },
    /// Write. The conversation becomes inactive for all. Answer: [`Reply::Left`]. Refused: `ConversationNotFound` (also: inactive),
    /// `NotParticipant` (also: blocked by the other, who may go on reading).
    Leave {
        /// Which.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// Write. Keeps whether a node has a user, and with it `is_online` and `last_activity`: a user is online while some node has
    /// them that is alive, which is while its lease lasts. A node that has not asked for a lease yet is given one, of
    /// [`crate::limits::LEASE_FIRST_S`]. Answer: [`Reply::Presence`]. Refused: `UserNotFound` (none at all: an inactive user goes
    /// offline, too).
    SetPresence {
        /// Who.
        user: UserId,
        /// True exactly when some session of the user is open on `node`.
        is_online: bool,
        /// Where.
        node: NodeId,
    },
    /// Write. A new active user. Answer: [`Reply::UserAdded`]. Refused: `NameTaken`.
    AddUser {
        /// 1 to 150 characters.
        username: String,
        /// May be empty.
        first_name: String,
        /// May be empty.
        last_name: String,
    },
    /// Write. Makes or renews the lease of a node; with `reap` takes those offline whom only nodes had whose lease ended, at most
    /// [`crate::limits::LEASE_REAP_MAX`] of them. A database that several nodes share goes by its own clock. Answer:
    /// [`Reply::Lease`].
    Lease {
        /// Whose.
        node: NodeId,
        /// How long it lasts from now on, seconds; 0 ends it.
        lease_s: u32,
        /// True exactly when users of nodes that are gone are to be looked for.
        reap: bool,
    },
    /// Write. From now on tokens are refused. Answer: [`Reply::Done`]. Refused: `UserNotFound` (none at all).
    Revoke {
        /// Which.
        revoked: Revoked,
        /// When it may be forgotten: no token that it is about is valid any more.
        until: Timestamp,
    },
    /// Read. Who connects, and whether they may. Answer: [`Reply::Admitted`]. Refused: `UserNotFound` (also: inactive),
    /// `ConversationNotFound` (also: inactive), `NotParticipant` (also: blocked by the other).
    Admit {
        /// Who.
        user: UserId,
        /// The conversation whose socket is opened.
        conversation: Option<ConversationId>,
    },
    /// Read. Whether `user` may speak in `conversation` now. Answer: [`Reply::MaySpeak`]. Refused as [`Request::Append`].
    MaySpeak {
        /// Who.
        user: UserId,
        /// Where.
        conversation: ConversationId,
    },
    /// Read. Which of `users` share an active conversation with `user` and neither blocked the other, by id. Answer: [`Reply::Watched`].
    Watch {
        /// Who watches.
        user: UserId,
        /// Whom; at most [`crate::limits::SUBSCRIBE_USERS_MAX`].
        users: Vec<UserId>,
    },
    /// Read. A part of a conversation's history, oldest first. Answer: [`Reply::History`]. Refused: `ConversationNotFound`
    /// (also: inactive), `NotParticipant` (also: blocked by the other).
    History {
        /// Who asks.
        user: UserId,
        /// Which.
        conversation: ConversationId,
        /// Which part.
        page: Page,
        /// Messages at most.
        limit: usize,
    },
    /// Read. The user's active conversations in which nobody blocks them, newest activity first. Answer: [`Reply::Conversations`]. Refused: `UserNotFound`.
    Conversations {
        /// Who asks.
        user: UserId,
        /// Conversations at most.
        limit: usize,
    },
    /// Read. One conversation. Answer: [`Reply::Conversations`] with one in it. Refused: `ConversationNotFound` (also: inactive),
    /// `NotParticipant` (also: blocked by the other).
    Conversation {
        /// Who asks.
        user: UserId,
        /// Which.
        conversation: ConversationId,
    },
    /// Read. Active matches made at `since` or later, newest first, without blocked users. Answer: [`Reply::Matches`] (its `count` is that of the list).
    /// Refused: `UserNotFound`.
    RecentMatches {
        /// Who asks.
        user: UserId,
        /// From when.
        since: Timestamp,
        /// Matches at most.
        limit: usize,
    },
    /// Read. One page of the active matches, newest first. Answer: [`Reply::Matches`]. Refused: `UserNotFound`.
    Matches {
        /// Who asks.
        user: UserId,
        /// Matches to pass over.
        offset: usize,
        /// Matches at most.
        limit: usize,
    },
    /// Read. A sign of life, for `readyz`. Answer: [`Reply::Done`].
    Ping,
    /// Read. A user by name. Answer: [`Reply::UserAdded`]. Refused: `UserNotFound`.
    FindUser {
        /// Exactly.
        username: String,
    },
    /// Read. Revocations made after the one called `after` that have not ended, by id, at most
    /// [`crate::limits::REVOCATIONS_PAGE`]; none is ever made with an id before one that was read. Answer: [`Reply::Revocations`].
    Revocations {
        /// 0: from the first.
        after: i64,
    },
    /// Read. How conversations stand. Answer: [`Reply::Standings`], one for each that exists, by id.
    Standings {
        /// Which; at most [`crate::limits::BUS_CHECK_MAX`].
        conversations: Vec<ConversationId>,
    },
    /// Read. What was said at `since` or later where some of `users` may read (as [`Request::History`] says): of each such
    /// conversation what follows its newest message that is older than `since`. Answer: [`Reply::Since`].
    Since {
        /// Who asks; at most [`crate::limits::BUS_CHECK_MAX`]. Those who are nobody hear nothing.
        users: Vec<UserId>,
        /// From when.
        since: Timestamp,
        /// Where the last page ended; only what comes behind it is told.
        after: Option<(ConversationId, Seq)>,
        /// Messages at most.
        limit: usize,
    },
    /// Read. Where messages are. Answer: [`Reply::Places`], one for each that is stored, by id.
    Places {
        /// Which; at most [`crate::limits::BUS_CHECK_MAX`].
        messages: Vec<MessageId>,
    },
}

/// Which part of a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    /// The newest.
    Latest,
    /// The newest of those before this place.
    Before(Seq),
    /// The oldest of those after this place.
    After(Seq),
}

impl Request {
    /// Which workers carry this out.
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Append { .. }
            | Self::MarkRead { .. }
            | Self::Like { .. }
            | Self::Unlike { .. }
            | Self::Block { .. }
            | Self::Unblock { .. }
            | Self::Open { .. }
            | Self::Leave { .. }
            | Self::SetPresence { .. }
            | Self::AddUser { .. }
            | Self::Lease { .. }
            | Self::Revoke { .. } => Lane::Write,
            Self::Admit { .. }
            | Self::MaySpeak { .. }
            | Self::Watch { .. }
            | Self::History { .. }
            | Self::Conversations { .. }
            | Self::Conversation { .. }
            | Self::RecentMatches { .. }
            | Self::Matches { .. }
            | Self::Ping
            | Self::FindUser { .. }
            | Self::Revocations { .. }
            | Self::Standings { .. }
            | Self::Since { .. }
            | Self::Places { .. } => Lane::Read,
        }
    }

    /// What decides the write worker: requests of equal keys are carried out in the order they came.
    pub const fn order_key(&self) -> u64 {
        match self {
            Self::Append { conversation, .. }
            | Self::MarkRead { conversation, .. }
            | Self::Leave { conversation, .. } => conversation.0 as u64,
            Self::Like { liker: a, liked: b, .. }
            | Self::Unlike { liker: a, liked: b }
            | Self::Block { blocker: a, blocked: b }
            | Self::Unblock { blocker: a, blocked: b }
            | Self::Open { creator: a, participant: b, .. } => (a.0 ^ b.0) as u64,
            Self::SetPresence { user, .. } => user.0 as u64,
            _ => 0,
        }
    }
}
