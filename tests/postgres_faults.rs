//! Whatever goes wrong in Postgres, the store says which kind of failure it was, keeps what it said it kept and nothing else,
//! and works again by itself when Postgres does.
//!
//! Failures are real ones, of a real server, except where a test says otherwise.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails and says where, and tests have a clock"
)]

#[path = "postgres_faults/contention.rs"]
mod contention;
#[path = "postgres_faults/poison.rs"]
mod poison;
#[path = "postgres_faults/reach.rs"]
mod reach;
#[path = "postgres_faults/room.rs"]
mod room;
#[path = "postgres_faults/world.rs"]
mod world;
