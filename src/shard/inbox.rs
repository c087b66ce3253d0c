//! A shard's inbox: many senders, one receiver, one wake-up for many notes.
//!
//! A wake-up costs more than most notes do, and on few cores it takes the core from the thread that sends them. So a sender
//! [queues](Inbox::queue) what a batch brings and [rings](Inbox::ring) once; and a shard that does not sleep is not woken: it looks before
//! it sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use parking_lot::Mutex;

use super::latch::Latch;
use crate::channel::{Delivery, Sink};
use crate::ids::{ConnKey, ConnRef, UserId};
use crate::limits::{INBOX_NOTES_MAX, INBOX_PATIENCE_MS, LOST_MAX};
use crate::metrics::{Block, Counter};
use crate::model::{Group, close};
use crate::worker::{Answered, Ticket};

/// Notes that may be queued before the shard is woken without a ring, so that it begins while a long batch is still published.
pub const UNRUNG_MAX: usize = 64;

/// What another thread tells a shard.
#[derive(Debug)]
pub enum Note {
    /// For the sessions of a group. Shared by all shards that have some.
    Delivery(Arc<Delivery>),
    /// The answer to a request of one connection.
    Answered(Box<Answered>),
    /// Close this connection with this code.
    Close {
        /// Which; on this shard.
        conn: ConnRef,
        /// Close code.
        code: u16,
        /// For people.
        reason: &'static str,
    },
    /// Tokens were revoked: close the sessions that they opened.
    Revoked,
    /// Take nothing new and move every client away within this many milliseconds.
    Drain {
        /// From now.
        within_ms: u64,
    },
}

/// Gets a blocked shard out of its poll. `mio::Waker` in production, a flag in the simulation.
pub trait Wake: Send + Sync {
    /// Makes the shard's current or next poll return at once.
    fn wake(&self);
}

/// The sending end, shared by all threads.
#[derive(Clone)]
pub struct Inbox {
    shared: Arc<Shared>,
}

/// The receiving end, the shard's own.
pub struct Notes {
    receiver: Receiver<Note>,
    shared: Arc<Shared>,
}

struct Shared {
    sender: Sender<Note>,
    latch: Latch,
    /// Notes queued since the last ring, by anybody.
    unrung: AtomicUsize,
    wake: Box<dyn Wake>,
    lost: Mutex<Lost>,
    /// True exactly when something was lost since the last look.
    has_lost: AtomicBool,
    metrics: Arc<Block>,
}

/// What notes that found no room were about.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Groups of deliveries.
    pub groups: Vec<Group>,
    /// Connections whose answer, or order to close, was lost, and the code that they are closed with.
    pub conns: Vec<(ConnKey, u16)>,
    /// Users of whom it is not known what the store was told.
    pub users: Vec<UserId>,
    /// True exactly when an answer to the shard's own question was lost, or word of revoked tokens.
    pub is_own: bool,
    /// True exactly when more was lost than is worth a list.
    pub is_everything: bool,
}

/// An inbox of at most [`INBOX_NOTES_MAX`] notes whose receiver is woken by `wake`.
pub fn inbox(wake: Box<dyn Wake>, metrics: Arc<Block>) -> (Inbox, Notes) {
    inbox_of(INBOX_NOTES_MAX, wake, metrics)
}

/// The same with another bound, for the simulation.
pub fn inbox_of(bound: usize, wake: Box<dyn Wake>, metrics: Arc<Block>) -> (Inbox, Notes) {
    let (sender, receiver) = bounded(bound);
    let shared = Arc::new(Shared {
        sender,
        latch: Latch::new(),
        unrung: AtomicUsize::new(0),
        wake,
        lost: Mutex::default(),
        has_lost: AtomicBool::new(false),
        metrics,
    });
    (Inbox { shared: Arc::clone(&shared) }, Notes { receiver, shared })
}

impl Inbox {
    /// Queues a note, of which a shard that sleeps hears by [`Inbox::ring`], or when [`UNRUNG_MAX`] have come since. A full inbox
    /// makes a `patient` caller wait, [`INBOX_PATIENCE_MS`] at most. False when the note was dropped.
    pub fn queue(&self, note: Note, patient: bool) -> bool {
        match self.shared.sender.try_send(note) {
            Ok(()) => {
                self.queued();
                true
            }
            Err(TrySendError::Full(note)) if patient => self.wait_for_room(note),
            Err(TrySendError::Full(note)) => {
                self.lose(&note);
                false
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Wakes the shard, where it sleeps, for what was queued since the last ring, by anybody: to be called before the caller
    /// sleeps. Costs a load where nothing was.
    pub fn ring(&self) {
        let unrung = &self.shared.unrung;
        if unrung.load(Ordering::Relaxed) > 0 && unrung.swap(0, Ordering::AcqRel) > 0 {
            self.wake();
        }
    }

    /// Pushes a note unless the inbox is full, and rings. False when the note was dropped.
    pub fn push(&self, note: Note) -> bool {
        let is_queued = self.queue(note, false);
        self.ring();
        is_queued
    }

    /// The same; a full inbox makes the caller wait, [`INBOX_PATIENCE_MS`] at most.
    pub fn push_patiently(&self, note: Note) -> bool {
        let is_queued = self.queue(note, true);
        self.ring();
        is_queued
    }

    /// Notes that wait.
    pub fn len(&self) -> usize {
        self.shared.sender.len()
    }

    /// True exactly when no note waits.
    pub fn is_empty(&self) -> bool {
        self.shared.sender.is_empty()
    }

    fn wait_for_room(&self, note: Note) -> bool {
        // Else nobody would make room.
        self.wake();
        match self.shared.sender.send_timeout(note, Duration::from_millis(INBOX_PATIENCE_MS)) {
            Ok(()) => {
                self.queued();
                true
            }
            Err(SendTimeoutError::Disconnected(_)) => false,
            Err(SendTimeoutError::Timeout(note)) => {
                self.lose(&note);
                false
            }
        }
    }

    fn queued(&self) {
        if self.shared.unrung.fetch_add(1, Ordering::Release) + 1 >= UNRUNG_MAX {
            self.ring();
        }
    }

    fn wake(&self) {
        if self.shared.latch.arm() {
            self.shared.wake.wake();
        }
    }

    /// Typing and presence may be lost; of anything else the receiver must know, before it takes what the same thread pushes
    /// next.
    fn lose(&self, note: &Note) {
        self.shared.metrics.add(Counter::InboxDropped, 1);
        let mut lost = self.shared.lost.lock();
        lost.note(note);
        self.shared.has_lost.store(*lost != Lost::default(), Ordering::Release);
        drop(lost);
        self.wake();
    }
}

impl Sink for Inbox {
    fn accept(&self, delivery: Arc<Delivery>, patient: bool) {
        self.queue(Note::Delivery(delivery), patient);
    }

    fn ring(&self) {
        Self::ring(self);
    }
}

impl Notes {
    /// The shard is awake: it looks at the notes before it sleeps, and need not be woken until then.
    pub fn awake(&self) {
        self.shared.latch.arm();
    }

    /// The shard is about to sleep: senders wake it from here on. Whether it may is to be asked after this, by
    /// [`Notes::has_more`].
    pub fn doze(&self) {
        self.shared.latch.disarm();
    }

    /// The next note; `None` when none waits.
    pub fn take(&self) -> Option<Note> {
        self.receiver.try_recv().ok()
    }

    /// True exactly when a note waits.
    pub fn has_more(&self) -> bool {
        !self.receiver.is_empty()
    }

    /// What was lost since the last call, `None` for nothing. To be asked after each take and before what was taken is looked
    /// at: so nobody is given what came after a loss without it. Costs one load where nothing was.
    pub fn take_lost(&self) -> Option<Lost> {
        if !self.shared.has_lost.load(Ordering::Acquire) {
            return None;
        }
        let mut lost = self.shared.lost.lock();
        self.shared.has_lost.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut *lost))
    }
}

impl Lost {
    fn note(&mut self, note: &Note) {
        match note {
            Note::Delivery(delivery) if delivery.payload.is_sheddable() => {}
            Note::Delivery(delivery) if self.groups.contains(&delivery.group) => {}
            Note::Delivery(delivery) => self.groups.push(delivery.group),
            Note::Answered(answered) => match answered.ticket {
                Ticket::Presence { user, .. } => self.users.push(user),
                Ticket::Lease | Ticket::Revocations => self.is_own = true,
                _ => self.conns.push((answered.to.key, close::SLOW_CONSUMER)),
            },
            Note::Close { conn, code, .. } => self.conns.push((conn.key, *code)),
            Note::Revoked => self.is_own = true,
            // Whoever asks for it looks whether it was pushed.
            Note::Drain { .. } => {}
        }
        if self.groups.len() + self.conns.len() + self.users.len() > LOST_MAX {
            *self = Self { is_everything: true, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Payload;
    use crate::ids::ConversationId;
    use crate::metrics::Registry;
    use crate::model::Control;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Clone, Default)]
    struct Bell(Arc<AtomicUsize>);

    impl Wake for Bell {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn silence(id: i64) -> Note {
        let group = Group::Conversation(ConversationId(id));
        let payload = Payload::Control(Control::Silence(true));
        Note::Delivery(Arc::new(Delivery::new(group, payload)))
    }

    /// The ring of an inbox is there from the start, full or not.
    #[test]
    fn a_note_is_small() {
        assert!(size_of::<Note>() <= 48, "{}", size_of::<Note>());
    }

    #[test]
    fn many_notes_ring_once() {
        let bell = Bell::default();
        let (inbox, notes) = inbox_of(8, Box::new(bell.clone()), Registry::new().block());
        for id in 0..5 {
            assert!(inbox.push(silence(id)));
        }
        assert_eq!(bell.0.load(Ordering::SeqCst), 1);
        notes.doze();
        assert!(inbox.push(silence(6)));
        assert_eq!(bell.0.load(Ordering::SeqCst), 2);
        assert_eq!(std::iter::from_fn(|| notes.take()).count(), 6);
    }

    #[test]
    fn a_queued_note_rings_when_it_is_told_to_or_when_many_are_queued() {
        let bell = Bell::default();
        let (inbox, notes) = inbox_of(256, Box::new(bell.clone()), Registry::new().block());
        let rings = || bell.0.load(Ordering::SeqCst);
        inbox.ring();
        assert!(inbox.queue(silence(1), true) && inbox.queue(silence(2), false));
        assert_eq!(rings(), 0);
        inbox.ring();
        inbox.ring();
        assert_eq!(rings(), 1);
        notes.doze();
        for id in 0..UNRUNG_MAX as i64 {
            assert_eq!(rings(), 1);
            assert!(inbox.queue(silence(id), true));
        }
        assert_eq!(rings(), 2);
    }

    #[test]
    fn a_shard_that_is_awake_is_not_rung() {
        let bell = Bell::default();
        let (inbox, notes) = inbox_of(8, Box::new(bell.clone()), Registry::new().block());
        notes.awake();
        assert!(inbox.push(silence(1)) && notes.has_more());
        assert_eq!(bell.0.load(Ordering::SeqCst), 0);
        notes.doze();
        assert!(notes.has_more(), "it looks before it sleeps");
        assert!(inbox.push(silence(2)));
        assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn who_waits_for_room_has_rung() {
        let bell = Bell::default();
        let (inbox, notes) = inbox_of(1, Box::new(bell.clone()), Registry::new().block());
        assert!(inbox.queue(silence(1), true));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| inbox.queue(silence(2), true));
            while bell.0.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert!(notes.take().is_some());
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn a_full_inbox_remembers_whose_events_it_lost() {
        let (inbox, notes) = inbox_of(1, Box::new(Bell::default()), Registry::new().block());
        assert!(inbox.push(silence(1)));
        assert!(!inbox.push(silence(2)) && !inbox.push(silence(2)));
        let groups = vec![Group::Conversation(ConversationId(2))];
        assert_eq!(notes.take_lost(), Some(Lost { groups, ..Lost::default() }));
        assert_eq!(notes.take_lost(), None);
        for id in 0..=LOST_MAX as i64 {
            assert!(!inbox.push(silence(id)));
        }
        assert_eq!(notes.take_lost(), Some(Lost { is_everything: true, ..Lost::default() }));
    }
}
