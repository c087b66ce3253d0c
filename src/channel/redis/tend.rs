//! What was missed, from the store: the thread that looks for it, with a connection of its own.
//!
//! - A **gap**: for a while anything may not have come. All that has sessions here is compared with the store.
//! - A group is **heard** some milliseconds after its first session came. What was said meanwhile is looked for.
//! - A **hole**: a message came and one before it did not, and the user's sessions cannot know.
//! - A message is **unplaced**: Django's serializers do not say which place it has.
//!
//! A conversation is told how far it reaches, and its sessions read what they lack; a user's sessions are given what was said in
//! the user's conversations. Doubles are told by their place ([`Sequence`](super::sequence::Sequence)). While the store does not
//! answer, all of it is kept, and asked again.

mod todo;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

use super::Hub;
use super::hub::Origin;
use crate::channel::bus::placed;
use crate::channel::{Delivery, Ledger, Payload, Unavailable};
use crate::limits::{
    BUS_GATHER_MS, BUS_IDLE_MS, BUS_NOTES_MAX, BUS_RETRY_MS_MAX, BUS_RETRY_MS_MIN,
};
use crate::metrics::Counter;
use crate::model::{Control, ConversationId, Group, MessageId, Standing, UserId, close};
use crate::time::{Mono, Timestamp};

use todo::{Todo, Work};

/// Tries to read standings that no order overtakes.
const STANDINGS_TRIES_MAX: u32 = 3;

/// What another thread tells this one.
#[derive(Debug)]
pub(super) enum Note {
    /// `group` is listened to from now on, and has sessions since about `since`.
    Heard { group: Group, since: Timestamp },
    /// Sessions of `user` lack something of `conversation` that was made at `since` or later.
    Hole { user: UserId, conversation: ConversationId, since: Timestamp },
    /// Django published `message` without its place.
    Unplaced { delivery: Arc<Delivery>, message: MessageId },
    /// There is something to look at beside the notes.
    Look,
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Notes {
    sender: Sender<Note>,
    /// Since when something may have been missed.
    gap: Mutex<Option<Timestamp>>,
    /// True exactly when a gap is not mended yet.
    is_behind: AtomicBool,
}

/// The notes, and where they are taken.
pub(super) fn notes() -> (Notes, Receiver<Note>) {
    let (sender, receiver) = bounded(BUS_NOTES_MAX);
    (Notes { sender, gap: Mutex::default(), is_behind: AtomicBool::new(false) }, receiver)
}

impl Notes {
    /// Anything since `since` may have been missed.
    pub(super) fn gap(&self, since: Timestamp) {
        let mut gap = self.gap.lock();
        *gap = Some(gap.map_or(since, |earlier| earlier.min(since)));
        self.is_behind.store(true, Ordering::Release);
        drop(gap);
        // A full queue wakes the thread as well.
        self.push(Note::Look);
    }

    /// Tells the thread. False when it has too much to do already.
    pub(super) fn push(&self, note: Note) -> bool {
        self.sender.try_send(note).is_ok()
    }

    /// Tells the thread; where it has too much to do already, everything is to be compared instead.
    pub(super) fn push_or_gap(&self, note: Note) {
        let since = match note {
            Note::Heard { since, .. } | Note::Hole { since, .. } => Some(since),
            Note::Unplaced { .. } | Note::Look => None,
        };
        if !self.push(note)
            && let Some(since) = since
        {
            self.gap(since);
        }
    }

    /// Wakes the thread, which ends.
    pub(super) fn close(&self) {
        self.push(Note::Look);
    }

    /// Notes that wait.
    pub(super) fn len(&self) -> usize {
        self.sender.len()
    }

    /// True exactly when a gap is not mended yet.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Acquire)
    }

    pub(super) fn take_gap(&self) -> Option<Timestamp> {
        self.gap.lock().take()
    }

    fn caught_up(&self) {
        let gap = self.gap.lock();
        if gap.is_none() {
            self.is_behind.store(false, Ordering::Release);
        }
    }
}

/// The life of the thread.
pub(super) fn run(hub: &Hub, notes: &Receiver<Note>, ledger: Box<dyn Ledger>) {
    let mut tend = Tend::new(hub, ledger);
    while !hub.is_closing() {
        match notes.recv_timeout(tend.wait(hub.now().mono)) {
            Ok(note) => tend.take(note),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        notes.try_iter().take(BUS_NOTES_MAX).for_each(|note| tend.take(note));
        tend.step();
        hub.wake();
    }
}

/// What is to be asked, and whom.
pub(super) struct Tend<'a> {
    hub: &'a Hub,
    ledger: Box<dyn Ledger>,
    todo: Todo,
    /// When the store is asked next; `None` while there is nothing to ask.
    due: Option<Mono>,
    /// How long the store is left alone after a failure, at most; 0 while it answers.
    retry_ms: u64,
}

impl<'a> Tend<'a> {
    pub(super) fn new(hub: &'a Hub, ledger: Box<dyn Ledger>) -> Self {
        Self { hub, ledger, todo: Todo::default(), due: None, retry_ms: 0 }
    }

    /// Keeps what `note` says is to be asked.
    pub(super) fn take(&mut self, note: Note) {
        let is_urgent = matches!(note, Note::Hole { .. } | Note::Unplaced { .. });
        match note {
            Note::Heard { group, since } => self.todo.check(group, since),
            Note::Hole { user, conversation, since } => self.todo.hole(user, conversation, since),
            Note::Unplaced { delivery, .. } if self.retry_ms != 0 => {
                return self.hub.deliver(delivery, true, Origin::Bus);
            }
            Note::Unplaced { delivery, message } => self.todo.unplaced.push((delivery, message)),
            Note::Look => return,
        }
        self.soon(if is_urgent { 0 } else { BUS_GATHER_MS });
    }

    /// Asks the store once, where it is time.
    pub(super) fn step(&mut self) {
        if let Some(since) = self.hub.notes().take_gap() {
            self.hub.groups().into_iter().for_each(|group| self.todo.check(group, since));
            self.soon(BUS_GATHER_MS);
            if self.todo.is_empty() {
                self.hub.notes().caught_up();
            }
        }
        let now = self.hub.now().mono;
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        match self.work() {
            Ok(()) => self.works(),
            Err(unavailable) => self.fails(&unavailable, now),
        }
    }

    /// How long nothing is to be done.
    pub(super) fn wait(&self, now: Mono) -> Duration {
        Duration::from_millis(self.due.map_or(BUS_IDLE_MS, |due| due.since(now)))
    }

    fn soon(&mut self, ms: u64) {
        // While the store fails, its time is kept.
        if self.retry_ms == 0 || self.due.is_none() {
            let at = self.hub.now().mono.plus(ms);
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    fn work(&mut self) -> Result<(), Unavailable> {
        let has_sessions = |group| self.hub.has_sessions(group);
        match self.todo.next(has_sessions) {
            Work::Nothing => Ok(()),
            Work::Holes(holes, since) => self.mend(&holes, since),
            Work::Unplaced(unplaced) => self.place(unplaced),
            Work::Conversations(ids) => self.compare(&ids),
            Work::Users(users, since) => self.catch_up(&users, since),
        }
    }

    fn works(&mut self) {
        if self.retry_ms != 0 {
            tracing::info!("the store answers again: what the bus missed is looked for");
        }
        self.retry_ms = 0;
        self.due = (!self.todo.is_empty()).then(|| self.hub.now().mono);
        if self.todo.is_empty() {
            self.hub.notes().caught_up();
        }
    }

    fn fails(&mut self, unavailable: &Unavailable, now: Mono) {
        if self.retry_ms == 0 {
            let error = &unavailable.0;
            tracing::warn!(error, "the store does not say what the bus missed: it is asked again");
        }
        // They may not wait for a store that is away.
        for (delivery, _) in std::mem::take(&mut self.todo.unplaced) {
            self.hub.deliver(delivery, true, Origin::Bus);
        }
        self.retry_ms = (2 * self.retry_ms).clamp(BUS_RETRY_MS_MIN, BUS_RETRY_MS_MAX);
        // Full jitter: nodes that lost the same store come back at different times.
        self.due = Some(now.plus(1 + self.hub.random() % self.retry_ms));
    }

    /// Sessions of users lack something of conversations, and messages wait for it.
    fn mend(
        &mut self,
        holes: &[(UserId, ConversationId)],
        since: Timestamp,
    ) -> Result<(), Unavailable> {
        let users: HashSet<UserId> = holes.iter().map(|(user, _)| *user).collect();
        let users: Vec<UserId> = users.into_iter().collect();
        let hub = self.hub;
        self.ledger.since(&users, since, &mut |delivery| {
            if let (Group::User(user), Payload::Frame { place: Some((conversation, _)), .. }) =
                (delivery.group, &delivery.payload)
                && holes.contains(&(user, *conversation))
            {
                hub.deliver(Arc::new(delivery), true, Origin::Hole);
            }
        })?;
        for (user, conversation) in holes {
            self.todo.mended(*user, *conversation);
            hub.answered(Group::User(*user), *conversation);
        }
        hub.metrics().add(Counter::BusChecked, users.len() as u64);
        Ok(())
    }

    /// Messages of Django get their places; those that the store does not know, or cannot look up now, go as they came.
    fn place(&mut self, unplaced: Vec<(Arc<Delivery>, MessageId)>) -> Result<(), Unavailable> {
        let mut ids: Vec<MessageId> = unplaced.iter().map(|(_, message)| *message).collect();
        ids.sort_unstable();
        ids.dedup();
        let places = self.ledger.places(&ids);
        let known: HashMap<_, _> =
            places.iter().flatten().map(|(id, at, seq)| (*id, (*at, *seq))).collect();
        for (delivery, message) in unplaced {
            let delivery = match known.get(&message) {
                Some((conversation, seq)) => Arc::new(placed(&delivery, *conversation, *seq)),
                None => delivery,
            };
            self.hub.deliver(delivery, true, Origin::Bus);
        }
        places.map(drop)
    }

    /// Conversations are told how they stand.
    fn compare(&mut self, ids: &[ConversationId]) -> Result<(), Unavailable> {
        let mut tries = 1;
        let standings = loop {
            let orders = self.hub.orders();
            let standings = self.ledger.standings(ids)?;
            // An order that came meanwhile is newer than what was read.
            if self.hub.orders() == orders || tries == STANDINGS_TRIES_MAX {
                break standings;
            }
            tries += 1;
        };
        let mut repaired = 0;
        for standing in &standings {
            repaired += u64::from(self.tell(standing));
        }
        self.todo.compared(ids);
        self.hub.metrics().add(Counter::BusChecked, ids.len() as u64);
        self.hub.metrics().add(Counter::BusRepaired, repaired);
        Ok(())
    }

    /// True exactly when the conversation had missed a message.
    fn tell(&self, standing: &Standing) -> bool {
        let Standing { conversation, last_seq, is_active, ref blocks } = *standing;
        if !is_active {
            self.hub.order(conversation, Control::Disband { code: close::NOT_FOUND });
            return false;
        }
        let is_repaired = self.hub.reach(conversation, last_seq);
        self.hub.order(conversation, Control::Silence(!blocks.is_empty()));
        for (_, blocked) in blocks {
            let evict = Control::Evict { user: *blocked, code: close::FORBIDDEN };
            self.hub.order(conversation, evict);
        }
        is_repaired
    }

    /// Users are given what was said in their conversations.
    fn catch_up(&mut self, users: &[UserId], since: Timestamp) -> Result<(), Unavailable> {
        let newest = self.hub.sequence().newest_ticket();
        let asked: HashSet<UserId> = users.iter().copied().collect();
        let is_heard = |user: &UserId| self.hub.interest().is_heard(Group::User(*user));
        let heard: Vec<UserId> = users.iter().copied().filter(is_heard).collect();
        let (hub, todo) = (self.hub, &self.todo);
        self.ledger.since(users, since, &mut |delivery| {
            let Group::User(user) = delivery.group else { return };
            // Another user of the conversation may have been asked for an earlier time.
            let is_early = |at: Timestamp| todo.since(user).is_some_and(|since| at < since);
            if asked.contains(&user) && !delivery.committed_at.is_some_and(is_early) {
                hub.deliver(Arc::new(delivery), true, Origin::Store);
            }
        })?;
        self.todo.caught_up(users);
        self.hub.caught_up(users, &heard, newest);
        self.hub.metrics().add(Counter::BusChecked, users.len() as u64);
        Ok(())
    }
}
