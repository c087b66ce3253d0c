//! What became of a batch whose commit ended without an answer: its messages may be stored, and others must hear of them.
//!
//! The worker asks the store at once, and while the store does not answer, for [`SETTLE_MS`] again. Then the askers are told
//! that it is not known (their repeats are safe), and the messages are kept: before its next commit, and every
//! [`SETTLE_AGAIN_MS`] where there is none, the worker asks again, and publishes what it finds. Until it knows, or gives the
//! batch up, it commits nothing: so what comes later in a conversation is not published earlier, a repeat is never stored before
//! its original is known, and no second batch has to be kept.

use std::collections::BTreeSet;
use std::time::Duration;

use super::queue::{Nothing, Receiver};
use super::{Job, Worker, shielded};
use crate::channel::{Delivery, Payload};
use crate::limits::{
    SETTLE_AGAIN_MS, SETTLE_MS, SETTLE_PAUSE_MAX_MS, SETTLE_PAUSE_MS, SETTLE_TRIES_MAX,
};
use crate::metrics::{Counter, Settlement};
use crate::model::{Control, ConversationId, Group, close};
use crate::store::{Failure, Outcome, Reply, Request, StoreError, StoreErrorKind};
use crate::time::{Mono, Timestamp};

/// The messages of a batch of which it is not known whether they are stored.
pub(super) struct Unsettled {
    /// Appends alone; one batch at most.
    requests: Vec<Request>,
    at: Timestamp,
    /// Questions that failed though the database was there.
    tries: u32,
}

impl Worker {
    /// True exactly when a batch waits to be settled: [`Worker::step`] is due from time to time though the queue is empty.
    pub fn is_unsettled(&self) -> bool {
        self.unsettled.is_some()
    }

    /// Waits for a job, and settles meanwhile. `None` when every sender of `queue` is gone and the queue is empty.
    pub(super) fn first(&mut self, queue: &Receiver<Job>) -> Option<Job> {
        while self.is_unsettled() {
            match queue.recv_within(Duration::from_millis(SETTLE_AGAIN_MS)) {
                Ok(job) => return Some(job),
                Err(Nothing::Yet) => drop(self.settle_kept()),
                Err(Nothing::More) => return None,
            }
        }
        queue.recv()
    }

    /// What became of `requests`, whose commit at `at` ended with `unknown`: what was stored is answered as the commit would
    /// have been.
    pub(super) fn settle(
        &mut self,
        requests: &[Request],
        at: Timestamp,
        unknown: StoreError,
    ) -> Result<Vec<Outcome>, StoreError> {
        if !requests.iter().any(is_append) {
            return Err(unknown);
        }
        let mut patience = self.patience();
        loop {
            if let Ok(found) = self.find(requests, at) {
                let failure = || Failure::Store(unknown.clone());
                return Ok(found.into_iter().map(|reply| reply.ok_or_else(failure)).collect());
            }
            if !self.wait(&mut patience) {
                let requests = requests.iter().filter(|request| is_append(request)).cloned();
                self.unsettled = Some(Unsettled { requests: requests.collect(), at, tries: 0 });
                return Err(unknown);
            }
        }
    }

    /// Asks once about what is kept and publishes what is found; its askers were told already.
    ///
    /// # Errors
    ///
    /// It is still not known: nothing may be committed.
    pub(super) fn settle_kept(&mut self) -> Result<(), StoreError> {
        let Some(mut kept) = self.unsettled.take() else { return Ok(()) };
        match self.find(&kept.requests, kept.at) {
            Ok(found) => {
                let now = (self.around.clock)().wall;
                for reply in found.iter().flatten() {
                    self.publish(reply, None, now);
                }
                (self.around.ring)();
                Ok(())
            }
            Err(error) => {
                let is_away =
                    matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::Unknown);
                kept.tries += u32::from(!is_away);
                if kept.tries >= SETTLE_TRIES_MAX {
                    self.give_up(&kept);
                    return Ok(());
                }
                self.unsettled = Some(kept);
                Err(error)
            }
        }
    }

    /// Asks about what is kept for as long as a batch is settled, then gives it up: the end of the worker.
    pub(super) fn settle_patiently(&mut self) {
        let mut patience = self.patience();
        while self.settle_kept().is_err() {
            if !self.wait(&mut patience)
                && let Some(kept) = self.unsettled.take()
            {
                self.give_up(&kept);
            }
        }
    }

    /// What the store says of a batch.
    fn find(
        &mut self,
        requests: &[Request],
        at: Timestamp,
    ) -> Result<Vec<Option<Reply>>, StoreError> {
        let found = shielded(|| self.store.settle(requests, at));
        match &found {
            Ok(found) => {
                debug_assert_eq!(found.len(), requests.len(), "one answer a request");
                let asked = requests.iter().filter(|request| is_append(request)).count();
                let is_stored =
                    |reply: &&Reply| matches!(reply, Reply::Appended { duplicate: false, .. });
                let stored = found.iter().flatten().filter(is_stored).count();
                self.count(Settlement::Stored, stored);
                self.count(Settlement::NotStored, asked.saturating_sub(stored));
                (self.around.report)(None);
            }
            Err(error) => self.failed(error, requests),
        }
        found
    }

    /// Whoever is in these conversations comes back and reads what there is. Chat sockets cannot be found without the store: their
    /// clients see the gap when the next message comes.
    fn give_up(&mut self, kept: &Unsettled) {
        self.count(Settlement::GivenUp, kept.requests.len());
        let now = (self.around.clock)().wall;
        let conversations: BTreeSet<ConversationId> = kept
            .requests
            .iter()
            .filter_map(|request| match request {
                Request::Append { conversation, .. } => Some(*conversation),
                _ => None,
            })
            .collect();
        for conversation in conversations {
            let payload = Payload::Control(Control::Disband { code: close::SLOW_CONSUMER });
            let mut delivery = Delivery::new(Group::Conversation(conversation), payload);
            delivery.committed_at = Some(now);
            self.around.channel.publish(delivery, true);
        }
        (self.around.ring)();
    }

    fn count(&self, outcome: Settlement, times: usize) {
        self.around.metrics.add(Counter::Settled(outcome), times as u64);
    }

    fn patience(&mut self) -> Patience {
        let since = (self.around.clock)().mono;
        Patience { since, waited_ms: 0, next_ms: SETTLE_PAUSE_MS }
    }

    /// Waits before the next question. False when there was time for no other.
    fn wait(&mut self, patience: &mut Patience) -> bool {
        let elapsed_ms = (self.around.clock)().mono.since(patience.since);
        if elapsed_ms.max(patience.waited_ms) >= SETTLE_MS {
            return false;
        }
        (self.around.pause)(patience.next_ms);
        patience.waited_ms += patience.next_ms;
        patience.next_ms = (2 * patience.next_ms).min(SETTLE_PAUSE_MAX_MS);
        true
    }
}

/// How long it was waited, by the clock and by the waits themselves.
struct Patience {
    since: Mono,
    waited_ms: u64,
    next_ms: u64,
}

const fn is_append(request: &Request) -> bool {
    matches!(request, Request::Append { .. })
}
