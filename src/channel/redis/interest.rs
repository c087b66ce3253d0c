//! Which groups the bus is to be listened to for: those with a session on this node, and for a while those whose last session
//! has left.

use std::collections::{HashMap, HashSet, VecDeque};

use parking_lot::Mutex;

use crate::limits::BUS_LINGER_MS;
use crate::model::Group;
use crate::time::{Mono, Now, Timestamp};

/// The groups of a node. Whoever listens has a [`Reader`] and is told what changed since it last asked.
///
/// The general group is not among them: it is always listened to.
#[derive(Debug, Default)]
pub struct Interest {
    state: Mutex<State>,
}

/// One that listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reader(usize);

/// A group whose standing changed since its reader last asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which.
    pub group: Group,
    /// True exactly when it is wanted now.
    pub is_wanted: bool,
}

#[derive(Debug, Default)]
struct State {
    wanted: HashMap<Group, Wanted, foldhash::fast::RandomState>,
    /// Groups without a session, by when they are looked at next; each once.
    lingering: VecDeque<(Mono, Group)>,
    /// By reader: what it has not been told.
    changed: Vec<HashSet<Group, foldhash::fast::RandomState>>,
}

#[derive(Debug)]
struct Wanted {
    /// When its first session came.
    since: Timestamp,
    /// When it is given up unless somebody comes; `None` while it has a session.
    until: Option<Mono>,
    /// True exactly when it is in `lingering`.
    is_queued: bool,
}

impl Interest {
    /// One more that listens. It is told of every group that is wanted already.
    pub fn reader(&self) -> Reader {
        let mut state = self.state.lock();
        let all = state.wanted.keys().copied().collect();
        state.changed.push(all);
        Reader(state.changed.len() - 1)
    }

    /// `group` has its first session. True exactly when it was not listened to: whoever listens is to be woken.
    pub fn want(&self, group: Group, now: Now) -> bool {
        if group == Group::General {
            return false;
        }
        let mut state = self.state.lock();
        if let Some(wanted) = state.wanted.get_mut(&group) {
            wanted.until = None;
            return false;
        }
        let wanted = Wanted { since: now.wall, until: None, is_queued: false };
        state.wanted.insert(group, wanted);
        state.tell(group);
        true
    }

    /// `group` has lost its last session. It is listened to for [`BUS_LINGER_MS`] more.
    pub fn release(&self, group: Group, now: Mono) {
        let mut state = self.state.lock();
        let State { wanted, lingering, .. } = &mut *state;
        let Some(wanted) = wanted.get_mut(&group) else { return };
        let until = now.plus(BUS_LINGER_MS);
        wanted.until = Some(until);
        if !std::mem::replace(&mut wanted.is_queued, true) {
            lingering.push_back((until, group));
        }
    }

    /// Gives up the groups that had no session for long enough. What is told of one group by several threads may be told out of
    /// order, so `has_session` decides; it is asked under this table's lock. True exactly when a group was given up: whoever
    /// listens is to be woken.
    pub fn expire(&self, now: Mono, has_session: impl Fn(Group) -> bool) -> bool {
        let mut state = self.state.lock();
        let mut any = false;
        while let Some((_, group)) = state.lingering.pop_front_if(|(at, _)| *at <= now) {
            let Some(wanted) = state.wanted.get_mut(&group) else { continue };
            wanted.is_queued = false;
            match wanted.until {
                Some(until) if until > now => {
                    wanted.is_queued = true;
                    state.lingering.push_back((until, group));
                }
                Some(_) if !has_session(group) => {
                    state.wanted.remove(&group);
                    state.tell(group);
                    any = true;
                }
                Some(_) => wanted.until = None,
                None => {}
            }
        }
        any
    }

    /// All that is wanted, for a reader that begins anew: it is told of what changes from here on.
    pub fn restart(&self, reader: Reader) -> Vec<Group> {
        let mut state = self.state.lock();
        state.changed[reader.0].clear();
        state.wanted.keys().copied().collect()
    }

    /// At most `max` of what changed since `reader` last asked, in no order; a group that came and went is told as it stands.
    pub fn changes(&self, reader: Reader, max: usize) -> Vec<Change> {
        let mut state = self.state.lock();
        let State { wanted, changed, .. } = &mut *state;
        let taken: Vec<Group> = changed[reader.0].iter().copied().take(max).collect();
        for group in &taken {
            changed[reader.0].remove(group);
        }
        let told = |group| Change { group, is_wanted: wanted.contains_key(&group) };
        taken.into_iter().map(told).collect()
    }

    /// True exactly when `reader` has something to be told.
    pub fn has_changes(&self, reader: Reader) -> bool {
        !self.state.lock().changed[reader.0].is_empty()
    }

    /// Since when `group` is wanted; `None` where it is not.
    pub fn since(&self, group: Group) -> Option<Timestamp> {
        self.state.lock().wanted.get(&group).map(|wanted| wanted.since)
    }

    /// All that is wanted.
    pub fn wanted(&self) -> Vec<Group> {
        self.state.lock().wanted.keys().copied().collect()
    }

    /// Groups that are wanted.
    pub fn len(&self) -> usize {
        self.state.lock().wanted.len()
    }

    /// True exactly when no group is wanted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl State {
    fn tell(&mut self, group: Group) {
        for changed in &mut self.changed {
            changed.insert(group);
        }
    }
}
