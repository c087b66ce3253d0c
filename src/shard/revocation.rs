//! Tokens that are revoked: shard 0 asks the store for news of them, every shard closes the sessions that they opened.

use super::Shard;
use super::core::Core;
use super::inbox::Note;
use super::io::Io;
use super::slot::{Line, Role};
use crate::ids::{ConnKey, ConnRef};
use crate::limits::{DECIDE_MS, REVOCATIONS_PAGE, REVOCATIONS_POLL_MS};
use crate::model::close;
use crate::store::{Outcome, Reply, Request};
use crate::time::Mono;
use crate::worker::{Job, Ticket};

/// When shard 0 asks.
#[derive(Default, Debug)]
pub(super) struct Poll {
    next_at: Mono,
    /// Until when an answer is awaited.
    awaited_until: Mono,
}

impl Poll {
    /// When something is to be done next.
    pub(super) fn next_at(&self) -> Mono {
        self.next_at.max(self.awaited_until)
    }
}

impl Core {
    /// Asks for new revocations where that is due.
    pub(super) fn poll_revocations(&mut self) {
        let now = self.now.mono;
        if now < self.revocations.next_at() {
            return;
        }
        let known = self.node.gate.verifier.revocations();
        let request = Request::Revocations { after: known.newest() };
        known.prune(self.now.wall);
        let from = Some(ConnRef { shard: self.shard, key: ConnKey::NONE });
        let job = Job { request, from, ticket: Ticket::Revocations };
        self.revocations.next_at = now.plus(REVOCATIONS_POLL_MS);
        if self.node.queues.submit(job).is_ok() {
            self.revocations.awaited_until = now.plus(DECIDE_MS);
        }
    }

    /// The store has answered. Where it could not, nothing is lost: the next question is the same.
    pub(super) fn on_revocations(&mut self, outcome: &Outcome) {
        self.revocations.awaited_until = Mono(0);
        let Ok(Reply::Revocations(fresh)) = outcome else { return };
        if fresh.is_empty() {
            return;
        }
        self.node.gate.verifier.revocations().add(fresh, self.now.wall);
        for inbox in &self.node.inboxes {
            inbox.push(Note::Revoked);
        }
        if fresh.len() == REVOCATIONS_PAGE {
            self.revocations.next_at = self.now.mono;
        }
    }

    /// The answer was lost: it is asked again.
    pub(super) fn on_revocations_lost(&mut self) {
        self.revocations.awaited_until = Mono(0);
    }

    /// True exactly when the token by which the session of `line` began, or was last renewed, is revoked.
    fn is_revoked(&self, line: &Line) -> bool {
        let Role::Session(session) = &line.role else { return false };
        self.node.gate.verifier.revocations().revokes(session.user(), session.stamp())
    }
}

impl<I: Io> Shard<I> {
    /// Closes the sessions whose token is revoked. A handshake that waits for the store is judged when it is admitted.
    pub(super) fn close_revoked(&mut self) {
        for index in 0..self.table.extent() {
            let Some((key, slot)) = self.table.at_mut(index) else { continue };
            if self.core.is_revoked(&slot.line) {
                self.with(key, |core, _, slot, _| {
                    core.close(key, &mut slot.line, close::UNAUTHENTICATED, "token revoked");
                });
            }
        }
    }
}
