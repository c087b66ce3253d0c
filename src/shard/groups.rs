//! Which of this shard's sessions are in which group: one table of four-byte places, whatever a group is named.
//!
//! Nearly every group has one session here, and nearly every session is alone in one group: its user's or its conversation's. Such a
//! group is the session's slot index in the table, and its name is kept beside, by slot. All others are crowds, in a list of their own.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::model::{Group, GroupKey};

/// This shard's part of every group.
#[derive(Debug, Default)]
pub struct Groups {
    table: HashTable<Place>,
    names: Names,
    /// Crowds that nobody is in, to be used again.
    vacant: Vec<u32>,
    scratch: Vec<u32>,
}

/// What the places of the table stand for.
#[derive(Debug, Default)]
struct Names {
    hasher: foldhash::fast::RandomState,
    /// By slot index: the group that the session there is alone in, where it is kept here.
    alone: Vec<Option<GroupKey>>,
    crowds: Vec<Crowd>,
}

/// A session that is alone in its group, by slot index; or, with the highest bit, a crowd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place(u32);

/// A group of several sessions, or of one that is alone in another.
#[derive(Debug)]
struct Crowd {
    group: GroupKey,
    members: Vec<u32>,
}

const CROWD: u32 = 1 << 31;

impl Groups {
    /// Puts the session at `index` into `group`. True exactly when it is the first here. A session joins a group once.
    pub fn join(&mut self, group: Group, index: u32) -> bool {
        debug_assert!(index < CROWD, "a slot index of {index}");
        let group = GroupKey::from(group);
        let Self { table, names, vacant, .. } = self;
        if names.alone.len() <= index as usize {
            names.alone.resize(index as usize + 1, None);
        }
        let is = |place: &Place| names.of(*place) == Some(group);
        match table.entry(names.hash(group), is, |place| names.hash_of(*place)) {
            Entry::Vacant(entry) => {
                let place = match names.alone[index as usize] {
                    None => {
                        names.alone[index as usize] = Some(group);
                        Place(index)
                    }
                    Some(_) => names.crowd(group, vec![index], vacant),
                };
                entry.insert(place);
                true
            }
            Entry::Occupied(mut entry) => {
                let place = *entry.get();
                debug_assert!(
                    !names.members(&place).contains(&index),
                    "a session joins a group once"
                );
                if let Some(crowd) = place.crowd() {
                    names.crowds[crowd].members.push(index);
                } else {
                    names.alone[place.0 as usize] = None;
                    *entry.get_mut() = names.crowd(group, vec![place.0, index], vacant);
                }
                false
            }
        }
    }

    /// Takes the session at `index` out of `group`. True exactly when it was the last here.
    pub fn leave(&mut self, group: Group, index: u32) -> bool {
        let group = GroupKey::from(group);
        let Self { table, names, vacant, .. } = self;
        let is = |place: &Place| names.of(*place) == Some(group);
        let Ok(mut entry) = table.find_entry(names.hash(group), is) else { return false };
        let place = *entry.get();
        let Some(crowd) = place.crowd() else {
            if place.0 != index {
                return false;
            }
            names.alone[index as usize] = None;
            entry.remove();
            return true;
        };
        let members = &mut names.crowds[crowd].members;
        // Order within a group means nothing, so the hole is filled from the end.
        if let Some(at) = members.iter().position(|member| *member == index) {
            members.swap_remove(at);
        }
        let left = match members[..] {
            [] => None,
            [only] if names.alone[only as usize].is_none() => Some(only),
            _ => return false,
        };
        names.crowds[crowd].members = Vec::new();
        vacant.push(crowd as u32);
        match left {
            None => drop(entry.remove()),
            Some(only) => {
                names.alone[only as usize] = Some(group);
                *entry.get_mut() = Place(only);
            }
        }
        left.is_none()
    }

    /// The sessions here that are in `group`.
    pub fn members(&self, group: Group) -> &[u32] {
        let group = GroupKey::from(group);
        let is = |place: &Place| self.names.of(*place) == Some(group);
        let place = self.table.find(self.names.hash(group), is);
        place.map_or(&[], |place| self.names.members(place))
    }

    /// Room for a copy of a group's members, for a delivery that can change the group on its way.
    pub fn scratch(&mut self) -> &mut Vec<u32> {
        &mut self.scratch
    }

    /// Groups with a session here.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True exactly when no group has a session here.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

impl Names {
    fn hash(&self, group: GroupKey) -> u64 {
        self.hasher.hash_one(group)
    }

    fn hash_of(&self, place: Place) -> u64 {
        self.hash(self.of(place).expect("what the table has is named"))
    }

    fn of(&self, place: Place) -> Option<GroupKey> {
        match place.crowd() {
            Some(crowd) => Some(self.crowds[crowd].group),
            None => self.alone[place.0 as usize],
        }
    }

    fn members<'a>(&'a self, place: &'a Place) -> &'a [u32] {
        match place.crowd() {
            Some(crowd) => &self.crowds[crowd].members,
            None => std::slice::from_ref(&place.0),
        }
    }

    fn crowd(&mut self, group: GroupKey, members: Vec<u32>, vacant: &mut Vec<u32>) -> Place {
        let crowd = Crowd { group, members };
        let index = if let Some(index) = vacant.pop() {
            self.crowds[index as usize] = crowd;
            index
        } else {
            self.crowds.push(crowd);
            self.crowds.len() as u32 - 1
        };
        Place(CROWD | index)
    }
}

impl Place {
    fn crowd(self) -> Option<usize> {
        (self.0 & CROWD != 0).then_some((self.0 & !CROWD) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserId;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn groups_are_sets(ops in proptest::collection::vec((any::<bool>(), 0i64..4, 0u32..6), 1..400)) {
            let mut groups = Groups::default();
            let mut model: BTreeMap<i64, BTreeSet<u32>> = BTreeMap::new();
            for (join, id, index) in ops {
                let group = Group::User(UserId(id));
                let set = model.entry(id).or_default();
                if join && set.insert(index) {
                    prop_assert_eq!(groups.join(group, index), set.len() == 1);
                } else if !join {
                    let held = set.remove(&index);
                    prop_assert_eq!(groups.leave(group, index), held && set.is_empty());
                }
                let members: BTreeSet<u32> = groups.members(group).iter().copied().collect();
                prop_assert_eq!(&members, &*set);
                prop_assert_eq!(groups.members(group).len(), set.len());
            }
            prop_assert_eq!(groups.len(), model.values().filter(|set| !set.is_empty()).count());
        }
    }
}
