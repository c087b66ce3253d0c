//! The table of one part: users by id, in one word a place.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use super::Entry;
use crate::model::UserId;

/// Boxed, and named by their own entry, because a table keeps half of its places empty.
#[derive(Default, Debug)]
pub(super) struct Users(HashTable<Box<Entry>>);

impl Users {
    pub(super) fn get(&self, user: UserId) -> Option<&Entry> {
        self.0.find(hash(user), |entry| entry.user == user).map(|entry| &**entry)
    }

    pub(super) fn get_mut(&mut self, user: UserId) -> Option<&mut Entry> {
        self.0.find_mut(hash(user), |entry| entry.user == user).map(|entry| &mut **entry)
    }

    /// The entry of `user`, which `make` makes where there is none.
    pub(super) fn get_or_insert(
        &mut self,
        user: UserId,
        make: impl FnOnce() -> Entry,
    ) -> &mut Entry {
        let place = self.0.entry(hash(user), |entry| entry.user == user, |entry| hash(entry.user));
        match place {
            Place::Occupied(place) => place.into_mut(),
            Place::Vacant(place) => place.insert(Box::new(make())).into_mut(),
        }
    }

    pub(super) fn remove(&mut self, user: UserId) {
        if let Ok(place) = self.0.find_entry(hash(user), |entry| entry.user == user) {
            place.remove();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().map(|entry| &**entry)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn hash(user: UserId) -> u64 {
    FixedState::default().hash_one(user)
}
