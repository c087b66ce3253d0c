//! Requests carried out one by one, and what a batch of them locks.

use super::session::Session;
use super::{access, conversations, history, leases, likes, matches, missed, people, revocations};
use crate::store::{Failure, Outcome, Reply, Request, StoreError, StoreErrorKind};
use crate::time::Timestamp;

/// Carries out one request of a batch, in its transaction and under its locks. A refusal wrote nothing: all checks come before
/// the first write.
///
/// Messages, receipts and presence are carried out set by set, elsewhere.
pub(super) fn carry_out(session: &mut Session, request: &Request, now: Timestamp) -> Outcome {
    match request {
        Request::Like { liker, liked, welcome } => {
            likes::like(session, *liker, *liked, welcome, now)
        }
        Request::Unlike { liker, liked } => likes::unlike(session, *liker, *liked),
        Request::Block { blocker, blocked } => likes::block(session, *blocker, *blocked),
        Request::Unblock { blocker, blocked } => likes::unblock(session, *blocker, *blocked),
        Request::Open { creator, participant, content, client_id } => conversations::open(
            session,
            (*creator, *participant),
            content,
            client_id.as_deref(),
            now,
        ),
        Request::Leave { conversation, user } => {
            conversations::leave(session, *conversation, *user)
        }
        Request::AddUser { username, first_name, last_name } => {
            people::add_user(session, username, first_name, last_name, now)
        }
        Request::Lease { node, lease_s, reap } => {
            leases::lease(session, *node, *lease_s, *reap, now)
        }
        Request::Revoke { revoked, until } => revocations::revoke(session, revoked, *until, now),
        read => answer(session, read, now),
    }
}

/// Answers one request of [`crate::store::Lane::Read`], outside of a transaction: where several statements answer it, what
/// the first saw bounds the others.
pub(super) fn answer(session: &mut Session, request: &Request, now: Timestamp) -> Outcome {
    match request {
        Request::Admit { user, conversation } => people::admit(session, *user, *conversation),
        Request::MaySpeak { user, conversation } => {
            let place = access::place(session, *conversation, *user)?;
            place.speakable()?;
            Ok(Reply::MaySpeak(place.participants()))
        }
        Request::Watch { user, users } => people::watch(session, *user, users),
        Request::History { user, conversation, page, limit } => {
            history::history(session, *user, *conversation, *page, *limit)
        }
        Request::Conversations { user, limit } => conversations::list(session, *user, *limit),
        Request::Conversation { user, conversation } => {
            conversations::one(session, *user, *conversation)
        }
        Request::RecentMatches { user, since, limit } => {
            matches::recent(session, *user, *since, *limit)
        }
        Request::Matches { user, offset, limit } => matches::page(session, *user, *offset, *limit),
        Request::Ping => {
            session.script("SELECT 1")?;
            Ok(Reply::Done)
        }
        Request::FindUser { username } => people::find(session, username),
        Request::Revocations { after } => revocations::after(session, *after, now),
        Request::Standings { conversations } => missed::standings(session, conversations),
        Request::Since { users, since, after, limit } => {
            missed::since(session, users, *since, *after, *limit)
        }
        Request::Places { messages } => missed::places(session, messages),
        Request::Append { .. }
        | Request::MarkRead { .. }
        | Request::Like { .. }
        | Request::Unlike { .. }
        | Request::Block { .. }
        | Request::Unblock { .. }
        | Request::Open { .. }
        | Request::Leave { .. }
        | Request::SetPresence { .. }
        | Request::AddUser { .. }
        | Request::Lease { .. }
        | Request::Revoke { .. } => Err(Failure::Store(StoreError {
            kind: StoreErrorKind::Internal,
            detail: "a write was asked of a reader".to_owned(),
        })),
    }
}
