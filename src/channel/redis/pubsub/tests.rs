//! Nodes over real servers.

#![expect(clippy::disallowed_methods, reason = "a test is a shell: it waits, and reads clocks")]

mod cluster;
mod faults;
mod flow;
mod node;
