//! The thread that publishes, on all hosts.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::lane::Lane;
use super::pipeline::What;
use crate::channel::Delivery;
use crate::channel::bus::{Address, Fresh, Outbound, Recipients, Unsendable, outbound, write_gap};
use crate::channel::redis::interest::Reader;
use crate::channel::redis::link::Endpoint;
use crate::channel::redis::{Clock, Hub};
use crate::limits::{BUS_BATCH_MAX, BUS_CLOSE_MS, BUS_GAP_MS, BUS_IDLE_MS, BUS_OUTBOX_MAX};
use crate::metrics::BusDrop;
use crate::time::{Mono, Now, Timestamp};

/// See the module.
pub(super) struct Outward {
    hub: Arc<Hub>,
    lanes: Vec<Lane>,
    /// By host: what its listener has not been told.
    readers: Vec<Reader>,
    /// Where it is told so.
    control: String,
    /// Whose channel all nodes listen to.
    nodes_host: usize,
    /// What was taken from the outbox.
    taken: Vec<Arc<Delivery>>,
    /// Deliveries that came first of all that waited while no host was there: of these, typing and presence are out of date.
    stale: usize,
    /// Before that, nobody is told again that something was lost.
    gap_at: Mono,
    /// Since when, where that was told once.
    told: Option<Timestamp>,
    /// Dropped with this thread: the others end.
    _running: Sender<()>,
}

impl Outward {
    pub(super) fn new(
        hub: &Arc<Hub>,
        clock: &Clock,
        endpoints: Vec<Endpoint>,
        readers: Vec<Reader>,
        control: String,
        running: Sender<()>,
    ) -> Self {
        // With one host, what waits while it is away waits in the outbox.
        let bound = BUS_BATCH_MAX.max(BUS_OUTBOX_MAX / endpoints.len().max(1));
        let lanes = (0..)
            .zip(endpoints)
            .map(|(host, endpoint)| Lane::new(hub, clock, host, endpoint, bound))
            .collect();
        let nodes_host = hub.ring().host(&hub.names().pubsub(&hub.names().sent(Address::Nodes)));
        Self {
            hub: Arc::clone(hub),
            lanes,
            readers,
            control,
            nodes_host,
            taken: Vec::with_capacity(BUS_BATCH_MAX),
            stale: 0,
            gap_at: Mono::default(),
            told: None,
            _running: running,
        }
    }

    /// Publishes until the node closes, and then what waits, for [`BUS_CLOSE_MS`] at most.
    pub(super) fn run(mut self) {
        let mut end = None;
        loop {
            let now = self.hub.now();
            if self.hub.is_closing() {
                if end.is_none() {
                    // They look up, and see that it is over.
                    self.wake_listeners(|_, _| true);
                }
                let end = *end.get_or_insert(now.mono.plus(BUS_CLOSE_MS));
                let is_done = self.hub.outbox().is_empty() && self.lanes.iter().all(Lane::is_empty);
                if is_done || now.mono >= end {
                    return;
                }
            }
            self.connect(now.mono);
            self.take(now.mono, end);
            let mut taken = std::mem::take(&mut self.taken);
            for delivery in taken.drain(..) {
                self.publish(&delivery);
            }
            self.taken = taken;
            self.tell_of_loss(self.hub.now());
            self.wake_listeners(|hub, reader| hub.interest().has_changes(reader));
            self.exchange();
        }
    }

    fn connect(&mut self, now: Mono) {
        let was_up = self.lanes.iter().any(Lane::is_up);
        for lane in &mut self.lanes {
            lane.advance(now);
        }
        if !was_up && self.lanes.iter().any(Lane::is_up) {
            self.stale = self.hub.outbox().len();
        }
    }

    /// Takes what is there; where there is nothing else to do, it waits for something. While no host is there, or one that is
    /// has enough to do, it is left in the outbox.
    fn take(&mut self, now: Mono, end: Option<Mono>) {
        let is_up = self.lanes.iter().any(Lane::is_up);
        let has_room = self.lanes.iter().all(|lane| !lane.is_up() || lane.len() <= BUS_BATCH_MAX);
        let room = if is_up && has_room { BUS_BATCH_MAX } else { 0 };
        let next_at = self.lanes.iter().map(|lane| lane.next_at(now)).chain(end).min();
        let wait_ms = match next_at {
            _ if self.lanes.iter().any(Lane::is_busy) => 0,
            Some(at) => at.since(now).min(BUS_IDLE_MS),
            None => BUS_IDLE_MS,
        };
        self.hub.outbox().take(&mut self.taken, room, Duration::from_millis(wait_ms));
    }

    fn publish(&mut self, delivery: &Delivery) {
        let is_stale = self.stale > 0;
        self.stale = self.stale.saturating_sub(1);
        let is_sheddable = delivery.payload.is_sheddable();
        if is_stale && is_sheddable {
            return self.hub.dropped(BusDrop::NoRoom);
        }
        let what = if is_sheddable {
            What::Sheddable
        } else {
            What::Message(delivery.committed_at.unwrap_or_else(|| self.hub.now().wall))
        };
        match outbound(delivery, self.hub.me()) {
            Ok(message) => self.send(&message, what),
            Err(Unsendable::Local) => {}
            Err(_) => self.hub.dropped(BusDrop::Unsendable),
        }
    }

    fn send(&mut self, message: &Outbound, what: What) {
        let hub = &self.hub;
        let (high, low) = (hub.random(), hub.random());
        let fresh = Fresh {
            unique: [0; 12],
            iv: (u128::from(high) << 64 | u128::from(low)).to_be_bytes(),
            now: hub.now().wall,
        };
        let channel = hub.names().pubsub(&hub.names().sent(message.to));
        let packed = hub.envelope().pack(&message.fields);
        let payload = hub.envelope().seal(&packed, Recipients::Listeners, &fresh);
        self.lanes[hub.ring().host(&channel)].push(&channel, &payload, what);
    }

    /// Tells every node that something was lost, once it can be told, and not again and again while it goes on. It is told
    /// twice: whoever is just connecting again does not hear the first.
    fn tell_of_loss(&mut self, now: Now) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_up()) {
            if let Some(since) = lane.take_lost() {
                self.hub.outbox().lost(since);
            }
        }
        if now.mono < self.gap_at || !self.lanes[self.nodes_host].is_up() {
            return;
        }
        let lost = self.hub.outbox().take_lost();
        let told = std::mem::replace(&mut self.told, lost);
        let Some(since) = lost.into_iter().chain(told).min() else { return };
        self.gap_at = now.mono.plus(BUS_GAP_MS);
        let message = write_gap(since, self.hub.me());
        self.send(&message, What::Gap(since));
    }

    /// Has each listener for which `is_due` look what there is to subscribe to.
    fn wake_listeners(&mut self, is_due: impl Fn(&Hub, Reader) -> bool) {
        for (lane, reader) in self.lanes.iter_mut().zip(&self.readers) {
            if lane.is_up() && is_due(&self.hub, *reader) {
                lane.push(&self.control, b"wake", What::Sheddable);
            }
        }
    }

    /// Reads what every host has answered, then sends it the next part: while they work, this thread maps what comes after it.
    fn exchange(&mut self) {
        for lane in &mut self.lanes {
            lane.read_answers();
        }
        for lane in &mut self.lanes {
            lane.send();
        }
    }
}
