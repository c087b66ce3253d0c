//! End to end: the real process on a free port, real clients over TCP, and what the README promises of both.
//!
//! Every test has a server and a store of its own, so that tests run side by side. Nothing sleeps: a test waits for what it
//! expects, until a deadline. That something does *not* come is shown by something later that does: what was published
//! before an `ack` is in every session's way before the answer to a `ping` that it sends afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and tests have a clock"
)]

mod adopt;
mod auth;
mod bad_input;
mod chat;
mod crash;
mod descriptors;
mod drain;
mod first_answer;
mod http;
mod limits;
mod matching;
mod ops;
mod rest;
mod revoke;
mod support;

use support::server::Over;

/// Where the servers of these tests keep what they are told.
const OVER: Over = Over::Sqlite;
