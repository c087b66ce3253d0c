//! Which shards have sessions in which group: one word of bits a group, in sharded maps.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;

use parking_lot::Mutex;

use crate::ids::ShardId;
use crate::limits::SHARDS_MAX;
use crate::model::{Group, GroupKey};

const STRIPES: usize = 64;
const _: () = assert!(SHARDS_MAX <= u64::BITS as usize && STRIPES.is_power_of_two());

type Map = HashMap<GroupKey, u64, foldhash::fast::RandomState>;

/// The global group table of a node.
#[derive(Debug)]
pub struct Registry {
    hasher: foldhash::fast::RandomState,
    stripes: Box<[Mutex<Map>]>,
}

impl Default for Registry {
    fn default() -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Self { hasher: foldhash::fast::RandomState::default(), stripes }
    }
}

impl Registry {
    /// `shard` has sessions in `group`. True exactly when it is the first shard that has.
    pub fn join(&self, group: Group, shard: ShardId) -> bool {
        let group = GroupKey::from(group);
        let mut map = self.stripe(group).lock();
        let mask = map.entry(group).or_default();
        let was_empty = *mask == 0;
        *mask |= 1 << shard.0;
        was_empty
    }

    /// `shard` has no session in `group` any more. True exactly when no shard has.
    pub fn leave(&self, group: Group, shard: ShardId) -> bool {
        let group = GroupKey::from(group);
        let mut map = self.stripe(group).lock();
        let Entry::Occupied(mut entry) = map.entry(group) else { return false };
        *entry.get_mut() &= !(1 << shard.0);
        let is_last = *entry.get() == 0;
        if is_last {
            entry.remove();
        }
        is_last
    }

    /// The shards that have sessions in `group`, lowest first. The lock is not held while they are walked.
    pub fn shards(&self, group: Group) -> impl Iterator<Item = ShardId> + use<> {
        let group = GroupKey::from(group);
        let mut mask = self.stripe(group).lock().get(&group).copied().unwrap_or(0);
        std::iter::from_fn(move || {
            let shard = mask.trailing_zeros();
            mask &= mask.wrapping_sub(1);
            (shard < u64::BITS).then_some(ShardId(shard as u16))
        })
    }

    /// Groups with a session on some shard.
    pub fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.lock().len()).sum()
    }

    /// True exactly when no group has a session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn stripe(&self, group: GroupKey) -> &Mutex<Map> {
        // The map's own hash uses the low bits, so the stripe takes the high ones.
        &self.stripes[(self.hasher.hash_one(group) >> 58) as usize % STRIPES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserId;

    #[test]
    fn a_group_is_known_from_its_first_shard_to_its_last() {
        let registry = Registry::default();
        let group = Group::User(UserId(1));
        assert!(registry.join(group, ShardId(63)));
        assert!(!registry.join(group, ShardId(0)));
        assert!(!registry.join(group, ShardId(0)));
        assert_eq!(registry.shards(group).collect::<Vec<_>>(), [ShardId(0), ShardId(63)]);
        assert!(!registry.leave(group, ShardId(63)));
        assert!(registry.leave(group, ShardId(0)));
        assert!(!registry.leave(group, ShardId(0)));
        assert_eq!(registry.shards(group).count(), 0);
        assert!(registry.is_empty());
    }
}
