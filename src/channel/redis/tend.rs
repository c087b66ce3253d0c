//! What was missed, from the store.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::Hub;
use crate::channel::Ledger;
use crate::limits::{BUS_GATHER_MS, BUS_NOTES_MAX};
use crate::model::Group;
use crate::time::Timestamp;

/// What another thread tells this one.
#[derive(Debug)]
pub(super) enum Note {
    /// `group`, which has sessions since `since`, is listened to from now on.
    Heard { group: Group, since: Timestamp },
    /// The end.
    Close,
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Notes {
    sender: Sender<Note>,
    /// Since when something may have been missed.
    gap: Mutex<Option<Timestamp>>,
}

/// The notes, and where they are taken.
pub(super) fn notes() -> (Notes, Receiver<Note>) {
    let (sender, receiver) = bounded(BUS_NOTES_MAX);
    (Notes { sender, gap: Mutex::default() }, receiver)
}

impl Notes {
    /// Anything since `since` may have been missed.
    pub(super) fn gap(&self, since: Timestamp) {
        let mut gap = self.gap.lock();
        *gap = Some(gap.map_or(since, |earlier| earlier.min(since)));
    }

    /// Tells the thread. False when it has too much to do already.
    pub(super) fn push(&self, note: Note) -> bool {
        self.sender.try_send(note).is_ok()
    }

    /// Notes that wait.
    pub(super) fn len(&self) -> usize {
        self.sender.len()
    }
}

/// The life of the thread.
pub(super) fn run(hub: &Hub, notes: &Receiver<Note>, _ledger: Box<dyn Ledger>) {
    while !hub.is_closing() {
        drop(notes.recv_timeout(Duration::from_millis(BUS_GATHER_MS)));
        hub.expire_interest(hub.now());
    }
}
