//! What the rules want done, as data. The shard carries effects out, in order, after the rules have returned.

use bytes::Bytes;

use crate::channel::Delivery;
use crate::model::{ConversationId, ErrorCode, Group, Seq};
use crate::store::{Outcome, Reply, Request};

/// One thing to do for a session.
#[derive(Debug)]
pub enum Effect {
    /// Send this whole server frame to the session.
    Send(Bytes),
    /// Send this `error` frame to the session, and count what was refused.
    Complain {
        /// What it says.
        code: ErrorCode,
        /// The whole server frame.
        frame: Bytes,
    },
    /// Close the session: the close frame after what is queued.
    Close {
        /// RFC 6455 §7.4 or [`crate::model::close`].
        code: u16,
        /// For people; at most 123 bytes.
        reason: &'static str,
    },
    /// Ask the store, and come back to [`complete`](super::complete()) with the outcome, or to [`busy`](super::busy) where the
    /// queue is full.
    ///
    /// With [`Then::Resume`] the shard may wait until the session's outbound queue is short: so a slow peer is sent its
    /// past at its own pace instead of being closed for not keeping up with it.
    Store {
        /// What is asked.
        request: Request,
        /// What to do with the answer.
        then: Then,
    },
    /// Tell a group; typing and presence, which no store decides the order of.
    Publish(Delivery),
    /// The session hears this group from now on.
    Join(Group),
    /// The session no longer hears this group.
    Leave(Group),
}

/// What a session meant to do with a reply. It travels with the request, so that nothing waits in a table; if the session
/// has ended meanwhile, it is dropped.
#[derive(Clone, PartialEq, Debug)]
pub enum Then {
    /// Answer a `message`.
    Message {
        /// The command's `ref`.
        reference: Option<Box<str>>,
        /// The message's `client_id`, for an error.
        client_id: Option<Box<str>>,
        /// True exactly when the session is in the group that hears the message: it wants no word of it besides.
        is_heard: bool,
    },
    /// Answer a command that has nothing to tell: `ack` or `error`.
    Ack {
        /// The command's `ref`.
        reference: Option<Box<str>>,
    },
    /// Publish `typing` from a chat socket, once it is known that the user may speak there.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Began or ended.
        is_typing: bool,
        /// The command's `ref`.
        reference: Option<Box<str>>,
    },
    /// Answer a `user_status` subscription.
    Watch {
        /// The command's `ref`.
        reference: Option<Box<str>>,
    },
    /// Deliver a page of what a session missed, and go on from there.
    Resume(Box<CatchUp>),
}

impl Then {
    /// True exactly when `outcome` has nothing to say to the session: [`complete`](super::complete()) would do nothing.
    pub fn is_settled_by(&self, outcome: &Outcome) -> bool {
        matches!(
            (self, outcome),
            (
                Self::Message { reference: None, is_heard: true, .. },
                Ok(Reply::Appended { duplicate: false, .. })
            )
        )
    }
}

/// One conversation of a session that is being caught up, and how far that got.
#[derive(Clone, PartialEq, Debug)]
pub struct CatchUp {
    /// Where.
    pub conversation: ConversationId,
    /// Everything up to this place has been delivered, or the client says so.
    pub after: Seq,
    /// Messages delivered by earlier pages.
    pub replayed: usize,
    /// The newest place held back when this page was asked for: the page must reach it.
    pub owed: Seq,
    /// True exactly when the client asked and hears `resumed` at the end; a repair is silent.
    pub announce: bool,
    /// The command's `ref`.
    pub reference: Option<Box<str>>,
    /// True exactly when this is the command's last conversation: then `ack` follows.
    pub last: bool,
    /// True exactly when another conversation of the same command failed: then no `ack` follows.
    pub failed: bool,
}
