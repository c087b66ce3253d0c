//! What is meant to be done with the store's outcome. It travels with the request, so that no table of waiting requests is kept.

use super::allowance::Quota;
use super::paging::{HistoryPage, MatchesPage};
use super::{Ctx, conversations, failure, matching, messages};
use crate::protocol::http::Response;
use crate::store::{Reply, Request};

/// The rest of a request whose answer the store knows. Small, since it waits in queues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Then {
    pub(super) about: About,
    /// The request's `Origin`; phones send none.
    pub(super) origin: Option<Box<str>>,
    /// What is left of the user's allowance, on limited routes.
    pub(super) quota: Option<Quota>,
}

const _: () = assert!(size_of::<Then>() <= 64);

/// A question to the store, and what it is about.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) about: About,
}

/// Which request is to be answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum About {
    Conversations,
    Conversation,
    Open,
    Leave,
    History(HistoryPage),
    Send,
    MarkRead,
    RecentMatches,
    Matches(MatchesPage),
    Like,
    Unlike,
    Block,
    Unblock,
}

impl About {
    /// The answer that `reply` gives.
    pub(super) fn answer(self, reply: Reply, ctx: &Ctx<'_>) -> Response {
        match (self, reply) {
            (Self::Conversations, Reply::Conversations(list)) => conversations::listed(&list, ctx),
            (Self::Conversation, Reply::Conversations(list)) => conversations::shown(&list, ctx),
            (Self::Open, Reply::Opened(opened)) => conversations::opened(&opened, ctx),
            (Self::Leave, Reply::Left { .. }) => conversations::left(),
            (Self::History(page), Reply::History { messages, last_seq }) => {
                messages::told(page, &messages, last_seq, ctx)
            }
            (Self::Send, Reply::Appended { message, .. }) => messages::sent(&message, ctx),
            (Self::MarkRead, Reply::MarkedRead { conversation, message, newly, .. }) => {
                messages::marked_read(conversation, message, newly)
            }
            (Self::RecentMatches, Reply::Matches(page)) => matching::recent_listed(&page, ctx),
            (Self::Matches(at), Reply::Matches(page)) => matching::listed(&at, &page, ctx),
            (Self::Like, Reply::Liked { liked, made, .. }) => {
                matching::liked(&liked, made.as_deref(), ctx)
            }
            (Self::Unlike, Reply::Done) => matching::done("The like was taken back."),
            (Self::Block, Reply::Blocked { .. }) => matching::done("The user is blocked."),
            (Self::Unblock, Reply::Unblocked { .. }) => {
                matching::done("The user is no longer blocked.")
            }
            _ => failure::internal(),
        }
    }

    /// The field of the body that names a user, where there is one: then an unknown user is the one that it names.
    pub(super) fn named_user(&self) -> Option<&'static str> {
        match self {
            Self::Open => Some("participant_id"),
            Self::Like | Self::Unlike | Self::Block | Self::Unblock => Some("user_id"),
            _ => None,
        }
    }
}
