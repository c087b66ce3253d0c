//! The thread that publishes, on all hosts.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::cluster::Topology;
use super::hosts::{Hosts, Listener};
use super::pipeline::What;
use crate::channel::Delivery;
use crate::channel::bus::{Fresh, Outbound, Recipients, Unsendable, outbound, write_gap};
use crate::channel::redis::link::Endpoint;
use crate::channel::redis::{Clock, Hub};
use crate::limits::{BUS_BATCH_MAX, BUS_CLOSE_MS, BUS_GAP_MS, BUS_IDLE_MS};
use crate::metrics::BusDrop;
use crate::time::{Mono, Now, Timestamp};

/// See the module.
pub(super) struct Outward {
    hub: Arc<Hub>,
    hosts: Hosts,
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
    /// Over hosts that know nothing of each other.
    pub(super) fn over_ring(
        hub: &Arc<Hub>,
        clock: &Clock,
        endpoints: Vec<Endpoint>,
        listeners: Vec<Listener>,
        running: Sender<()>,
    ) -> Self {
        Self::new(hub, Hosts::of_ring(hub, clock, endpoints, listeners), running)
    }

    /// Over a cluster.
    pub(super) fn over_cluster(
        hub: &Arc<Hub>,
        clock: &Clock,
        topology: &Arc<Topology>,
        control: &str,
        running: Sender<()>,
    ) -> Self {
        Self::new(hub, Hosts::of_cluster(hub, clock, topology, control), running)
    }

    fn new(hub: &Arc<Hub>, hosts: Hosts, running: Sender<()>) -> Self {
        Self {
            hub: Arc::clone(hub),
            hosts,
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
                    self.hosts.wake_listeners(|_, _| true);
                }
                let end = *end.get_or_insert(now.mono.plus(BUS_CLOSE_MS));
                let is_done = self.hub.outbox().is_empty() && self.hosts.is_empty();
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
            self.hosts.wake_listeners(|hub, reader| hub.interest().has_changes(reader));
            // While they work, this thread maps what comes after it.
            self.hosts.exchange();
        }
    }

    fn connect(&mut self, now: Mono) {
        let was_up = self.hosts.is_up();
        self.hosts.advance(now);
        if !was_up && self.hosts.is_up() {
            self.stale = self.hub.outbox().len();
        }
    }

    /// Takes what is there; where there is nothing else to do, it waits for something. While no host is there, or one that is
    /// has enough to do, it is left in the outbox.
    fn take(&mut self, now: Mono, end: Option<Mono>) {
        let has_room = self.hosts.is_up() && self.hosts.has_room();
        let room = if has_room { BUS_BATCH_MAX } else { 0 };
        let next_at = self.hosts.next_at(now).into_iter().chain(end).min();
        let wait_ms = match next_at {
            _ if self.hosts.is_busy() => 0,
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
        self.hosts.push(&channel, &payload, what);
    }

    /// Tells every node that something was lost, once it can be told, and not again and again while it goes on. It is told
    /// twice: whoever is just connecting again does not hear the first.
    fn tell_of_loss(&mut self, now: Now) {
        if let Some(since) = self.hosts.take_lost() {
            self.hub.outbox().lost(since);
        }
        if now.mono < self.gap_at || !self.hosts.can_tell_nodes() {
            return;
        }
        let lost = self.hub.outbox().take_lost();
        let told = std::mem::replace(&mut self.told, lost);
        let Some(since) = lost.into_iter().chain(told).min() else { return };
        self.gap_at = now.mono.plus(BUS_GAP_MS);
        let message = write_gap(since, self.hub.me());
        self.send(&message, What::Gap(since));
    }
}
