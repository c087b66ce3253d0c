//! Which shards have sessions in which group, and how far the messages of each conversation went out to it: between nodes, order
//! is by `seq`.
//!
//! Nothing is delivered under a lock. Whoever has the next message becomes the conversation's *sender* in that group, delivers
//! it, and goes on with what others left meanwhile; they leave theirs and go on. So two threads that have 7 and 8 deliver 7 and
//! then 8, whoever comes first.
//!
//! What is known of a group ends with its last session.

mod turn;

#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::channel::Delivery;
use crate::ids::ShardId;
use crate::limits::{BUS_PLACES_MAX, SHARDS_MAX};
use crate::model::{ConversationId, Group, Seq};
use crate::time::Mono;

use turn::{Due, Style, Turn};
pub use turn::{Source, Ticket, Verdict};

const STRIPES: usize = 64;
const _: () = assert!(SHARDS_MAX <= u64::BITS as usize && STRIPES.is_power_of_two());

/// See the module.
#[derive(Debug)]
pub struct Sequence {
    hasher: foldhash::fast::RandomState,
    stripes: Box<[Mutex<Stripe>]>,
    /// When to look at what is held; an entry may be for nothing by then.
    waiting: Mutex<BTreeSet<(Mono, Group, ConversationId)>>,
    /// The newest ticket.
    tickets: AtomicU64,
}

/// A message on its way to sessions of this node.
#[derive(Clone, Debug)]
pub struct Item {
    /// The delivery.
    pub delivery: Arc<Delivery>,
    /// Whether whoever delivers may wait for room.
    pub patient: bool,
}

/// Some of the shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shards(u64);

/// Where a message stands, and where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: Seq,
    /// How it came.
    pub source: Source,
}

/// What the store is to be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// What lies before the first message that waits, in any conversation of the group.
    Before,
    /// What lies between messages of this conversation.
    Between(ConversationId),
}

#[derive(Debug, Default)]
struct Stripe {
    groups: HashMap<Group, Members, foldhash::fast::RandomState>,
    /// Conversations remembered, all groups together.
    places: usize,
    /// Tells senders apart.
    senders: u32,
}

#[derive(Debug)]
struct Members {
    /// One bit a shard.
    shards: Shards,
    /// Sorted. A conversation's group has one at most.
    turns: Vec<(ConversationId, Turn<Item>)>,
}

impl Default for Sequence {
    fn default() -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        let hasher = foldhash::fast::RandomState::default();
        Self { hasher, stripes, waiting: Mutex::default(), tickets: AtomicU64::new(0) }
    }
}

impl Sequence {
    /// `shard` has sessions in `group`. True exactly when it is the first shard that has.
    pub fn join(&self, group: Group, shard: ShardId) -> bool {
        let mut stripe = self.stripe(group).lock();
        let none = Members { shards: Shards::NONE, turns: Vec::new() };
        let members = stripe.groups.entry(group).or_insert(none);
        let was_empty = members.shards == Shards::NONE;
        members.shards.0 |= 1 << shard.0;
        was_empty
    }

    /// `shard` has no session in `group` any more. True exactly when no shard has.
    pub fn leave(&self, group: Group, shard: ShardId) -> bool {
        let mut stripe = self.stripe(group).lock();
        let Entry::Occupied(mut entry) = stripe.groups.entry(group) else { return false };
        entry.get_mut().shards.0 &= !(1 << shard.0);
        if entry.get().shards != Shards::NONE {
            return false;
        }
        let forgotten = entry.remove().turns.len();
        stripe.places -= forgotten;
        true
    }

    /// The shards that have sessions in `group`.
    pub fn shards(&self, group: Group) -> Shards {
        self.stripe(group).lock().groups.get(&group).map_or(Shards::NONE, |members| members.shards)
    }

    /// A message of a conversation came for a group. `out` is called outside of all locks, for this one and for what others have
    /// ready in the same conversation and group, in order; or not at all, where another thread does so.
    pub fn admit(
        &self,
        item: Item,
        arrival: Arrival,
        now: Mono,
        out: &mut impl FnMut(Shards, Item),
    ) -> Verdict {
        let Arrival { conversation, seq, source } = arrival;
        let group = item.delivery.group;
        let mut stripe = self.stripe(group).lock();
        let Stripe { groups, places, senders } = &mut *stripe;
        let Some(members) = groups.get_mut(&group) else { return Verdict::Nobody };
        let shards = members.shards;
        let at = match members.find(conversation) {
            Ok(at) => at,
            Err(_) if *places >= BUS_PLACES_MAX / STRIPES => {
                drop(stripe);
                out(shards, item);
                return Verdict::Next;
            }
            Err(at) => {
                members.turns.insert(at, (conversation, Turn::new()));
                *places += 1;
                at
            }
        };
        let turn = &mut members.turns[at].1;
        let (verdict, first) = turn.arrive(seq, item, style(group), source, now);
        if let Verdict::Held(until) = verdict {
            self.waiting.lock().insert((until, group, conversation));
        }
        let Some(first) = first else { return verdict };
        let sender = next_sender(senders);
        turn.take(sender);
        drop(stripe);
        self.send(group, conversation, sender, (shards, first), out);
        verdict
    }

    /// Looks at what has waited until `now`: it goes out by `out`, as with [`Sequence::admit`]; or, in a user's group, `ask` is
    /// called, so that the store is asked for what is missing, and [`Sequence::answered`] or, where nothing went out yet,
    /// [`Sequence::caught_up`] follows. `is_unsure` says whether a group may have missed something. Returns the holes given up.
    pub fn expire(
        &self,
        now: Mono,
        is_unsure: impl Fn(Group) -> bool,
        out: &mut impl FnMut(Shards, Item),
        ask: &mut impl FnMut(Group, Ask),
    ) -> u64 {
        let mut given_up = 0;
        while let Some((_, group, conversation)) = self.pop_waiting(now) {
            let is_unsure = style(group) == Style::Careful && is_unsure(group);
            let ticket = Ticket(self.tickets.fetch_add(1, Ordering::AcqRel) + 1);
            let expire = |turn: &mut Turn<Item>| turn.expire(style(group), is_unsure, ticket, now);
            let (until, asked) = match self.settle(group, conversation, out, expire) {
                Due::Nothing => {
                    self.look_again(group, conversation, now);
                    continue;
                }
                Due::GivenUp => {
                    given_up += 1;
                    continue;
                }
                Due::Ask(until) => (until, Ask::Between(conversation)),
                Due::AskFirst(until) => (until, Ask::Before),
            };
            self.waiting.lock().insert((until, group, conversation));
            ask(group, asked);
        }
        given_up
    }

    /// The store was asked for what `conversation` lacks in `group`, and what it had was admitted. True exactly when a hole was
    /// given up.
    pub fn answered(
        &self,
        group: Group,
        conversation: ConversationId,
        now: Mono,
        out: &mut impl FnMut(Shards, Item),
    ) -> bool {
        let due = self.settle(group, conversation, out, |turn| turn.answered(now));
        self.look_again(group, conversation, now);
        due == Due::GivenUp
    }

    /// The newest question so far: an answer of the store that is asked for after this one counts for it, and not for later ones.
    pub fn newest_ticket(&self) -> Ticket {
        Ticket(self.tickets.load(Ordering::Acquire))
    }

    /// The store was asked for all that `group` may have missed, when `newest` was the newest question, and what it had was admitted:
    /// what waits for that goes out.
    pub fn caught_up(
        &self,
        group: Group,
        newest: Ticket,
        now: Mono,
        out: &mut impl FnMut(Shards, Item),
    ) {
        let waits = |members: &Members| {
            let waiting = members.turns.iter().filter(|(_, turn)| turn.waits_for_the_first(newest));
            waiting.map(|(conversation, _)| *conversation).collect::<Vec<_>>()
        };
        let waiting = self.stripe(group).lock().groups.get(&group).map(waits).unwrap_or_default();
        for conversation in waiting {
            self.answered(group, conversation, now, out);
        }
    }

    /// The sessions of `group` are told to read what they lack up to `seq` from the store. Returns how far the group was before;
    /// `None` where that is not known.
    pub fn reach(
        &self,
        group: Group,
        conversation: ConversationId,
        seq: Seq,
        out: &mut impl FnMut(Shards, Item),
    ) -> Option<Seq> {
        {
            let mut stripe = self.stripe(group).lock();
            let Stripe { groups, places, .. } = &mut *stripe;
            let members = groups.get_mut(&group)?;
            if let Err(at) = members.find(conversation) {
                if seq > Seq(0) && *places < BUS_PLACES_MAX / STRIPES {
                    let mut turn = Turn::new();
                    turn.reach(seq);
                    members.turns.insert(at, (conversation, turn));
                    *places += 1;
                }
                return None;
            }
        }
        let mut newest = None;
        self.settle(group, conversation, out, |turn| {
            newest = turn.newest();
            turn.reach(seq);
            Due::Nothing
        });
        newest
    }

    /// When something held is to be looked at next.
    pub fn next_due(&self) -> Option<Mono> {
        self.waiting.lock().first().map(|(at, ..)| *at)
    }

    /// Forgets the conversations in which nothing came for `idle_s` seconds.
    pub fn forget(&self, now: Mono, idle_s: u32) {
        for stripe in &self.stripes {
            let mut stripe = stripe.lock();
            let Stripe { groups, places, .. } = &mut *stripe;
            for members in groups.values_mut() {
                let before = members.turns.len();
                members.turns.retain(|(_, turn)| !turn.is_idle(now, idle_s));
                *places -= before - members.turns.len();
                if before > members.turns.len() {
                    members.turns.shrink_to_fit();
                }
            }
        }
    }

    /// The groups that have sessions, in no order.
    pub fn groups(&self) -> Vec<Group> {
        let mut all = Vec::new();
        for stripe in &self.stripes {
            all.extend(stripe.lock().groups.keys().copied());
        }
        all
    }

    /// Conversations that are remembered, all groups together.
    pub fn places(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.lock().places).sum()
    }

    /// Changes a conversation's standing, and sends what is ready then.
    fn settle(
        &self,
        group: Group,
        conversation: ConversationId,
        out: &mut impl FnMut(Shards, Item),
        change: impl FnOnce(&mut Turn<Item>) -> Due,
    ) -> Due {
        let mut stripe = self.stripe(group).lock();
        let Stripe { groups, senders, .. } = &mut *stripe;
        let Some(members) = groups.get_mut(&group) else { return Due::Nothing };
        let shards = members.shards;
        let Ok(at) = members.find(conversation) else { return Due::Nothing };
        let turn = &mut members.turns[at].1;
        let due = change(turn);
        let sender = next_sender(senders);
        let Some(first) = turn.begin(sender) else { return due };
        drop(stripe);
        self.send(group, conversation, sender, (shards, first), out);
        due
    }

    /// Sends `first`, then what is ready after it. A group that ended meanwhile has nobody to get the rest.
    fn send(
        &self,
        group: Group,
        conversation: ConversationId,
        sender: u32,
        first: (Shards, Item),
        out: &mut impl FnMut(Shards, Item),
    ) {
        let mut next = Some(first);
        while let Some((shards, item)) = next {
            out(shards, item);
            next = self.next(group, conversation, sender);
        }
    }

    fn next(
        &self,
        group: Group,
        conversation: ConversationId,
        sender: u32,
    ) -> Option<(Shards, Item)> {
        let mut stripe = self.stripe(group).lock();
        let members = stripe.groups.get_mut(&group)?;
        let at = members.find(conversation).ok()?;
        let item = members.turns[at].1.next(sender)?;
        Some((members.shards, item))
    }

    fn pop_waiting(&self, now: Mono) -> Option<(Mono, Group, ConversationId)> {
        let mut waiting = self.waiting.lock();
        waiting.first().is_some_and(|(at, ..)| *at <= now).then(|| waiting.pop_first()).flatten()
    }

    /// What is still held is looked at when it is due; its time may have been moved.
    fn look_again(&self, group: Group, conversation: ConversationId, now: Mono) {
        let stripe = self.stripe(group).lock();
        let Some(members) = stripe.groups.get(&group) else { return };
        let Ok(at) = members.find(conversation) else { return };
        if let Some(until) = members.turns[at].1.next_due() {
            let until = until.max(now.plus(1));
            self.waiting.lock().insert((until, group, conversation));
        }
    }

    fn stripe(&self, group: Group) -> &Mutex<Stripe> {
        // The map's own hash uses the low bits, so the stripe takes the high ones.
        &self.stripes[(self.hasher.hash_one(group) >> 58) as usize % STRIPES]
    }
}

impl Members {
    fn find(&self, conversation: ConversationId) -> Result<usize, usize> {
        self.turns.binary_search_by_key(&conversation, |(id, _)| *id)
    }
}

impl Shards {
    /// None.
    pub const NONE: Self = Self(0);

    /// Each of them, lowest first.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let shard = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (shard < u64::BITS).then_some(ShardId(shard as u16))
        })
    }
}

const fn style(group: Group) -> Style {
    match group {
        Group::Conversation(_) => Style::Hurried,
        Group::User(_) | Group::Presence(_) | Group::General => Style::Careful,
    }
}

fn next_sender(senders: &mut u32) -> u32 {
    *senders = senders.wrapping_add(1).max(1);
    *senders
}
