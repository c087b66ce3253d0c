//! A shard's inbox: many senders, one receiver, one wake-up for many notes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
        wake,
        lost: Mutex::default(),
        has_lost: AtomicBool::new(false),
        metrics,
    });
    (Inbox { shared: Arc::clone(&shared) }, Notes { receiver, shared })
}

impl Inbox {
    /// Pushes a note; a full inbox makes the caller wait, [`INBOX_PATIENCE_MS`] at most. False when the note was dropped.
    pub fn push_patiently(&self, note: Note) -> bool {
        let note = match self.shared.sender.try_send(note) {
            Ok(()) => {
                self.wake();
                return true;
            }
            Err(TrySendError::Full(note)) => note,
            Err(TrySendError::Disconnected(_)) => return false,
        };
        self.wake();
        match self.shared.sender.send_timeout(note, Duration::from_millis(INBOX_PATIENCE_MS)) {
            Ok(()) => {
                self.wake();
                true
            }
            Err(SendTimeoutError::Disconnected(_)) => false,
            Err(SendTimeoutError::Timeout(note)) => {
                self.lose(&note);
                false
            }
        }
    }

    /// Pushes a note unless the inbox is full. False when the note was dropped.
    pub fn push(&self, note: Note) -> bool {
        match self.shared.sender.try_send(note) {
            Ok(()) => {
                self.wake();
                true
            }
            Err(TrySendError::Full(note)) => {
                self.lose(&note);
                false
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Notes that wait.
    pub fn len(&self) -> usize {
        self.shared.sender.len()
    }

    /// True exactly when no note waits.
    pub fn is_empty(&self) -> bool {
        self.shared.sender.is_empty()
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
        if patient {
            self.push_patiently(Note::Delivery(delivery));
        } else {
            self.push(Note::Delivery(delivery));
        }
    }
}

impl Notes {
    /// Says that what follows is a take: senders wake again from here on.
    pub fn begin(&self) {
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
        notes.begin();
        assert!(inbox.push(silence(6)));
        assert_eq!(bell.0.load(Ordering::SeqCst), 2);
        assert_eq!(std::iter::from_fn(|| notes.take()).count(), 6);
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
