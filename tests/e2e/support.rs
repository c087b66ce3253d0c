//! What the tests are made of: a server, and clients that are none of ours.

pub(crate) mod http;
pub(crate) mod server;
pub(crate) mod users;
pub(crate) mod ws;

use std::time::{Duration, Instant};

pub(crate) use http::{Answer, Http};
pub(crate) use server::Server;
pub(crate) use users::{User, token_of};
pub(crate) use ws::{Got, Ws};

/// How long anything may take that does come: generous, since a passing test never waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Tries until `what` is there; each try has to wait for something by itself, such as an answer of the server.
pub(crate) fn eventually<T>(told: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {told}");
    }
}
