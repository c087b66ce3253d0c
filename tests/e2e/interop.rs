//! One bus with Django: two servers, and Python processes that run the real `channels` and `channels_redis`, over one Redis and
//! one Postgres.
//!
//! Not among the tests that `cargo test` runs by itself, since the first run fetches Python packages: `cargo test --test interop`.
//! The Python parts, and what they are made of, are in `tests/interop`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails and says what it counted, and tests have a clock"
)]
#![allow(dead_code, unused_imports, reason = "what supports all tests supports some of them here")]

mod support;

#[path = "interop/crowd.rs"]
mod crowd;
#[path = "interop/inward.rs"]
mod inward;
#[path = "interop/outward.rs"]
mod outward;
#[path = "interop/python.rs"]
mod python;
#[path = "interop/world.rs"]
mod world;

use support::server::Over;

/// Where the servers of these tests keep what they are told.
const OVER: Over = Over::Postgres;
