//! Which of this shard's sessions are in which group: slot indices of four bytes, nothing else.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::model::{Group, GroupKey};

/// This shard's part of every group.
#[derive(Debug, Default)]
pub struct Groups {
    map: HashMap<GroupKey, Members, foldhash::fast::RandomState>,
    scratch: Vec<u32>,
}

/// Most groups have one session on a shard: it needs no allocation.
#[derive(Debug)]
enum Members {
    One(u32),
    /// Boxed twice, because most places of the table have one session or are empty.
    #[expect(clippy::box_collection, reason = "see above")]
    Many(Box<Vec<u32>>),
}

impl Groups {
    /// Puts the session at `index` into `group`. True exactly when it is the first here. A session joins a group once.
    pub fn join(&mut self, group: Group, index: u32) -> bool {
        match self.map.entry(group.into()) {
            Entry::Vacant(entry) => {
                entry.insert(Members::One(index));
                true
            }
            Entry::Occupied(mut entry) => {
                let members = entry.get_mut();
                debug_assert!(!members.as_slice().contains(&index), "a session joins a group once");
                match members {
                    Members::One(first) => *members = Members::Many(Box::new(vec![*first, index])),
                    Members::Many(list) => list.push(index),
                }
                false
            }
        }
    }

    /// Takes the session at `index` out of `group`. True exactly when it was the last here.
    pub fn leave(&mut self, group: Group, index: u32) -> bool {
        let Entry::Occupied(mut entry) = self.map.entry(group.into()) else { return false };
        match entry.get_mut() {
            Members::One(only) if *only == index => {
                entry.remove();
                true
            }
            Members::One(_) => false,
            Members::Many(list) => {
                // Order within a group means nothing, so the hole is filled from the end.
                if let Some(place) = list.iter().position(|member| *member == index) {
                    list.swap_remove(place);
                }
                if let [only] = list[..] {
                    *entry.get_mut() = Members::One(only);
                }
                false
            }
        }
    }

    /// The sessions here that are in `group`.
    pub fn members(&self, group: Group) -> &[u32] {
        self.map.get(&group.into()).map_or(&[], Members::as_slice)
    }

    /// Room for a copy of a group's members, for a delivery that can change the group on its way.
    pub fn scratch(&mut self) -> &mut Vec<u32> {
        &mut self.scratch
    }

    /// Groups with a session here.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// True exactly when no group has a session here.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

impl Members {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(index) => std::slice::from_ref(index),
            Self::Many(list) => list,
        }
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
        fn groups_are_sets(ops in proptest::collection::vec((any::<bool>(), 0i64..4, 0u32..12), 1..400)) {
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
