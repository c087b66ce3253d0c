//! Users of a server, and how they are known to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use fortifun_realtime::auth::jwt;
use fortifun_realtime::ids::UserId;
use fortifun_realtime::store::{Reply, Request};
use fortifun_realtime::time::Timestamp;

use super::Server;
use super::server::SECRET;

/// A user, with a token that lasts.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) token: String,
}

/// Two users who are matched, and where they talk. The welcome message there has `seq` 1.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) alice: User,
    pub(crate) bob: User,
    pub(crate) conversation: i64,
}

/// The clock on the wall.
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64)
}

/// A token of a user, valid for `ttl_s` seconds, signed with `secret`.
pub(crate) fn sign(secret: &str, user: i64, ttl_s: i64) -> String {
    static JTI: AtomicU64 = AtomicU64::new(1);
    let jti = u128::from(JTI.fetch_add(1, Ordering::Relaxed));
    jwt::issue(secret.as_bytes(), UserId(user), ttl_s, wall_clock(), jti)
}

/// A token of a user, valid for an hour.
pub(crate) fn token_of(user: i64) -> String {
    sign(SECRET, user, 3_600)
}

impl Server {
    /// Adds users, straight to the store.
    pub(crate) fn users(&self, names: &[&str]) -> Vec<User> {
        let add = |name: &&str| Request::AddUser {
            username: (*name).to_owned(),
            first_name: String::new(),
            last_name: String::new(),
        };
        let requests: Vec<_> = names.iter().map(add).collect();
        let user = |reply| match reply {
            Ok(Reply::UserAdded(card)) => {
                User { id: card.id.0, name: card.username.to_string(), token: token_of(card.id.0) }
            }
            other => panic!("no user added: {other:?}"),
        };
        self.commit(&requests).into_iter().map(user).collect()
    }

    /// Adds alice and bob, who like each other.
    pub(crate) fn pair(&self) -> Pair {
        let mut users = self.users(&["alice", "bob"]);
        let bob = users.remove(1);
        let alice = users.remove(0);
        let conversation = self.matched(&alice, &bob);
        Pair { alice, bob, conversation }
    }

    /// Lets two users like each other; returns the conversation that they have from then on.
    pub(crate) fn matched(&self, a: &User, b: &User) -> i64 {
        let like = |liker: &User, liked: &User| Request::Like {
            liker: UserId(liker.id),
            liked: UserId(liked.id),
            welcome: Arc::from("Welcome."),
        };
        match self.commit(&[like(a, b), like(b, a)]).pop() {
            Some(Ok(Reply::Liked { made: Some(made), .. })) => made.made.conversation.0,
            other => panic!("no match: {other:?}"),
        }
    }
}
