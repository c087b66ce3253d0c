//! The command lines of `latency`, `publishes` and `churn`: what the bus between nodes costs.

use clap::Args as Group;

use super::nodes::Fleet;
use super::rate;
use super::site::Scenario;

#[derive(Group)]
pub(crate) struct Latency {
    #[command(flatten)]
    pub(crate) fleet: Fleet,
    /// Pairs of users on one node, and as many across the two.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) pairs: u32,
    /// Messages of all pairs together; those of both kinds of pairs take turns.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    pub(crate) messages: u32,
    /// Messages a second.
    #[arg(long, default_value_t = 200.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// Length of a message, bytes; at most 3,500.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(..=3_500))]
    pub(crate) bytes: u16,
}

#[derive(Group)]
pub(crate) struct Publishes {
    #[command(flatten)]
    pub(crate) fleet: Fleet,
    /// Sessions that say all the time whether they type.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) sessions: u32,
    /// Commands of one session whose event has not come back.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) in_flight: u16,
    /// How often the node and the bare loop take their turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// How long each is measured, each time, seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
}

#[derive(Group)]
pub(crate) struct Churn {
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) fleet: Fleet,
    /// Sessions that come and go in one round, each of a user of its own.
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) sessions: u32,
    /// Sessions a second.
    #[arg(long, value_parser = rate)]
    pub(crate) rate: f64,
    /// How long each stays, ms.
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub(crate) stay_ms: u64,
    /// How many rounds.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// Between rounds, seconds: longer than a user counts as online and a group that nobody needs is listened to.
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=3_600))]
    pub(crate) rest_s: u64,
}
