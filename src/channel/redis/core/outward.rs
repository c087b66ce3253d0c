//! The thread that sends, and keeps this node a member of its groups, on all hosts.

use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::deposit::{Deposit, Item, Readers, Sealed};
use super::lane::Lane;
use crate::channel::bus::{
    Address, Fresh, NodeId, Outbound, Recipients, Uniques, Unsendable, channel_name, outbound,
    write_gap,
};
use crate::channel::redis::link::Endpoint;
use crate::channel::{Delivery, Payload};
use crate::limits::{
    BUS_BATCH_BYTES_MAX, BUS_BATCH_MAX, BUS_CLOSE_MS, BUS_GAP_MS, BUS_IDLE_MS, BUS_MARGIN_MS,
    BUS_OWED_MS,
};
use crate::metrics::BusDrop;
use crate::time::{Mono, Now, Timestamp};

/// See the module.
pub(super) struct Outward {
    core: Arc<Core>,
    lanes: Vec<Lane>,
    uniques: Uniques,
    /// What was taken from the outbox.
    taken: Vec<Arc<Delivery>>,
    /// Deliveries that came first of all that waited while no host was there: of these, typing and presence are out of date.
    stale: usize,
    /// Before that, nobody is told again that something was lost.
    gap_at: Mono,
    /// Before that, nodes whose queues were full are not told again.
    owed_at: Mono,
    /// When all is to be done, once the node closes.
    end: Option<Mono>,
}

impl Outward {
    pub(super) fn new(core: &Arc<Core>, endpoints: Vec<Endpoint>) -> Self {
        let now = core.hub.now();
        let me = core.hub.me().0.to_be_bytes();
        let lanes = (0..).zip(endpoints);
        Self {
            core: Arc::clone(core),
            lanes: lanes
                .map(|(host, endpoint)| Lane::new(core, host, endpoint, now.mono))
                .collect(),
            uniques: Uniques::new(now.wall.0 as u64, [me[0], me[1], me[2], me[3]]),
            taken: Vec::with_capacity(BUS_BATCH_MAX),
            stale: 0,
            gap_at: Mono::default(),
            owed_at: Mono::default(),
            end: None,
        }
    }

    /// Sends until the node closes, and then what waits; at last leaves all groups. From the close on, that takes
    /// [`BUS_CLOSE_MS`] at most, and an answer's time.
    pub(super) fn run(mut self) {
        let end = loop {
            let now = self.core.hub.now();
            if self.core.hub.is_closing() {
                let end = *self.end.get_or_insert(now.mono.plus(BUS_CLOSE_MS));
                if self.is_done() || now.mono >= before_leaving(end) {
                    break end;
                }
            }
            self.tend(now);
            self.take(now.mono);
            for delivery in std::mem::take(&mut self.taken) {
                self.publish(&delivery);
            }
            let now = self.core.hub.now();
            self.tell_of_loss(now);
            self.tell_owed(now);
            self.flush();
        };
        for host in 0..self.lanes.len() {
            let queue = (host == self.core.queue_host).then_some(&*self.core.queue_key);
            self.lanes[host].leave_all(queue, end);
        }
    }

    fn is_done(&self) -> bool {
        self.core.hub.outbox().is_empty() && self.lanes.iter().all(|lane| lane.waiting() == 0)
    }

    fn is_any_up(&self) -> bool {
        self.lanes.iter().any(Lane::is_up)
    }

    fn tend(&mut self, now: Now) {
        let was_up = self.is_any_up();
        for lane in &mut self.lanes {
            lane.tend(now);
        }
        if !was_up && self.is_any_up() {
            self.stale = self.core.hub.outbox().len();
        }
    }

    /// Takes what is there, or waits for something; while no host is there, it is left in the outbox.
    fn take(&mut self, now: Mono) {
        let owed_at = (!self.core.owed.lock().is_empty()).then_some(self.owed_at);
        let end = self.end.map(before_leaving);
        let next_at =
            self.lanes.iter().map(|lane| lane.next_at(now)).chain(end).chain(owed_at).min();
        let wait_ms = next_at.map_or(BUS_IDLE_MS, |at| at.since(now)).min(BUS_IDLE_MS);
        let room = if self.is_any_up() { BUS_BATCH_MAX } else { 0 };
        self.core.hub.outbox().take(&mut self.taken, room, Duration::from_millis(wait_ms));
    }

    fn publish(&mut self, delivery: &Delivery) {
        let hub = &self.core.hub;
        let is_stale = self.stale > 0;
        self.stale = self.stale.saturating_sub(1);
        let is_sheddable = delivery.payload.is_sheddable();
        if is_stale && is_sheddable {
            return hub.dropped(BusDrop::NoRoom);
        }
        let committed_at = || delivery.committed_at.unwrap_or_else(|| hub.now().wall);
        let missed_at = (!is_sheddable).then(committed_at);
        let size = match &delivery.payload {
            Payload::Frame { frame, .. } => frame.len(),
            Payload::Control(_) => 0,
        };
        match outbound(delivery, hub.me()) {
            Ok(message) => self.send(&message, size, missed_at),
            Err(Unsendable::Local) => {}
            Err(_) => hub.dropped(BusDrop::Unsendable),
        }
    }

    fn send(&mut self, message: &Outbound, size: usize, missed_at: Option<Timestamp>) {
        let hub = &self.core.hub;
        let name = hub.names().sent(message.to);
        let packed = hub.envelope().pack(&message.fields);
        let host = hub.ring().host(&name);
        self.lanes[host].take(Item { name, packed, size, missed_at });
    }

    /// Tells every node that something was lost, once it can be told, and not again and again while it goes on.
    fn tell_of_loss(&mut self, now: Now) {
        let hub = Arc::clone(&self.core.hub);
        let host = hub.ring().host(&hub.names().sent(Address::Nodes));
        if now.mono < self.gap_at || !self.lanes[host].is_up() {
            return;
        }
        let Some(since) = hub.outbox().take_lost() else { return };
        self.gap_at = now.mono.plus(BUS_GAP_MS);
        let message = write_gap(since.plus_ms(-BUS_MARGIN_MS), hub.me());
        self.send(&message, 0, Some(since));
    }

    /// Tells nodes that had no room for a message to look into the store, as soon as they have room for that.
    fn tell_owed(&mut self, now: Now) {
        if now.mono < self.owed_at {
            return;
        }
        let owed = self.core.owed.lock().take();
        if owed.is_empty() {
            return;
        }
        self.owed_at = now.mono.plus(BUS_OWED_MS);
        let core = Arc::clone(&self.core);
        for (node, since) in owed {
            let message = write_gap(since.plus_ms(-BUS_MARGIN_MS), core.hub.me());
            let name = core.hub.names().sent(message.to);
            let packed = core.hub.envelope().pack(&message.fields);
            let item = Item { name, packed, size: 0, missed_at: Some(since) };
            self.seal(&item, &readers_of(node, &item.name));
        }
    }

    /// Sends what waits on every host that is there.
    fn flush(&mut self) {
        for host in 0..self.lanes.len() {
            while self.lanes[host].is_up() && self.lanes[host].has_items() {
                let asked = self.lanes[host].ask(self.core.hub.now());
                for (item, place) in &asked.items {
                    for readers in &asked.groups[*place] {
                        self.seal(item, readers);
                    }
                }
                self.core.hub.published(asked.items.len());
            }
        }
        self.lanes.iter_mut().for_each(Lane::put);
    }

    /// Puts `item` on its way into the queue of `readers`.
    fn seal(&mut self, item: &Item, readers: &Readers) {
        let hub = &self.core.hub;
        let (high, low) = (hub.random(), hub.random());
        let fresh = Fresh {
            unique: self.uniques.take(),
            iv: (u128::from(high) << 64 | u128::from(low)).to_be_bytes(),
            now: hub.now().wall,
        };
        let channels: Vec<&str> = readers.channels.iter().map(String::as_str).collect();
        let bytes = hub.envelope().seal(&item.packed, Recipients::Channels(&channels), &fresh);
        let lane = &mut self.lanes[hub.ring().host(&readers.queue)];
        lane.take_deposit(Deposit {
            key: hub.names().queue_key(&readers.queue),
            node: readers.node,
            messages: vec![Sealed { bytes, missed_at: item.missed_at }],
        });
        if lane.deposit_bytes() >= BUS_BATCH_BYTES_MAX {
            lane.put();
        }
    }
}

/// When sending ends, and what is left of the time until `end` is for leaving.
const fn before_leaving(end: Mono) -> Mono {
    Mono(end.0.saturating_sub(BUS_CLOSE_MS / 2))
}

/// `node` alone, as a member of the group called `name`.
fn readers_of(node: NodeId, name: &str) -> Readers {
    let channel = channel_name(node, name);
    Readers { queue: channel_name(node, ""), node: Some(node), channels: vec![channel] }
}
