//! What the threads of the bus share, and where a delivery goes from whoever has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::Receiver;
use memchr::memmem::Finder;

use super::condition::Condition;
use super::doubt::Doubt;
use super::interest::Interest;
use super::outbox::Outbox;
use super::sequence::{Arrival, Ask, Item, Sequence, Shards, Source, Verdict};
use super::tend::{self, Note, Notes};
use super::waits::{self, Bell};
use super::{Clock, OpenLedger, Random, Settings, Surroundings, Task};
use crate::channel::bus::{
    Address, Dropped, Envelope, Fields, Flaw, Names, Received, Ring, inbound, read_gap,
};
use crate::channel::{Delivery, Payload, Sink};
use crate::ids::{NodeId, ShardId};
use crate::limits::{BUS_GAP_MS, BUS_HOLE_MS, BUS_MARGIN_MS};
use crate::metrics::{Block, BusDrop, BusSource, BusTurn, Counter, Direction, Gauge, Queue};
use crate::model::{Control, ConversationId, Group, Seq};
use crate::time::{Mono, Now, Timestamp};

/// One direction of one host, by its number in the settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// What is received from.
    In(usize),
    /// What is sent to.
    Out(usize),
}

/// Where a delivery comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A worker or a shard of this node.
    Here,
    /// The bus.
    Bus,
    /// The store, with all that may have been missed from a moment on.
    Store,
    /// The store, with what is missing between messages that came.
    Hole,
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
    sequence: Sequence,
    interest: Interest,
    outbox: Outbox,
    notes: Notes,
    bell: Bell,
    condition: Condition,
    metrics: Arc<Block>,
    doubt: Doubt,
    /// Orders to conversations so far, whoever gave them.
    orders: AtomicU64,
    is_closing: AtomicBool,
}

impl Hub {
    /// A hub, and its own threads: the one that ends waits and the one that asks the store.
    pub(super) fn new(settings: &Settings, around: Surroundings) -> (Arc<Self>, [Task; 2]) {
        let (hub, noted, ledger) = Self::parts(settings, around);
        let waits = {
            let hub = Arc::clone(&hub);
            Task { name: "bus-waits".to_owned(), run: Box::new(move || waits::run(&hub)) }
        };
        let tend = {
            let hub = Arc::clone(&hub);
            let run = Box::new(move || tend::run(&hub, &noted, ledger()));
            Task { name: "bus-tend".to_owned(), run }
        };
        (hub, [waits, tend])
    }

    /// A hub, and what its threads need: what they are told, and the store.
    pub(super) fn parts(
        settings: &Settings,
        around: Surroundings,
    ) -> (Arc<Self>, Receiver<Note>, OpenLedger) {
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
            sequence: Sequence::default(),
            interest: Interest::default(),
            outbox: Outbox::default(),
            notes,
            bell: Bell::default(),
            condition: Condition::new(settings.shown()),
            metrics: metrics.block(),
            doubt: Doubt::default(),
            orders: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
        });
        let depth = Arc::clone(&hub);
        metrics.sample_gauge(Gauge::QueueDepth(Queue::Bus), move || depth.outbox.len() as u64);
        let depth = Arc::clone(&hub);
        metrics.sample_gauge(Gauge::QueueDepth(Queue::BusChecks), move || depth.notes.len() as u64);
        (hub, noted, ledger)
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

    /// A message came by `address`: its sessions here get it. Shards that sleep hear of it by [`Hub::wake`].
    pub fn receive(&self, address: Address, fields: Fields) {
        if address == Address::Nodes
            && let Some((node, since)) = read_gap(&fields)
        {
            if node != self.me {
                self.gap(since.plus_ms(-BUS_MARGIN_MS));
            }
            return;
        }
        match inbound(address, fields, self.me) {
            Ok(Received { delivery, unplaced, is_of_a_node }) => {
                let source = if is_of_a_node { BusSource::Node } else { BusSource::Django };
                self.metrics.add(Counter::BusReceived(source), 1);
                let delivery = Arc::new(delivery);
                let message = unplaced.filter(|_| self.has_sessions(delivery.group));
                if let Some((_, message)) = message
                    && self.notes.push(Note::Unplaced { delivery: Arc::clone(&delivery), message })
                {
                    return;
                }
                self.deliver(delivery, true, Origin::Bus);
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
            self.doubt.raise(self.now().wall.plus_ms(-(BUS_GAP_MS as i64)));
        }
    }

    /// Anything that was sent at `since` or later may not have come: all that has sessions here is compared with the store.
    pub fn gap(&self, since: Timestamp) {
        self.metrics.add(Counter::BusGaps, 1);
        // Before the doubt, which may end as soon as no gap is known.
        self.notes.gap(since);
        self.doubt.raise(since);
    }

    /// `groups` are listened to from now on: what was missed since each got its first session is looked for.
    pub fn heard(&self, groups: &[Group]) {
        for group in groups {
            let Some(since) = self.interest.heard(*group) else { continue };
            self.notes
                .push_or_gap(Note::Heard { group: *group, since: since.plus_ms(-BUS_MARGIN_MS) });
        }
    }

    pub(super) fn publish(&self, delivery: Delivery, patient: bool) {
        let delivery = Arc::new(delivery);
        self.deliver(Arc::clone(&delivery), patient, Origin::Here);
        if !self.outbox.push(delivery, || self.now().wall) {
            self.dropped(BusDrop::NoRoom);
        }
    }

    pub(super) fn join(&self, group: Group, shard: ShardId) {
        if self.sequence.join(group, shard) && self.interest.want(group, self.now()) {
            self.outbox.nudge();
        }
    }

    pub(super) fn leave(&self, group: Group, shard: ShardId) {
        if self.sequence.leave(group, shard) {
            self.interest.release(group, self.now().mono);
        }
    }

    /// Gives up the groups that nobody came back to.
    pub(super) fn expire_interest(&self, now: Mono) {
        if self.interest.expire(now, |group| self.has_sessions(group)) {
            self.outbox.nudge();
        }
    }

    /// Ends the waits that are over. When the next one is, where there is one.
    pub(super) fn expire_waits(&self, now: Mono) -> Option<Mono> {
        let out = &mut |shards, item| self.hand_out(shards, item);
        let is_unsure = |group| self.unsure_since(group).is_some();
        let ask = &mut |group, asked| match asked {
            Ask::Between(conversation) => self.is_missing(group, conversation),
            Ask::Before => {
                let since = self.unsure_since(group).unwrap_or_else(|| self.now().wall);
                self.notes.push_or_gap(Note::Heard { group, since });
            }
        };
        let given_up = self.sequence.expire(now, is_unsure, out, ask);
        self.wake();
        self.metrics.add(Counter::BusTurns(BusTurn::Hole), given_up);
        self.sequence.next_due()
    }

    /// Forgets the conversations in which nothing came for that long.
    pub(super) fn forget(&self, now: Mono, idle_ms: u64) {
        self.sequence.forget(now, (idle_ms / 1_000) as u32);
    }

    /// True exactly when the bus works and nothing is known to have been missed.
    pub(super) fn is_whole(&self) -> bool {
        self.condition.trouble().is_none() && !self.notes.is_behind()
    }

    /// Tells the sessions of a conversation to read what they lack. True exactly when that is known to be something.
    pub(super) fn reach(&self, conversation: ConversationId, last_seq: Seq) -> bool {
        let group = Group::Conversation(conversation);
        let out = &mut |shards, item| self.hand_out(shards, item);
        let before = self.sequence.reach(group, conversation, last_seq, out);
        if before.unwrap_or(Seq(0)) < last_seq {
            self.order(conversation, Control::Reaches(last_seq));
        }
        before.is_some_and(|before| before < last_seq)
    }

    /// The store was asked for what a user's sessions lack of a conversation.
    pub(super) fn answered(&self, group: Group, conversation: ConversationId) {
        let out = &mut |shards, item| self.hand_out(shards, item);
        if self.sequence.answered(group, conversation, self.now().mono, out) {
            self.metrics.add(Counter::BusTurns(BusTurn::Hole), 1);
        }
    }

    /// Gives the sessions of a conversation on this node an order.
    pub(super) fn order(&self, conversation: ConversationId, control: Control) {
        let payload = Payload::Control(control);
        let delivery = Delivery::new(Group::Conversation(conversation), payload);
        self.deliver(Arc::new(delivery), true, Origin::Store);
    }

    /// Grows with every order to a conversation that did not come from the store.
    pub(super) fn orders(&self) -> u64 {
        self.orders.load(Ordering::Acquire)
    }

    /// The groups that have sessions here.
    pub(super) fn groups(&self) -> Vec<Group> {
        self.sequence.groups()
    }

    /// True exactly when `group` has sessions here.
    pub(super) fn has_sessions(&self, group: Group) -> bool {
        self.sequence.shards(group) != Shards::NONE
    }

    pub(super) const fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    pub(super) const fn doubt(&self) -> &Doubt {
        &self.doubt
    }

    pub(super) const fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(super) const fn notes(&self) -> &Notes {
        &self.notes
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.condition.trouble()
    }

    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.outbox.nudge();
        self.bell.ring();
        self.notes.close();
    }

    pub(super) fn metrics(&self) -> &Block {
        &self.metrics
    }

    /// Since when something may have been missed; forgets it.
    #[cfg(test)]
    pub(super) fn take_gap(&self) -> Option<Timestamp> {
        self.notes.take_gap()
    }

    /// To the sessions of this node; a message of a conversation in its turn.
    pub(super) fn deliver(&self, delivery: Arc<Delivery>, patient: bool, origin: Origin) {
        let group = delivery.group;
        let place = match delivery.payload {
            Payload::Frame { place, .. } => place.filter(|_| group != Group::General),
            Payload::Control(_) => None,
        };
        let item = Item { delivery, patient };
        let Some((conversation, seq)) = place else {
            self.count_order(&item.delivery, origin);
            return self.hand_out(self.sequence.shards(group), item);
        };
        let source = match origin {
            Origin::Here | Origin::Bus => Source::Live,
            Origin::Store => Source::Gap,
            Origin::Hole => Source::Hole,
        };
        let is_mended = source != Source::Live;
        let arrival = Arrival { conversation, seq, source };
        let out = &mut |shards, item| self.hand_out(shards, item);
        let verdict = self.sequence.admit(item, arrival, self.now().mono, out);
        if is_mended && matches!(verdict, Verdict::Next | Verdict::Late | Verdict::Held(_)) {
            self.metrics.add(Counter::BusRepaired, 1);
        }
        let turn = match verdict {
            Verdict::Nobody | Verdict::Next => return,
            Verdict::Double if is_mended => return,
            Verdict::Double => BusTurn::Double,
            Verdict::Late => BusTurn::Late,
            Verdict::Held(_) => {
                self.bell.ring();
                BusTurn::Held
            }
            Verdict::GivenUp => {
                self.is_missing(group, conversation);
                BusTurn::Hole
            }
        };
        self.metrics.add(Counter::BusTurns(turn), 1);
    }

    /// Wakes the shards for what was handed out; whoever publishes for a worker or a shard does it elsewhere.
    pub fn wake(&self) {
        self.shards.iter().for_each(|shard| shard.ring());
    }

    pub(super) fn hand_out(&self, shards: Shards, item: Item) {
        let Item { delivery, patient } = item;
        if delivery.group == Group::General {
            for shard in &self.shards {
                shard.accept(Arc::clone(&delivery), patient);
            }
            return;
        }
        for shard in shards.iter() {
            self.shards[usize::from(shard.0)].accept(Arc::clone(&delivery), patient);
        }
    }

    /// A user's sessions lack something of a conversation: the store is asked for it. A conversation's own ask themselves.
    fn is_missing(&self, group: Group, conversation: ConversationId) {
        if let Group::User(user) = group {
            let since = self.now().wall.plus_ms(-BUS_HOLE_MS);
            self.notes.push_or_gap(Note::Hole { user, conversation, since });
        }
    }

    fn count_order(&self, delivery: &Delivery, origin: Origin) {
        if let (Payload::Control(_), Group::Conversation(_)) = (&delivery.payload, delivery.group)
            && matches!(origin, Origin::Here | Origin::Bus)
        {
            self.orders.fetch_add(1, Ordering::Release);
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

#[cfg(test)]
mod tests;
