//! Groups in which one thing is said right after the other: what is said in them waits a little for company (`WRITE_DELAY_MS`),
//! and then leaves for each session in one write.
//!
//! A window begins with what is said in a group that was calm; that leaves at once. What is said within the window is late: it
//! stands in the outbounds already, in order, and its sessions are flushed when the window ends, or before, where something else is
//! sent to them. A window in which something was late is followed by another.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};

use crate::ids::ConnKey;
use crate::model::Group;
use crate::time::Mono;

/// The windows of this shard's groups.
#[derive(Debug)]
pub struct WriteDelay {
    /// How long a window is; 0: nothing is ever late.
    ms: u64,
    /// By group: the sessions that have something late.
    windows: HashMap<Group, Vec<ConnKey>, foldhash::fast::RandomState>,
    /// When each window ends: the one that began first is the first.
    ends: VecDeque<(Mono, Group)>,
}

impl WriteDelay {
    /// No group has a window.
    pub fn new(ms: u64) -> Self {
        Self { ms, windows: HashMap::default(), ends: VecDeque::new() }
    }

    /// What is said in `group` now leaves at once: `None`, and a window begins with it. Or it is late: those sessions that have
    /// something late already, to add to and to [`put_back`](WriteDelay::put_back()).
    pub fn late(&mut self, group: Group, now: Mono) -> Option<Vec<ConnKey>> {
        if self.ms == 0 {
            return None;
        }
        match self.windows.entry(group) {
            Entry::Occupied(mut window) => Some(std::mem::take(window.get_mut())),
            Entry::Vacant(window) => {
                window.insert(Vec::new());
                self.ends.push_back((now.plus(self.ms), group));
                None
            }
        }
    }

    /// The sessions of `group` that have something late now.
    pub fn put_back(&mut self, group: Group, late: Vec<ConnKey>) {
        self.windows.insert(group, late);
    }

    /// Ends the windows that are over by `now`: each session that has something late goes to `flush`.
    pub fn expire(&mut self, now: Mono, mut flush: impl FnMut(ConnKey)) {
        while let Some(&(end, group)) = self.ends.front()
            && end <= now
        {
            self.ends.pop_front();
            let Entry::Occupied(mut window) = self.windows.entry(group) else { continue };
            if window.get().is_empty() {
                window.remove();
            } else {
                window.get_mut().drain(..).for_each(&mut flush);
                self.ends.push_back((now.plus(self.ms), group));
            }
        }
    }

    /// Milliseconds until the next window ends.
    pub fn until_next(&self, now: Mono) -> Option<u64> {
        self.ends.front().map(|(end, _)| end.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConversationId;

    const ROOM: Group = Group::Conversation(ConversationId(7));
    const KEY: ConnKey = ConnKey { index: 3, generation: 1 };

    fn expired(delays: &mut WriteDelay, ms: u64) -> Vec<ConnKey> {
        let mut keys = Vec::new();
        delays.expire(Mono(ms), |key| keys.push(key));
        keys
    }

    /// True exactly when what is said in `group` is late; then it is so for [`KEY`].
    fn is_late(delays: &mut WriteDelay, group: Group, ms: u64) -> bool {
        let late = delays.late(group, Mono(ms));
        let is_late = late.is_some();
        if let Some(mut late) = late {
            late.push(KEY);
            delays.put_back(group, late);
        }
        is_late
    }

    #[test]
    fn without_a_delay_nothing_is_late() {
        let mut delays = WriteDelay::new(0);
        assert!((0..3).all(|_| !is_late(&mut delays, ROOM, 5)));
        assert_eq!(delays.until_next(Mono(5)), None);
    }

    #[test]
    fn the_first_leaves_at_once_and_the_others_when_the_window_ends() {
        let mut delays = WriteDelay::new(20);
        assert!(!is_late(&mut delays, ROOM, 100));
        assert!(is_late(&mut delays, ROOM, 119));
        assert_eq!(delays.until_next(Mono(119)), Some(1));
        assert_eq!(expired(&mut delays, 119), []);
        assert_eq!(expired(&mut delays, 120), [KEY]);
        // It goes on: the next window began with what left.
        assert_eq!(delays.until_next(Mono(121)), Some(19));
        assert!(is_late(&mut delays, ROOM, 121) && is_late(&mut delays, ROOM, 121));
        assert_eq!(expired(&mut delays, 145), [KEY, KEY]);
    }

    #[test]
    fn a_group_that_falls_silent_is_forgotten() {
        let mut delays = WriteDelay::new(20);
        assert!(!is_late(&mut delays, ROOM, 100));
        assert_eq!(expired(&mut delays, 130), []);
        assert_eq!((delays.until_next(Mono(130)), delays.windows.len()), (None, 0));
        assert!(!is_late(&mut delays, ROOM, 131), "it was calm");
    }

    #[test]
    fn each_group_has_its_own_window() {
        let mut delays = WriteDelay::new(20);
        let other = Group::Conversation(ConversationId(8));
        assert!(!is_late(&mut delays, ROOM, 100) && !is_late(&mut delays, other, 110));
        assert!(is_late(&mut delays, other, 115));
        assert_eq!(expired(&mut delays, 120), []);
        assert!(!is_late(&mut delays, ROOM, 121) && is_late(&mut delays, other, 121));
        assert_eq!(expired(&mut delays, 130), [KEY, KEY]);
    }
}
