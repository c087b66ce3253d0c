//! What the threads of the bus share, and where a delivery goes from whoever has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::memmem::Finder;

use super::condition::Condition;
use super::interest::Interest;
use super::outbox::Outbox;
use super::tend::{self, Note, Notes};
use super::{Clock, Random, Settings, Surroundings, Task};
use crate::channel::bus::{
    Address, Dropped, Envelope, Fields, Flaw, Names, Received, Ring, inbound, read_gap,
};
use crate::channel::registry::Registry;
use crate::channel::{Delivery, Sink};
use crate::ids::{NodeId, ShardId};
use crate::metrics::{Block, BusDrop, BusSource, Counter, Direction, Gauge, Queue};
use crate::model::Group;
use crate::time::{Now, Timestamp};

/// One direction of one host, by its number in the settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// What is received from.
    In(usize),
    /// What is sent to.
    Out(usize),
}

/// See the module.
pub struct Hub {
    me: NodeId,
    /// Finds `me` as it is written in messages.
    own: Finder<'static>,
    names: Names,
    envelope: Envelope,
    ring: Ring,
    clock: Clock,
    random: Random,
    shards: Vec<Box<dyn Sink>>,
    registry: Registry,
    interest: Interest,
    outbox: Outbox,
    notes: Notes,
    condition: Condition,
    metrics: Arc<Block>,
    is_closing: AtomicBool,
}

impl Hub {
    /// A hub, and the thread that asks the store.
    pub(super) fn new(settings: &Settings, around: Surroundings) -> (Arc<Self>, Task) {
        let Surroundings { me, shards, clock, random, metrics, ledger } = around;
        let (notes, noted) = tend::notes();
        let keys = settings.keys.iter().map(|key| &*key.0);
        let hub = Arc::new(Self {
            me,
            own: Finder::new(me.to_string().as_bytes()).into_owned(),
            names: Names::new(&settings.prefix, settings.conversation),
            envelope: Envelope::new(settings.layer(), settings.format, keys),
            ring: Ring::new(settings.hosts.len()),
            clock,
            random,
            shards,
            registry: Registry::default(),
            interest: Interest::default(),
            outbox: Outbox::default(),
            notes,
            condition: Condition::new(settings.hosts.iter().map(|host| host.redacted()).collect()),
            metrics: metrics.block(),
            is_closing: AtomicBool::new(false),
        });
        let depth = Arc::clone(&hub);
        metrics.sample_gauge(Gauge::QueueDepth(Queue::Bus), move || depth.outbox.len() as u64);
        let depth = Arc::clone(&hub);
        metrics.sample_gauge(Gauge::QueueDepth(Queue::BusChecks), move || depth.notes.len() as u64);
        let tend = {
            let hub = Arc::clone(&hub);
            let run = Box::new(move || tend::run(&hub, &noted, ledger()));
            Task { name: "bus-tend".to_owned(), run }
        };
        (hub, tend)
    }

    /// This life of this node.
    pub const fn me(&self) -> NodeId {
        self.me
    }

    /// What is called how.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Between messages and bytes.
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Which host a name belongs to.
    pub const fn ring(&self) -> Ring {
        self.ring
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        (self.clock)()
    }

    /// Random bits.
    pub fn random(&self) -> u64 {
        (self.random)()
    }

    /// What is to be listened to.
    pub const fn interest(&self) -> &Interest {
        &self.interest
    }

    /// What waits to be published.
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// True exactly when the threads are to end: what waits is sent first.
    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// True exactly when `bytes` are a message of this node that can be known without reading it: one that is not encrypted.
    /// Counts it.
    pub fn is_own(&self, bytes: &[u8]) -> bool {
        let is_own = self.own.find(bytes).is_some();
        if is_own {
            self.dropped(BusDrop::Own);
        }
        is_own
    }

    /// A message came by `address`: its sessions here get it.
    pub fn receive(&self, address: Address, fields: Fields) {
        if address == Address::Nodes
            && let Some((node, since)) = read_gap(&fields)
        {
            if node != self.me {
                self.gap(since);
            }
            return;
        }
        match inbound(address, fields, self.me) {
            Ok(Received { delivery, is_of_a_node, .. }) => {
                let source = if is_of_a_node { BusSource::Node } else { BusSource::Django };
                self.metrics.add(Counter::BusReceived(source), 1);
                self.deliver(&Arc::new(delivery), true);
            }
            Err(dropped) => self.dropped(drop_of(dropped)),
        }
    }

    /// What came was no message.
    pub fn flawed(&self, flaw: &Flaw) {
        self.dropped(match flaw {
            Flaw::TooLong(_) => BusDrop::TooLong,
            Flaw::Token(_) => BusDrop::Token,
            _ => BusDrop::Malformed,
        });
    }

    /// A message went to nobody.
    pub fn dropped(&self, reason: BusDrop) {
        self.metrics.add(Counter::BusDropped(reason), 1);
    }

    /// So many messages were sent.
    pub fn published(&self, messages: usize) {
        self.metrics.add(Counter::BusPublished, messages as u64);
    }

    /// One thread listens to `now` groups and channels, where it listened to `before`.
    pub fn listens(&self, before: usize, now: usize) {
        self.metrics.raise(Gauge::BusSubscriptions, now as u64);
        self.metrics.lower(Gauge::BusSubscriptions, before as u64);
    }

    /// This side of the bus answers.
    pub fn is_up(&self, side: Side) {
        if self.condition.is_up(side) {
            self.count_up();
        }
    }

    /// This side of the bus does not answer; `why` is for people.
    pub fn is_down(&self, side: Side, why: &str) {
        if self.condition.is_down(side, why) {
            self.count_up();
        }
    }

    /// Anything that was sent since `since` may not have come: all that has sessions here is compared with the store.
    pub fn gap(&self, since: Timestamp) {
        self.metrics.add(Counter::BusGaps, 1);
        self.notes.gap(since);
    }

    /// `groups` are listened to from now on: what was missed since each got its first session is looked for.
    pub fn heard(&self, groups: &[Group]) {
        for group in groups {
            if let Some(since) = self.interest.since(*group) {
                self.notes.push(Note::Heard { group: *group, since });
            }
        }
    }

    pub(super) fn publish(&self, delivery: Delivery, patient: bool) {
        let delivery = Arc::new(delivery);
        self.deliver(&delivery, patient);
        if !self.outbox.push(delivery, self.now().wall) {
            self.dropped(BusDrop::NoRoom);
        }
    }

    pub(super) fn join(&self, group: Group, shard: ShardId) {
        if self.registry.join(group, shard) && self.interest.want(group, self.now()) {
            self.outbox.nudge();
        }
    }

    pub(super) fn leave(&self, group: Group, shard: ShardId) {
        if self.registry.leave(group, shard) {
            self.interest.release(group, self.now().mono);
        }
    }

    /// Gives up the groups that nobody came back to.
    pub(super) fn expire_interest(&self, now: Now) {
        let has_session = |group| self.registry.shards(group).next().is_some();
        if self.interest.expire(now.mono, has_session) {
            self.outbox.nudge();
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.condition.trouble()
    }

    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.outbox.nudge();
        self.notes.push(Note::Close);
    }

    pub(super) fn metrics(&self) -> &Block {
        &self.metrics
    }

    fn deliver(&self, delivery: &Arc<Delivery>, patient: bool) {
        if delivery.group == Group::General {
            for shard in &self.shards {
                shard.accept(Arc::clone(delivery), patient);
            }
            return;
        }
        for shard in self.registry.shards(delivery.group) {
            self.shards[usize::from(shard.0)].accept(Arc::clone(delivery), patient);
        }
    }

    fn count_up(&self) {
        let (incoming, outgoing) = self.condition.up();
        self.metrics.set(Gauge::BusUp(Direction::In), incoming);
        self.metrics.set(Gauge::BusUp(Direction::Out), outgoing);
    }
}

impl Side {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::In(_) => "in",
            Self::Out(_) => "out",
        }
    }
}

const fn drop_of(dropped: Dropped) -> BusDrop {
    match dropped {
        Dropped::Own => BusDrop::Own,
        Dropped::NoType => BusDrop::NoType,
        Dropped::PrivateType => BusDrop::PrivateType,
        Dropped::NoField(_) => BusDrop::NoField,
        Dropped::TooLong(_) => BusDrop::TooLong,
        Dropped::Misplaced => BusDrop::Misplaced,
    }
}
