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
    known: Known,
}

/// Whether what was said since a group's first session came may have been missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// It is not listened to yet.
    Nothing,
    /// It is listened to.
    Heard,
    /// What was said before that was looked for, too.
    Whole,
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
        let known = Known::Nothing;
        let wanted = Wanted { since: now.wall, until: None, is_queued: false, known };
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
        while state.lingering.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, group)) = state.lingering.pop_front() else { break };
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

    /// `group` is listened to. Since when it is wanted; `None` where it is not.
    pub fn heard(&self, group: Group) -> Option<Timestamp> {
        let mut state = self.state.lock();
        let wanted = state.wanted.get_mut(&group)?;
        if wanted.known == Known::Nothing {
            wanted.known = Known::Heard;
        }
        Some(wanted.since)
    }

    /// True exactly when `group` is wanted and listened to.
    pub fn is_heard(&self, group: Group) -> bool {
        self.state.lock().wanted.get(&group).is_some_and(|wanted| wanted.known != Known::Nothing)
    }

    /// What was said to `group` before it was listened to was looked for.
    pub fn caught_up(&self, group: Group) {
        if let Some(wanted) = self.state.lock().wanted.get_mut(&group) {
            wanted.known = Known::Whole;
        }
    }

    /// True exactly when nothing was missed between the first session of `group` and the moment from which on it is listened to.
    pub fn is_whole(&self, group: Group) -> bool {
        self.state.lock().wanted.get(&group).is_none_or(|wanted| wanted.known == Known::Whole)
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{ConversationId, UserId};

    fn now(ms: u64) -> Now {
        Now { mono: Mono(ms), wall: Timestamp(ms as i64 * 1_000) }
    }

    fn user(id: i64) -> Group {
        Group::User(UserId(id))
    }

    #[test]
    fn a_group_is_whole_once_it_is_listened_to_and_what_was_before_was_looked_for() {
        let interest = Interest::default();
        assert_eq!((interest.heard(user(1)), interest.is_whole(user(1))), (None, true));
        interest.want(user(1), now(5));
        assert!(!interest.is_heard(user(1)) && !interest.is_whole(user(1)));
        assert_eq!(interest.heard(user(1)), Some(now(5).wall));
        assert!(interest.is_heard(user(1)) && !interest.is_whole(user(1)));
        interest.caught_up(user(1));
        interest.heard(user(1));
        assert!(interest.is_heard(user(1)) && interest.is_whole(user(1)));
    }

    #[test]
    fn a_group_is_wanted_until_nobody_came_back_for_a_while() {
        let interest = Interest::default();
        let reader = interest.reader();
        assert!(interest.want(user(1), now(5)) && !interest.want(user(1), now(6)));
        assert_eq!(interest.since(user(1)), Some(now(5).wall));
        assert_eq!(interest.changes(reader, 9), [Change { group: user(1), is_wanted: true }]);
        interest.release(user(1), Mono(10));
        assert!(!interest.expire(Mono(9 + BUS_LINGER_MS), |_| false));
        assert!(!interest.want(user(1), now(11)), "it is still listened to");
        interest.release(user(1), Mono(100));
        assert!(!interest.expire(Mono(10 + BUS_LINGER_MS), |_| false), "the second leave counts");
        assert_eq!(interest.changes(reader, 9), []);
        assert!(interest.expire(Mono(100 + BUS_LINGER_MS), |_| false));
        assert_eq!(interest.changes(reader, 9), [Change { group: user(1), is_wanted: false }]);
        assert!(interest.is_empty() && !interest.has_changes(reader));
    }

    #[test]
    fn a_leave_told_after_the_next_join_takes_nothing_away() {
        let interest = Interest::default();
        interest.want(user(1), now(0));
        interest.release(user(1), Mono(1));
        assert!(!interest.expire(Mono(BUS_LINGER_MS + 1), |_| true));
        assert_eq!(interest.wanted(), [user(1)]);
        assert!(!interest.expire(Mono(9 * BUS_LINGER_MS), |_| false), "it has a session");
    }

    #[test]
    fn a_reader_that_begins_anew_is_told_all_and_then_what_changes() {
        let interest = Interest::default();
        interest.want(user(1), now(0));
        let (early, late) = (interest.reader(), interest.reader());
        interest.want(user(2), now(0));
        assert_eq!(interest.restart(early).len(), 2);
        assert!(!interest.has_changes(early));
        assert_eq!(interest.changes(late, 1).len(), 1);
        assert_eq!(interest.changes(late, 9).len(), 1);
        interest.want(user(3), now(0));
        assert_eq!(interest.changes(early, 9), [Change { group: user(3), is_wanted: true }]);
        assert!(!interest.want(Group::General, now(0)), "it is always listened to");
    }

    /// Groups whose sessions come and go, as one reader listens to them.
    #[derive(Default)]
    struct Stage {
        interest: Interest,
        sessions: [u32; 4],
        listened: HashSet<Group>,
        now: u64,
    }

    impl Stage {
        fn group(id: usize) -> Group {
            Group::Conversation(ConversationId(id as i64 + 1))
        }

        fn comes(&mut self, id: usize) {
            self.sessions[id] += 1;
            if self.sessions[id] == 1 {
                self.interest.want(Self::group(id), now(self.now));
            }
        }

        /// True exactly when it was the last, which is to be told.
        fn goes(&mut self, id: usize) -> bool {
            let is_last = self.sessions[id] == 1;
            self.sessions[id] = self.sessions[id].saturating_sub(1);
            is_last
        }

        fn told(&mut self, id: usize) {
            self.interest.release(Self::group(id), Mono(self.now));
        }

        fn passes(&mut self, ms: u64, reader: Reader) {
            self.now += ms;
            let sessions = self.sessions;
            self.interest.expire(Mono(self.now), |group| {
                (0..4).any(|id| Self::group(id) == group && sessions[id] > 0)
            });
            for Change { group, is_wanted } in self.interest.changes(reader, 3) {
                if is_wanted {
                    self.listened.insert(group);
                } else {
                    self.listened.remove(&group);
                }
            }
        }
    }

    proptest! {
        /// A last leave may be told after what follows it, as where its thread was put aside.
        #[test]
        fn what_has_a_session_is_wanted_and_in_the_end_nothing_is(
            steps in vec((0usize..4, any::<bool>(), any::<bool>(), 0u64..3_000), 1..200),
        ) {
            let mut stage = Stage::default();
            let reader = stage.interest.reader();
            let mut untold = None;
            for (id, comes, is_told_late, ms) in steps {
                if comes {
                    stage.comes(id);
                } else if stage.goes(id) {
                    let told = if is_told_late { untold.replace(id) } else { Some(id) };
                    if let Some(id) = told {
                        stage.told(id);
                    }
                }
                stage.passes(ms, reader);
                let wanted = stage.interest.wanted();
                for id in (0..4).filter(|id| stage.sessions[*id] > 0) {
                    prop_assert!(wanted.contains(&Stage::group(id)));
                }
            }
            for id in 0..4 {
                stage.sessions[id] = 0;
                stage.told(id);
            }
            stage.passes(2 * BUS_LINGER_MS, reader);
            stage.passes(0, reader);
            prop_assert!(stage.interest.is_empty() && stage.listened.is_empty());
        }
    }
}
