//! End to end over Postgres: what must not depend on the store, told once more, and what goes wrong with it: killed, restarted,
//! not there, shared by two servers.
//!
//! Servers share one private Postgres, each with a database of its own. As in the other tests, everything waits for what it expects, until a deadline. Each test whose Postgres dies has one of its
//! own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails and says how long it took, and tests have a clock"
)]
#![allow(
    dead_code,
    unused_imports,
    reason = "what supports all tests over SQLite supports some of them here"
)]

mod chat;
mod crash;
mod drain;
mod matching;
mod rest;
mod revoke;
mod support;

#[path = "postgres/absent.rs"]
mod absent;
#[path = "postgres/killed.rs"]
mod killed;
#[path = "postgres/mouth.rs"]
mod mouth;
#[path = "postgres/nodes.rs"]
mod nodes;
#[path = "postgres/twins.rs"]
mod twins;

use support::server::Over;

/// Where the servers of these tests keep what they are told.
const OVER: Over = Over::Postgres;
