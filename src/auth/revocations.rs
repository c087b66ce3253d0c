//! Tokens that are refused though they have not expired, as this node knows them. Shared by all shards.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use foldhash::fast::FixedState;
use parking_lot::RwLock;

use super::Claims;
use crate::model::{Revocation, Revoked, UserId};
use crate::time::Timestamp;

/// What is remembered of a token while its session lives, so that it is known again when it is revoked.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stamp {
    /// Its `jti`, hashed; 0 where it has none. In halves, so that a session finds room for it.
    jti: [u32; 2],
    /// Its `iat`, whole seconds since 1970; 0 where it has none.
    issued_s: u32,
}

/// See the module. As large as the list of revocations that have not ended.
#[derive(Default, Debug)]
pub struct Revocations {
    /// False: whoever asks need not take the lock.
    has_any: AtomicBool,
    newest: AtomicI64,
    /// When the first of them ends, µs since 1970.
    ends_at: AtomicI64,
    table: RwLock<Table>,
}

#[derive(Default, Debug)]
struct Table {
    users: HashMap<UserId, OfUser, FixedState>,
    /// By the hash of a `jti`: when it may be forgotten.
    tokens: HashMap<u64, Timestamp, FixedState>,
}

/// Tokens of one user are refused.
#[derive(Debug)]
struct OfUser {
    /// Those that were issued in this second since 1970 or before.
    issued_s: i64,
    until: Timestamp,
}

impl Stamp {
    /// What is remembered of the token that makes these claims.
    pub fn of(claims: &Claims) -> Self {
        let seconds = claims.issued_at.map_or(0, Timestamp::unix_seconds);
        let issued_s = u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
        let jti = claims.jti.as_deref().map_or(0, hash);
        Self { jti: [jti as u32, (jti >> 32) as u32], issued_s }
    }
}

impl Revocations {
    /// The number of the newest one that is known; 0 where none is.
    pub fn newest(&self) -> i64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Refuses what `revocations` are about from now on, and forgets what has ended. Any may come twice.
    pub fn add(&self, revocations: &[Revocation], now: Timestamp) {
        let mut table = self.table.write();
        for Revocation { id, revoked, at, until } in revocations {
            self.newest.fetch_max(*id, Ordering::AcqRel);
            match revoked {
                Revoked::User(user) => {
                    let fresh = || OfUser { issued_s: i64::MIN, until: *until };
                    let known = table.users.entry(*user).or_insert_with(fresh);
                    known.issued_s = known.issued_s.max(at.unix_seconds());
                    known.until = known.until.max(*until);
                }
                Revoked::Token(jti) => {
                    let known = table.tokens.entry(hash(jti)).or_insert(*until);
                    *known = (*known).max(*until);
                }
            }
        }
        self.tidy(&mut table, now);
    }

    /// Forgets what has ended. Costs one load while nothing has.
    pub fn prune(&self, now: Timestamp) {
        if self.has_any.load(Ordering::Acquire) && self.ends_at.load(Ordering::Relaxed) <= now.0 {
            self.tidy(&mut self.table.write(), now);
        }
    }

    /// True exactly when the token of `user` that is remembered as `stamp` is refused. Costs one load while there is none.
    #[inline]
    pub fn revokes(&self, user: UserId, stamp: Stamp) -> bool {
        self.has_any.load(Ordering::Acquire) && self.look_up(user, stamp)
    }

    fn look_up(&self, user: UserId, stamp: Stamp) -> bool {
        let table = self.table.read();
        let is_old = |of_user: &OfUser| i64::from(stamp.issued_s) <= of_user.issued_s;
        let [low, high] = stamp.jti.map(u64::from);
        let jti = high << 32 | low;
        table.users.get(&user).is_some_and(is_old) || (jti != 0 && table.tokens.contains_key(&jti))
    }

    fn tidy(&self, table: &mut Table, now: Timestamp) {
        table.users.retain(|_, of_user| of_user.until > now);
        table.tokens.retain(|_, until| *until > now);
        let ends = table.users.values().map(|of_user| of_user.until);
        let ends_at = ends.chain(table.tokens.values().copied()).min();
        self.ends_at.store(ends_at.map_or(i64::MAX, |at| at.0), Ordering::Relaxed);
        self.has_any.store(ends_at.is_some(), Ordering::Release);
    }
}

/// Never 0. Names are not chosen by whoever holds the token, so the seed need not be secret.
fn hash(jti: &str) -> u64 {
    FixedState::default().hash_one(jti).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);
    const LATER: Timestamp = Timestamp::from_unix_seconds(1_700_000_100);

    fn stamp(issued_s: i64, jti: Option<&str>) -> Stamp {
        let issued_at = (issued_s != 0).then(|| Timestamp::from_unix_seconds(issued_s));
        let (user, expires_at) = (UserId(1), LATER);
        Stamp::of(&Claims { user, expires_at, issued_at, jti: jti.map(Box::from) })
    }

    fn of_user(id: i64, user: i64, at: Timestamp, until: Timestamp) -> Revocation {
        Revocation { id, revoked: Revoked::User(UserId(user)), at, until }
    }

    fn of_token(id: i64, jti: &str, until: Timestamp) -> Revocation {
        Revocation { id, revoked: Revoked::Token(jti.into()), at: NOW, until }
    }

    #[test]
    fn a_users_tokens_are_refused_up_to_the_second_and_fresh_ones_are_good() {
        let revocations = Revocations::default();
        assert!(!revocations.revokes(UserId(1), stamp(0, None)));
        revocations.add(&[of_user(3, 1, Timestamp(NOW.0 + 999_999), LATER)], NOW);
        for (issued_s, is_refused) in
            [(0, true), (1, true), (1_700_000_000, true), (1_700_000_001, false)]
        {
            assert_eq!(revocations.revokes(UserId(1), stamp(issued_s, Some("a"))), is_refused);
            assert!(!revocations.revokes(UserId(2), stamp(issued_s, Some("a"))), "of another");
        }
        // An older one that comes late takes nothing back.
        revocations.add(&[of_user(2, 1, Timestamp(0), LATER)], NOW);
        assert!(revocations.revokes(UserId(1), stamp(1_700_000_000, None)));
        assert_eq!(revocations.newest(), 3);
    }

    #[test]
    fn one_token_is_refused_by_its_name() {
        let revocations = Revocations::default();
        revocations.add(&[of_token(1, "a", LATER)], NOW);
        assert!(revocations.revokes(UserId(1), stamp(1_800_000_000, Some("a"))));
        for other in [Some("b"), Some(""), None] {
            assert!(!revocations.revokes(UserId(1), stamp(1, other)), "{other:?}");
        }
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let revocations = Revocations::default();
        revocations.add(&[of_user(1, 1, NOW, LATER), of_token(2, "a", LATER.plus_ms(1))], NOW);
        revocations.prune(Timestamp(LATER.0 - 1));
        assert!(revocations.revokes(UserId(1), stamp(1, None)));
        revocations.prune(LATER);
        assert!(!revocations.revokes(UserId(1), stamp(1, None)));
        assert!(revocations.revokes(UserId(1), stamp(1, Some("a"))));
        revocations.prune(LATER.plus_ms(1));
        assert!(!revocations.has_any.load(Ordering::Relaxed));
        assert_eq!(revocations.newest(), 2, "it is not read again");
    }
}
