//! End to end over several nodes: servers that share one Postgres and one Redis, and clients that must not notice which of them
//! they are on; and what goes wrong between them: Redis away, a node killed.
//!
//! Each test has a Redis of its own and a database of its own. As in the other tests, everything waits for what it expects, until a
//! deadline.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails and says how long it took, and tests have a clock"
)]
#![allow(dead_code, unused_imports, reason = "what supports all tests supports some of them here")]

mod support;

#[path = "redis/blocks.rs"]
mod blocks;
#[path = "redis/chaos.rs"]
mod chaos;
#[path = "redis/churn.rs"]
mod churn;
#[path = "redis/cluster.rs"]
mod cluster;
#[path = "redis/cross.rs"]
mod cross;
#[path = "redis/outage.rs"]
mod outage;
#[path = "redis/presence.rs"]
mod presence;

use support::server::Over;

/// Where the servers of these tests keep what they are told.
const OVER: Over = Over::Postgres;
