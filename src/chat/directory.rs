//! This node's users: whose sessions are open, and what each user may still do. Shared by all shards.
//!
//! A user is here while a session is open, for [`OFFLINE_GRACE_MS`] after the last one ended, and until the user's buckets
//! are full again; REST alone keeps a user here for the last reason only. So memory follows those who are here, not those
//! who ever were.
//!
//! Each call locks one of [`PARTS`] parts for the time of a hash look-up.

mod name;
mod users;

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::ChatLimits;
use crate::auth::Bucket;
use crate::limits::OFFLINE_GRACE_MS;
use crate::model::{Card, ConnRef, UserId};
use crate::time::Mono;

pub use name::Name;
use users::Users;

/// Parts, each under its own lock; a power of two.
const PARTS: usize = 64;

/// Who is here, and what each user may still do.
#[derive(Debug)]
pub struct Directory {
    parts: Box<[Mutex<Part>]>,
    limits: ChatLimits,
}

/// What a user does that has a rate of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Messages.
    Messages,
    /// `typing`.
    Typing,
    /// Read receipts.
    Receipts,
}

/// What came of one more session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// True exactly when the user was offline: the caller asks
    /// [`Request::SetPresence`](crate::store::Request::SetPresence), online.
    pub first: bool,
    /// The user's oldest session where there are too many: the caller has it closed with
    /// [`REPLACED`](crate::model::close::REPLACED). It is no longer counted here.
    pub evict: Option<ConnRef>,
}

impl Directory {
    /// Nobody is here.
    pub fn new(limits: ChatLimits) -> Self {
        let parts = std::iter::repeat_with(|| Mutex::new(Part::default())).take(PARTS);
        Self { parts: parts.collect(), limits }
    }

    /// A session of `card`'s user begins at `me`.
    pub fn open(&self, card: &Card, me: ConnRef) -> Arrival {
        let mut part = self.part(card.id).lock();
        let entry = part.users.get_or_insert(card.id, || Entry::of(card.id));
        if *entry.username != *card.username {
            entry.username = Name::of(&card.username);
        }
        let first = !std::mem::replace(&mut entry.is_online, true);
        entry.sessions.push(me);
        let is_over = entry.sessions.as_slice().len() > self.limits.connections_per_user.max(1);
        let evict = if is_over { entry.sessions.remove(0) } else { None };
        Arrival { first, evict }
    }

    /// The session at `me` ended. True exactly when it was the user's last one: unless another begins, [`Self::expire`] tells
    /// of it after the grace.
    pub fn close(&self, user: UserId, me: ConnRef, now: Mono) -> bool {
        let mut part = self.part(user).lock();
        let Some(entry) = part.users.get_mut(user) else { return false };
        let sessions = entry.sessions.as_slice();
        // One that was evicted is no longer counted.
        let Some(at) = sessions.iter().position(|session| *session == me) else { return false };
        entry.sessions.remove(at);
        let is_last = entry.sessions.as_slice().is_empty();
        if is_last {
            part.look_later(user, now);
        }
        is_last
    }

    /// Hands `f` each user whose last session ended [`OFFLINE_GRACE_MS`] ago or earlier, once: the caller asks
    /// [`Request::SetPresence`](crate::store::Request::SetPresence), offline. Forgets whom there is nothing to remember of.
    ///
    /// To be called about once a second by one shard. A user may come back between this and the store's commit, and the two
    /// requests may reach the store in either order: whoever gets the reply compares it with [`Self::is_online`], and asks
    /// again where they differ.
    pub fn expire(&self, now: Mono, mut f: impl FnMut(UserId)) {
        for part in &self.parts {
            let offline = part.lock().expire(now);
            offline.into_iter().for_each(&mut f);
        }
    }

    /// Takes one of what `user` may do, over all of the user's sessions and REST.
    ///
    /// # Errors
    ///
    /// There is none left; in so many milliseconds there will be one.
    pub fn take(&self, user: UserId, kind: Kind, now: Mono) -> Result<(), u64> {
        let mut part = self.part(user).lock();
        let Part { users, later } = &mut *part;
        let entry = users.get_or_insert(user, || {
            let look_at = now.plus(OFFLINE_GRACE_MS);
            later.push_back((look_at, user));
            Entry { look_at, ..Entry::of(user) }
        });
        let buckets = entry.buckets.get_or_insert_default();
        match kind {
            Kind::Messages => buckets.messages.take(now, &self.limits.messages),
            Kind::Typing => buckets.typing.take(now, &self.limits.typing),
            Kind::Receipts => buckets.receipts.take(now, &self.limits.receipts),
        }
    }

    /// How many of `kind` are left to `user` now, for `RateLimit` headers.
    pub fn remaining(&self, user: UserId, kind: Kind, now: Mono) -> u32 {
        let part = self.part(user).lock();
        let buckets = part.users.get(user).and_then(|entry| entry.buckets.as_deref());
        let full = Buckets::default();
        let buckets = buckets.unwrap_or(&full);
        match kind {
            Kind::Messages => buckets.messages.remaining(now, &self.limits.messages),
            Kind::Typing => buckets.typing.remaining(now, &self.limits.typing),
            Kind::Receipts => buckets.receipts.remaining(now, &self.limits.receipts),
        }
    }

    /// True exactly when `user` has a session here, or had one within the grace.
    pub fn is_online(&self, user: UserId) -> bool {
        self.part(user).lock().users.get(user).is_some_and(|entry| entry.is_online)
    }

    /// Everybody of whom that is true, as each part of the table was when it was looked at.
    pub fn online(&self) -> Vec<UserId> {
        let mut online = Vec::new();
        for part in &self.parts {
            let part = part.lock();
            let users = part.users.iter().filter(|entry| entry.is_online);
            online.extend(users.map(|entry| entry.user));
        }
        online
    }

    /// The name of a user who is here.
    pub fn username(&self, user: UserId) -> Option<Name> {
        let part = self.part(user).lock();
        part.users.get(user).map(|entry| entry.username.clone())
    }

    /// Users remembered, for metrics.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().users.len()).sum()
    }

    /// True exactly when nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn part(&self, user: UserId) -> &Mutex<Part> {
        // Fibonacci hashing: ids of consecutive rows, and of every n-th row, spread alike.
        let mixed = (user.0 as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &self.parts[(mixed >> 32) as usize % PARTS]
    }
}

#[derive(Default, Debug)]
struct Part {
    users: Users,
    /// Users to look at, and when: each pair in the order of its time, since every wait is as long.
    later: VecDeque<(Mono, UserId)>,
}

#[derive(Debug)]
struct Entry {
    user: UserId,
    sessions: Sessions,
    username: Name,
    /// What the user may still do; made when the user first does something. Most listen.
    buckets: Option<Box<Buckets>>,
    /// When it is looked at because nobody is here; older pairs in [`Part::later`] mean nothing.
    look_at: Mono,
    /// True exactly when the user was said to be online.
    is_online: bool,
}

#[derive(Default, Debug)]
struct Buckets {
    messages: Bucket,
    typing: Bucket,
    receipts: Bucket,
}

impl Entry {
    /// Nobody is here.
    fn of(user: UserId) -> Self {
        Self {
            user,
            sessions: Sessions::None,
            username: Name::default(),
            buckets: None,
            look_at: Mono(0),
            is_online: false,
        }
    }
}

impl Part {
    fn look_later(&mut self, user: UserId, now: Mono) {
        let Some(entry) = self.users.get_mut(user) else { return };
        entry.look_at = now.plus(OFFLINE_GRACE_MS);
        self.later.push_back((entry.look_at, user));
    }

    /// Those who are offline from now on.
    fn expire(&mut self, now: Mono) -> Vec<UserId> {
        let mut offline = Vec::new();
        while let Some(&(at, user)) = self.later.front()
            && at <= now
        {
            self.later.pop_front();
            let Some(entry) = self.users.get_mut(user) else { continue };
            if entry.look_at != at || !entry.sessions.as_slice().is_empty() {
                continue;
            }
            if std::mem::take(&mut entry.is_online) {
                offline.push(user);
            }
            if entry.buckets.as_ref().is_none_or(|buckets| buckets.are_full(now)) {
                self.users.remove(user);
            } else {
                self.look_later(user, now);
            }
        }
        offline
    }
}

impl Buckets {
    /// True exactly when they are as good as new ones.
    fn are_full(&self, now: Mono) -> bool {
        [self.messages, self.typing, self.receipts].iter().all(|bucket| bucket.is_full(now))
    }
}

/// A user's sessions, oldest first. Most have one, which takes no allocation.
#[derive(Debug)]
enum Sessions {
    None,
    One(ConnRef),
    #[expect(clippy::box_collection, reason = "one word for what few have")]
    Many(Box<Vec<ConnRef>>),
}

impl Sessions {
    fn as_slice(&self) -> &[ConnRef] {
        match self {
            Self::None => &[],
            Self::One(session) => std::slice::from_ref(session),
            Self::Many(sessions) => sessions,
        }
    }

    fn push(&mut self, session: ConnRef) {
        match self {
            Self::None => *self = Self::One(session),
            Self::One(first) => *self = Self::Many(Box::new(vec![*first, session])),
            Self::Many(sessions) => sessions.push(session),
        }
    }

    /// Removes the one at `at`, where there is one.
    fn remove(&mut self, at: usize) -> Option<ConnRef> {
        let removed = self.as_slice().get(at).copied()?;
        match self {
            Self::Many(sessions) => {
                sessions.remove(at);
                if let [only] = sessions[..] {
                    *self = Self::One(only);
                }
            }
            Self::None | Self::One(_) => *self = Self::None,
        }
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::auth::Rate;
    use crate::model::{ConnKey, ShardId};

    fn card(user: i64) -> Card {
        let username = format!("user{user}").into();
        Card { id: UserId(user), username, profile_picture: None }
    }

    fn conn(index: u32) -> ConnRef {
        ConnRef { shard: ShardId(0), key: ConnKey { index, generation: 1 } }
    }

    fn offline(directory: &Directory, now: Mono) -> Vec<UserId> {
        let mut users = Vec::new();
        directory.expire(now, |user| users.push(user));
        users
    }

    #[test]
    fn a_user_costs_little() {
        assert!(size_of::<Entry>() <= 64, "{}", size_of::<Entry>());
    }

    #[test]
    fn a_user_is_offline_a_grace_after_the_last_session_and_a_new_one_cancels_it() {
        let directory = Directory::new(ChatLimits::default());
        assert!(directory.open(&card(1), conn(1)).first);
        assert!(!directory.open(&card(1), conn(2)).first);
        assert!(!directory.close(UserId(1), conn(1), Mono(0)));
        assert!(directory.close(UserId(1), conn(2), Mono(1_000)));
        assert!(!directory.open(&card(1), conn(3)).first, "never said to be offline");
        assert_eq!(offline(&directory, Mono(16_000)), []);
        assert!(directory.close(UserId(1), conn(3), Mono(20_000)));
        assert_eq!(offline(&directory, Mono(34_999)), []);
        assert!(directory.is_online(UserId(1)));
        assert_eq!(offline(&directory, Mono(35_000)), [UserId(1)]);
        assert!(!directory.is_online(UserId(1)));
        assert_eq!(offline(&directory, Mono(99_000)), [], "once");
        assert!(directory.is_empty());
    }

    #[test]
    fn over_the_limit_the_oldest_session_goes_and_its_end_counts_once() {
        let limits = ChatLimits { connections_per_user: 2, ..ChatLimits::default() };
        let directory = Directory::new(limits);
        let evicted = [1, 2, 3, 4].map(|index| directory.open(&card(1), conn(index)).evict);
        assert_eq!(evicted, [None, None, Some(conn(1)), Some(conn(2))]);
        assert!(!directory.close(UserId(1), conn(1), Mono(0)), "it is no longer counted");
        assert!(!directory.close(UserId(1), conn(3), Mono(0)));
        assert!(directory.close(UserId(1), conn(4), Mono(0)));
    }

    #[test]
    fn reconnecting_does_not_refill_a_bucket() {
        let limits = ChatLimits { messages: Rate::new(0.1, 1), ..ChatLimits::default() };
        let directory = Directory::new(limits);
        let user = UserId(1);
        directory.open(&card(1), conn(1));
        assert_eq!(directory.take(user, Kind::Messages, Mono(0)), Ok(()));
        directory.close(user, conn(1), Mono(0));
        directory.expire(Mono(5_000), |_| {});
        directory.open(&card(1), conn(2));
        assert_eq!(directory.take(user, Kind::Messages, Mono(5_000)), Err(5_000));
        assert_eq!(directory.take(user, Kind::Typing, Mono(5_000)), Ok(()), "each kind its own");
        assert_eq!(directory.remaining(user, Kind::Messages, Mono(10_000)), 1);
    }

    #[test]
    fn a_user_of_rest_alone_is_forgotten_once_the_buckets_are_full() {
        let limits = ChatLimits { messages: Rate::new(0.05, 1), ..ChatLimits::default() };
        let directory = Directory::new(limits);
        directory.take(UserId(1), Kind::Messages, Mono(0)).unwrap();
        assert_eq!(offline(&directory, Mono(15_000)), [], "never was online");
        assert_eq!(directory.len(), 1, "the bucket is not full");
        directory.expire(Mono(30_000), |_| {});
        assert!(directory.is_empty());
    }

    proptest! {
        /// Against a model that keeps everything.
        #[test]
        fn the_directory_knows_who_is_here(
            ops in proptest::collection::vec((0_u8..4, 0_i64..3, 0_u32..5, 0_u64..9_000), 0..100),
        ) {
            let limits = ChatLimits { connections_per_user: 3, ..ChatLimits::default() };
            let directory = Directory::new(limits);
            let mut sessions: BTreeMap<i64, Vec<ConnRef>> = BTreeMap::new();
            let mut left: BTreeMap<i64, Mono> = BTreeMap::new();
            let mut online = BTreeSet::new();
            let mut now = Mono(0);
            for (op, user, index, ms) in ops {
                let (here, me) = (sessions.entry(user).or_default(), conn(index));
                match op {
                    0 if !here.contains(&me) => {
                        here.push(me);
                        let evict = (here.len() > 3).then(|| here.remove(0));
                        let first = online.insert(user);
                        left.remove(&user);
                        prop_assert_eq!(directory.open(&card(user), me), Arrival { first, evict });
                    }
                    1 => {
                        let was_here = here.contains(&me);
                        here.retain(|session| *session != me);
                        let is_last = was_here && here.is_empty();
                        if is_last {
                            left.insert(user, now);
                        }
                        prop_assert_eq!(directory.close(UserId(user), me, now), is_last);
                    }
                    2 => _ = directory.take(UserId(user), Kind::Messages, now),
                    _ => {
                        now = now.plus(ms);
                        let gone: Vec<i64> = left
                            .iter()
                            .filter(|(_, at)| now.since(**at) >= OFFLINE_GRACE_MS)
                            .map(|(user, _)| *user)
                            .collect();
                        for user in &gone {
                            left.remove(user);
                            online.remove(user);
                        }
                        let mut told = offline(&directory, now);
                        told.sort_unstable();
                        prop_assert_eq!(told, gone.into_iter().map(UserId).collect::<Vec<_>>());
                    }
                }
                for user in 0..3 {
                    prop_assert_eq!(directory.is_online(UserId(user)), online.contains(&user));
                }
                let mut found = directory.online();
                found.sort_unstable();
                let expect: Vec<_> = online.iter().copied().map(UserId).collect();
                prop_assert_eq!(found, expect);
            }
            // Once everybody has left, nothing is kept.
            for (user, here) in sessions {
                for me in here {
                    directory.close(UserId(user), me, now);
                }
            }
            for step in 1..=3 {
                directory.expire(now.plus(step * OFFLINE_GRACE_MS), |_| {});
            }
            prop_assert!(directory.is_empty());
        }
    }
}
