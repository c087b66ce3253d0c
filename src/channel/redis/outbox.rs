//! What waits to be published, from all threads to the one that speaks with Redis. It never makes anybody wait.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use parking_lot::Mutex;

use crate::channel::Delivery;
use crate::limits::BUS_OUTBOX_MAX;
use crate::time::Timestamp;

/// A queue of at most [`BUS_OUTBOX_MAX`] deliveries, and since when some were lost for want of room.
#[derive(Debug)]
pub struct Outbox {
    sender: Sender<Arc<Delivery>>,
    receiver: Receiver<Arc<Delivery>>,
    /// Room for one: a second nudge says nothing new.
    nudge: Sender<()>,
    nudged: Receiver<()>,
    lost_since: Mutex<Option<Timestamp>>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::of(BUS_OUTBOX_MAX)
    }
}

impl Outbox {
    /// An outbox of this bound.
    pub fn of(bound: usize) -> Self {
        let (sender, receiver) = bounded(bound);
        let (nudge, nudged) = bounded(1);
        Self { sender, receiver, nudge, nudged, lost_since: Mutex::default() }
    }

    /// Queues `delivery`. False when there was no room: where it may not be shed, it is remembered that something was lost at
    /// `now`.
    pub fn push(&self, delivery: Arc<Delivery>, now: impl FnOnce() -> Timestamp) -> bool {
        let Err(refused) = self.sender.try_send(delivery) else { return true };
        if !refused.into_inner().payload.is_sheddable() {
            self.lost(now());
        }
        false
    }

    /// Something that was to be published at `since` or later was not.
    pub fn lost(&self, since: Timestamp) {
        let mut lost = self.lost_since.lock();
        *lost = Some(lost.map_or(since, |earlier| earlier.min(since)));
    }

    /// Since when something was lost, and forgets it; `None` for nothing.
    pub fn take_lost(&self) -> Option<Timestamp> {
        self.lost_since.lock().take()
    }

    /// Makes the current or next [`Outbox::take`] return.
    pub fn nudge(&self) {
        _ = self.nudge.try_send(());
    }

    /// Waits `wait` at most for a first delivery or a nudge, then adds what is there to `into`, up to `max`.
    pub fn take(&self, into: &mut Vec<Arc<Delivery>>, max: usize, wait: Duration) {
        select! {
            recv(self.receiver) -> first => into.extend(first),
            recv(self.nudged) -> _ => {}
            default(wait) => {}
        }
        let room = max.saturating_sub(into.len());
        into.extend(self.receiver.try_iter().take(room));
    }

    /// Deliveries that wait.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// True exactly when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}
