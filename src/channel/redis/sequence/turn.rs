//! One conversation in one group: which of its messages goes out next. Pure.
//!
//! ```text
//!  seq:   …  base  …  newest   newest+1   …
//!        late| double        | next     | early: held for a while, then the hole before it is given up
//!            | (where it was skipped: late) |
//! ```
//!
//! A message that is late goes out at once: late is better than never. What was given up is remembered, so that it is told from
//! what went out already.

use std::collections::{BTreeMap, VecDeque};

use crate::limits::{BUS_COLD_MS, BUS_EARLY_MS, BUS_HELD_MAX, BUS_REPAIR_MS, BUS_SKIPPED_MAX};
use crate::model::Seq;
use crate::time::Mono;

/// Where a conversation's messages stand in a group. `T` is a message.
#[derive(Debug)]
pub(super) struct Turn<T> {
    /// The first that went out; 0 while nothing did. What is below is not known.
    base: Seq,
    /// The newest that went out; 0 while nothing did.
    newest: Seq,
    /// Who sends what is ready, outside of any lock; 0 for nobody.
    sender: u32,
    /// The second in which something last came, by the low bits of the clock.
    touched_s: u32,
    /// While not all is well.
    more: Option<Box<More<T>>>,
}

#[derive(Debug)]
struct More<T> {
    /// What came early, and until when it waits.
    held: BTreeMap<Seq, (Mono, T)>,
    /// What goes out next, in this order, by whoever is the sender.
    ready: VecDeque<T>,
    /// Above `base`: what was given up, first and last of each stretch, oldest first.
    skipped: Vec<(Seq, Seq)>,
    /// While the store is being asked for what is missing.
    asked: Option<Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    /// What waits until then or less waits for the answer.
    until: Mono,
    /// Which question it is.
    ticket: Ticket,
}

/// Numbers the questions in the order they came up, all groups together: an answer is for those that were open when it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(pub(super) u64);

/// How a group's sessions are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    /// A conversation's sessions see a hole, and mend it themselves: nothing is held but for a short disorder.
    Hurried,
    /// A user's sessions cannot: a first message waits for one before it, and the store is asked before a hole is given up.
    Careful,
}

/// How a message came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// As it was sent.
    Live,
    /// From the store, with all that may have been missed from a moment on, in order.
    Gap,
    /// From the store, with what may have been missed between others.
    Hole,
}

/// What becomes of a message that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nobody here gets it.
    Nobody,
    /// It is the next one, or the first.
    Next,
    /// It waits for one before it, until then.
    Held(Mono),
    /// It should have come before what went out already; it goes out.
    Late,
    /// It went out already, or waits already.
    Double,
    /// Too many wait: they go out, and it with them.
    GivenUp,
}

/// What is to be done where something has waited long enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Nothing, or to send what is ready.
    Nothing,
    /// A hole was given up; send what is ready.
    GivenUp,
    /// Ask the store for what is missing, and look again then.
    Ask(Mono),
    /// Nothing went out yet, and something before what waits may have been missed: ask the store, and look again then.
    AskFirst(Mono),
}

impl<T> Turn<T> {
    /// Nothing has come yet.
    pub(super) const fn new() -> Self {
        Self { base: Seq(0), newest: Seq(0), sender: 0, touched_s: 0, more: None }
    }

    /// The newest that went out; `None` while nothing did.
    pub(super) fn newest(&self) -> Option<Seq> {
        (!self.is_cold()).then_some(self.newest)
    }

    /// `message` came, at `seq`. What is to go out now and is not taken by a sender already is returned: then the caller is to become the sender.
    pub(super) fn arrive(
        &mut self,
        seq: Seq,
        message: T,
        style: Style,
        source: Source,
        now: Mono,
    ) -> (Verdict, Option<T>) {
        self.touched_s = seconds(now);
        if self.is_cold() {
            let is_before_all = || self.first_held().is_none_or(|first| seq < first);
            if source == Source::Hole {
                return (Verdict::Double, None);
            }
            let is_first = style == Style::Hurried || seq <= Seq(1) || source == Source::Gap;
            if !is_first || !is_before_all() {
                return self.hold(seq, message, now.plus(BUS_COLD_MS), now);
            }
            self.base = seq;
            if self.is_asked() {
                self.begin_waiting(now.plus(BUS_EARLY_MS));
            }
        } else if seq < self.base && source == Source::Hole {
            // That is in no hole: it is from before all that went out.
            return (Verdict::Double, None);
        } else if seq < self.base {
            self.lower(seq);
            return (Verdict::Late, self.give(message));
        } else if self.take_skipped(seq) {
            return (Verdict::Late, self.give(message));
        } else if seq <= self.newest {
            return (Verdict::Double, None);
        } else if seq.0 > self.newest.0 + 1 {
            let wait_ms = if self.is_asked() { BUS_EARLY_MS + BUS_REPAIR_MS } else { BUS_EARLY_MS };
            return self.hold(seq, message, now.plus(wait_ms), now);
        }
        self.newest = seq;
        let given = self.give(message);
        self.absorb();
        (Verdict::Next, given)
    }

    /// Some of what is held may have waited long enough. `is_unsure`: what was said to the group before now may have been missed.
    /// A question that comes up is `ticket`.
    pub(super) fn expire(
        &mut self,
        style: Style,
        is_unsure: bool,
        ticket: Ticket,
        now: Mono,
    ) -> Due {
        let is_cold = self.is_cold();
        let Some(more) = &mut self.more else { return Due::Nothing };
        if !more.held.values().any(|(until, _)| *until <= now) {
            return Due::Nothing;
        }
        if is_cold && let Some(asked) = more.asked.filter(|asked| asked.until > now) {
            more.held.values_mut().for_each(|(at, _)| *at = asked.until);
            return Due::Nothing;
        }
        if style == Style::Careful && more.asked.is_none() && (!is_cold || is_unsure) {
            let until = now.plus(BUS_REPAIR_MS);
            more.asked = Some(Asked { until, ticket });
            more.held.values_mut().for_each(|(at, _)| *at = until);
            return if is_cold { Due::AskFirst(until) } else { Due::Ask(until) };
        }
        if is_cold {
            self.open(now);
            return Due::Nothing;
        }
        self.release(|until| until <= now);
        Due::GivenUp
    }

    /// The store was asked, and what it had has arrived: no more is known of what was missing then.
    pub(super) fn answered(&mut self, now: Mono) -> Due {
        let is_cold = self.is_cold();
        let Some(more) = &mut self.more else { return Due::Nothing };
        let Some(Asked { until: asked, .. }) = more.asked.take() else { return Due::Nothing };
        if is_cold {
            self.open(now);
            return Due::Nothing;
        }
        let is_in_vain = more.held.values().any(|(until, _)| *until <= asked);
        if is_in_vain {
            self.release(|until| until <= asked);
        }
        // What came since waits as long as if the store had not been asked.
        if let Some(more) = &mut self.more {
            let rest = more.held.values_mut();
            rest.for_each(|(until, _)| *until = Mono(until.0.saturating_sub(BUS_REPAIR_MS)));
        }
        if is_in_vain { Due::GivenUp } else { Due::Nothing }
    }

    /// The sessions read what they lack up to `seq` from the store: what is held of it is not needed.
    pub(super) fn reach(&mut self, seq: Seq) {
        if self.is_cold() {
            self.base = seq;
        }
        self.newest = self.newest.max(seq);
        if let Some(more) = &mut self.more {
            more.held = more.held.split_off(&Seq(self.newest.0 + 1));
        }
        self.absorb();
    }

    /// The caller becomes the sender, known as `sender`, where there is something to send and no other; takes the first.
    pub(super) fn begin(&mut self, sender: u32) -> Option<T> {
        if self.sender != 0 {
            return None;
        }
        let first = self.more.as_mut()?.ready.pop_front()?;
        self.sender = sender;
        Some(first)
    }

    /// The caller has what [`Turn::arrive`] returned, and becomes the sender.
    pub(super) const fn take(&mut self, sender: u32) {
        self.sender = sender;
    }

    /// What the sender sends next; `None` ends its office.
    pub(super) fn next(&mut self, sender: u32) -> Option<T> {
        if self.sender != sender {
            return None;
        }
        let next = self.more.as_mut().and_then(|more| more.ready.pop_front());
        if next.is_none() {
            self.sender = 0;
            self.tidy();
        }
        next
    }

    /// When something of what is held has waited long enough.
    pub(super) fn next_due(&self) -> Option<Mono> {
        self.more.as_ref()?.held.values().map(|(until, _)| *until).min()
    }

    /// True exactly when nothing went out yet, and what waits does so until the store has answered a question that had come up by
    /// `newest`.
    pub(super) fn waits_for_the_first(&self, newest: Ticket) -> bool {
        let asked = self.more.as_ref().and_then(|more| more.asked);
        self.is_cold() && asked.is_some_and(|asked| asked.ticket <= newest)
    }

    /// True exactly when nothing is lost with it, and nothing came for `idle_s` seconds.
    pub(super) fn is_idle(&self, now: Mono, idle_s: u32) -> bool {
        let is_quiet = self.sender == 0 && self.more.as_ref().is_none_or(|more| more.is_quiet());
        // Another thread's clock may have been read later than the caller's.
        let quiet_s = seconds(now).wrapping_sub(self.touched_s) as i32;
        is_quiet && quiet_s >= 0 && quiet_s as u32 >= idle_s
    }

    const fn is_cold(&self) -> bool {
        self.newest.0 == 0
    }

    fn is_asked(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.asked.is_some())
    }

    fn first_held(&self) -> Option<Seq> {
        self.more.as_ref()?.held.keys().next().copied()
    }

    /// To whoever sends already, or back to the caller.
    fn give(&mut self, message: T) -> Option<T> {
        if self.sender == 0 && self.more.as_ref().is_none_or(|more| more.ready.is_empty()) {
            return Some(message);
        }
        self.more().ready.push_back(message);
        None
    }

    fn hold(&mut self, seq: Seq, message: T, until: Mono, now: Mono) -> (Verdict, Option<T>) {
        let is_cold = self.is_cold();
        let held = &mut self.more().held;
        if held.contains_key(&seq) {
            return (Verdict::Double, None);
        }
        held.insert(seq, (until, message));
        if held.len() <= BUS_HELD_MAX {
            return (Verdict::Held(until), None);
        }
        if is_cold {
            self.open(now);
        }
        self.release(|_| true);
        let first = if self.sender == 0 { self.more().ready.pop_front() } else { None };
        (Verdict::GivenUp, first)
    }

    /// The first of what waited becomes the first that goes out.
    fn open(&mut self, now: Mono) {
        let Some(first) = self.first_held() else { return };
        self.base = first;
        self.newest = Seq(first.0 - 1);
        self.begin_waiting(now.plus(BUS_EARLY_MS - BUS_COLD_MS));
        self.absorb();
    }

    /// The first goes out: what is held waits until `until` for what lies between.
    fn begin_waiting(&mut self, until: Mono) {
        if let Some(more) = &mut self.more {
            more.asked = None;
            more.held.values_mut().for_each(|(at, _)| *at = until);
        }
    }

    /// Gives up what is missing before the last of the held that `is_due`.
    fn release(&mut self, is_due: impl Fn(Mono) -> bool) {
        let held = &self.more().held;
        let last = held.iter().rev().find(|(_, (until, _))| is_due(*until)).map(|(seq, _)| *seq);
        let Some(last) = last else { return };
        while let Some(first) = self.first_held().filter(|first| *first <= last) {
            self.skip(Seq(self.newest.0 + 1), Seq(first.0 - 1));
            self.newest = Seq(first.0 - 1);
            self.absorb();
        }
    }

    /// Makes ready what follows the newest.
    fn absorb(&mut self) {
        let Some(more) = &mut self.more else { return };
        while let Some(entry) =
            more.held.first_entry().filter(|entry| entry.key().0 == self.newest.0 + 1)
        {
            self.newest = *entry.key();
            more.ready.push_back(entry.remove().1);
        }
    }

    /// `seq`, from before all that went out, goes out too: it is known from now on, since gaps overlap and bring the same again, and what
    /// lies between is what did not.
    fn lower(&mut self, seq: Seq) {
        if seq.0 + 1 < self.base.0 {
            let between = (Seq(seq.0 + 1), Seq(self.base.0 - 1));
            self.more().skipped.insert(0, between);
        }
        self.base = seq;
        self.bound_skipped();
    }

    fn skip(&mut self, first: Seq, last: Seq) {
        let skipped = &mut self.more().skipped;
        skipped.push((first, last));
        self.bound_skipped();
    }

    /// True exactly when `seq` was given up; it is not any more.
    fn take_skipped(&mut self, seq: Seq) -> bool {
        let Some(more) = &mut self.more else { return false };
        let contains = |(first, last): &(Seq, Seq)| *first <= seq && seq <= *last;
        let Some(at) = more.skipped.iter().position(contains) else { return false };
        let (first, last) = more.skipped[at];
        let rest = [(first, Seq(seq.0 - 1)), (Seq(seq.0 + 1), last)];
        more.skipped.splice(at..=at, rest.into_iter().filter(|(first, last)| first <= last));
        self.bound_skipped();
        self.tidy();
        true
    }

    /// Of the oldest stretches beyond the bound it is no longer known what went out: all up to there counts as late.
    fn bound_skipped(&mut self) {
        let Some(more) = &mut self.more else { return };
        while more.skipped.len() > BUS_SKIPPED_MAX {
            self.base = Seq(more.skipped.remove(0).1.0 + 1);
        }
    }

    fn more(&mut self) -> &mut More<T> {
        self.more.get_or_insert_with(|| {
            Box::new(More {
                held: BTreeMap::new(),
                ready: VecDeque::new(),
                skipped: Vec::new(),
                asked: None,
            })
        })
    }

    fn tidy(&mut self) {
        let is_needed = |more: &mut Box<More<T>>| !more.is_quiet() || !more.skipped.is_empty();
        self.more.take_if(|more| !is_needed(more));
    }
}

impl<T> More<T> {
    fn is_quiet(&self) -> bool {
        self.held.is_empty() && self.ready.is_empty() && self.asked.is_none()
    }
}

/// The clock's second, of which the low bits are enough.
const fn seconds(now: Mono) -> u32 {
    (now.0 / 1_000) as u32
}
