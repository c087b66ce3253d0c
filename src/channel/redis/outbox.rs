//! What waits to be published, from all threads to the one that speaks with Redis. It never makes anybody wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use parking_lot::Mutex;

use crate::channel::{Delivery, Payload};
use crate::limits::{BUS_OUTBOX_BYTES_MAX, BUS_OUTBOX_MAX};
use crate::time::Timestamp;

/// A queue of at most [`BUS_OUTBOX_MAX`] deliveries and [`BUS_OUTBOX_BYTES_MAX`], and since when some were lost for want of room.
///
/// What may be shed, typing and presence, has half of the room: while Redis is away it does not take the place of messages.
#[derive(Debug)]
pub struct Outbox {
    sender: Sender<Arc<Delivery>>,
    receiver: Receiver<Arc<Delivery>>,
    /// Of what is queued, and for a moment of what is not any more or not yet.
    bytes: AtomicUsize,
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
        let (bytes, lost_since) = (AtomicUsize::default(), Mutex::default());
        Self { sender, receiver, bytes, nudge, nudged, lost_since }
    }

    /// Queues `delivery`. False when there was no room: where it may not be shed, it is remembered that something was lost at
    /// `now`.
    pub fn push(&self, delivery: Arc<Delivery>, now: impl FnOnce() -> Timestamp) -> bool {
        let is_sheddable = delivery.payload.is_sheddable();
        if is_sheddable && 2 * self.len() >= self.receiver.capacity().unwrap_or(usize::MAX) {
            return false;
        }
        let size = size(&delivery);
        let is_queued = self.bytes.fetch_add(size, Ordering::Relaxed) + size
            <= BUS_OUTBOX_BYTES_MAX
            && self.sender.try_send(delivery).is_ok();
        if !is_queued {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            if !is_sheddable {
                self.lost(now());
            }
        }
        is_queued
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

    /// Waits `wait` at most for a first delivery or a nudge, then adds what is there to `into`, until that has `max`. Where it
    /// has no room, only a nudge is waited for.
    pub fn take(&self, into: &mut Vec<Arc<Delivery>>, max: usize, wait: Duration) {
        let before = into.len();
        if before >= max {
            _ = self.nudged.recv_timeout(wait);
            return;
        }
        select! {
            recv(self.receiver) -> first => into.extend(first),
            recv(self.nudged) -> _ => {}
            default(wait) => {}
        }
        into.extend(self.receiver.try_iter().take(max - into.len()));
        let taken = into[before..].iter().map(|delivery| size(delivery)).sum();
        self.bytes.fetch_sub(taken, Ordering::Relaxed);
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

fn size(delivery: &Delivery) -> usize {
    match &delivery.payload {
        Payload::Frame { frame, .. } => frame.len(),
        Payload::Control(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{Group, Topic};

    const NOW: Timestamp = Timestamp(7);
    const AT_ONCE: Duration = Duration::ZERO;

    fn delivery(len: usize, sheddable: bool) -> Arc<Delivery> {
        let frame = Bytes::from(vec![b'x'; len]);
        let payload =
            Payload::Frame { frame, topic: Topic::Other, place: None, except: None, sheddable };
        Arc::new(Delivery::new(Group::General, payload))
    }

    #[test]
    fn what_finds_no_room_is_lost_since_the_first_of_it() {
        let outbox = Outbox::of(2);
        assert!(outbox.push(delivery(1, false), || NOW) && outbox.push(delivery(1, false), || NOW));
        assert_eq!(outbox.take_lost(), None);
        assert!(!outbox.push(delivery(1, false), || Timestamp(9)));
        assert!(!outbox.push(delivery(1, false), || Timestamp(8)));
        assert_eq!((outbox.take_lost(), outbox.take_lost()), (Some(Timestamp(8)), None));
    }

    #[test]
    fn what_may_be_shed_takes_half_of_the_room_and_is_not_missed() {
        let outbox = Outbox::of(4);
        assert!(outbox.push(delivery(1, true), || NOW) && outbox.push(delivery(1, true), || NOW));
        assert!(!outbox.push(delivery(1, true), || NOW));
        assert!(outbox.push(delivery(1, false), || NOW) && outbox.push(delivery(1, false), || NOW));
        assert!(!outbox.push(delivery(1, true), || NOW));
        assert_eq!(outbox.take_lost(), None);
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let outbox = Outbox::default();
        let half = BUS_OUTBOX_BYTES_MAX / 2;
        assert!(
            outbox.push(delivery(half, false), || NOW)
                && outbox.push(delivery(half, false), || NOW)
        );
        assert!(!outbox.push(delivery(1, false), || NOW));
        let mut taken = Vec::new();
        outbox.take(&mut taken, 1, AT_ONCE);
        assert!(outbox.push(delivery(half, false), || NOW));
        assert!(!outbox.push(delivery(1, false), || NOW));
        outbox.take(&mut taken, 9, AT_ONCE);
        assert_eq!((taken.len(), outbox.bytes.load(Ordering::Relaxed)), (3, 0));
    }

    #[test]
    fn a_nudge_ends_a_wait_and_without_room_nothing_else_does() {
        let outbox = Outbox::default();
        let mut taken = Vec::new();
        outbox.nudge();
        outbox.take(&mut taken, 1, Duration::from_secs(60));
        assert!(taken.is_empty());
        assert!(outbox.push(delivery(1, false), || NOW));
        outbox.nudge();
        outbox.take(&mut taken, 0, Duration::from_secs(60));
        assert!(taken.is_empty() && outbox.len() == 1);
        outbox.take(&mut taken, 1, Duration::from_secs(60));
        assert!(taken.len() == 1 && outbox.is_empty());
    }
}
