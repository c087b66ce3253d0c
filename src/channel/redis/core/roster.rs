//! The groups that this node is a member of, and when each is to be said again: a member that nobody refreshes is dropped by
//! the next sender after `group_expiry`.

use std::collections::HashMap;

use crate::model::{Group, GroupKey};
use crate::time::Mono;

/// Groups in no order of meaning, and how far the present round through them is.
///
/// A round takes a third of `group_expiry`, spread evenly, so that half a million groups are not refreshed at once. A group
/// that changes its place as another leaves may miss one round; then two thirds have passed.
#[derive(Debug)]
pub(super) struct Roster {
    groups: Vec<Group>,
    places: HashMap<GroupKey, u32, foldhash::fast::RandomState>,
    round_ms: u64,
    began: Mono,
    done: usize,
}

impl Roster {
    /// Of no groups, where a member lasts `group_expiry_s` seconds.
    pub(super) fn new(group_expiry_s: u32, now: Mono) -> Self {
        Self {
            groups: Vec::new(),
            places: HashMap::default(),
            round_ms: u64::from(group_expiry_s).saturating_mul(1_000).div_ceil(3).max(1),
            began: now,
            done: 0,
        }
    }

    /// All groups.
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// True exactly when the node is a member of `group`.
    pub(super) fn has(&self, group: Group) -> bool {
        self.places.contains_key(&group.into())
    }

    /// The node is a member of `group` now.
    pub(super) fn insert(&mut self, group: Group) {
        let place = self.groups.len() as u32;
        if let std::collections::hash_map::Entry::Vacant(entry) = self.places.entry(group.into()) {
            entry.insert(place);
            self.groups.push(group);
        }
    }

    /// The node is no member of `group` any more.
    pub(super) fn remove(&mut self, group: Group) {
        let Some(place) = self.places.remove(&group.into()) else { return };
        self.groups.swap_remove(place as usize);
        if let Some(moved) = self.groups.get(place as usize) {
            self.places.insert((*moved).into(), place);
        }
    }

    /// The node is a member of nothing any more; gives all that it was.
    pub(super) fn take(&mut self) -> Vec<Group> {
        self.places.clear();
        std::mem::take(&mut self.groups)
    }

    /// At most `most` groups that are to be refreshed by `now`.
    pub(super) fn due(&mut self, now: Mono, most: usize) -> &[Group] {
        let len = self.groups.len();
        if now.since(self.began) >= self.round_ms && self.done >= len {
            self.began = now;
            self.done = 0;
        }
        let passed = now.since(self.began).min(self.round_ms);
        let share = u128::from(passed) * len as u128 / u128::from(self.round_ms);
        let from = self.done.min(len);
        let to = (share as usize).clamp(from, from + most.min(len - from));
        self.done = to;
        &self.groups[from..to]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::UserId;

    const fn group(id: i64) -> Group {
        Group::User(UserId(id))
    }

    #[test]
    fn every_group_is_due_once_a_round_and_never_all_at_once() {
        let mut roster = Roster::new(3_000, Mono(0));
        for id in 1..=10_000 {
            roster.insert(group(id));
        }
        for _round in 0..3 {
            let mut seen = HashSet::new();
            let start = roster.began;
            for ms in (0..1_000_000).step_by(1_000) {
                let due = roster.due(start.plus(ms), 512);
                assert!(due.len() <= 11, "{}", due.len());
                seen.extend(due.iter().copied().map(GroupKey::from));
            }
            seen.extend(roster.due(start.plus(1_000_000), 512).iter().copied().map(GroupKey::from));
            assert_eq!(seen.len(), 10_000);
            roster.due(start.plus(1_000_001), 512);
        }
    }

    #[test]
    fn a_round_that_was_held_up_is_made_up_for_in_chunks() {
        let mut roster = Roster::new(3, Mono(0));
        for id in 1..=1_000 {
            roster.insert(group(id));
        }
        let chunks: Vec<usize> =
            (0..4).map(|_| roster.due(Mono(90_000), 512).len()).take_while(|n| *n > 0).collect();
        assert_eq!(chunks, [512, 488]);
    }

    proptest! {
        #[test]
        fn members_are_those_that_joined_and_did_not_leave(
            steps in prop::collection::vec((any::<bool>(), 1_i64..20), 0..200)
        ) {
            let mut roster = Roster::new(60, Mono(0));
            let mut model = HashSet::new();
            for (joins, id) in steps {
                if joins {
                    roster.insert(group(id));
                    model.insert(id);
                } else {
                    roster.remove(group(id));
                    model.remove(&id);
                }
                prop_assert_eq!(roster.groups().len(), model.len());
                for id in 1..20 {
                    prop_assert_eq!(roster.has(group(id)), model.contains(&id));
                }
            }
            prop_assert_eq!(roster.take().len(), model.len());
            prop_assert!(roster.groups().is_empty());
        }
    }
}
