//! The command lines of `storm` and `soak`.

use clap::Args as Group;

use super::rate;
use super::site::{FirstUser, Scenario, Site, Time};

#[derive(Group)]
pub(crate) struct Storm {
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) site: Site,
    #[command(flatten)]
    pub(crate) people: FirstUser,
    /// Sessions, two in each conversation.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(crate) sessions: u32,
    /// Messages that each of them misses; at most what one resume tells.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) missed: u32,
    /// Messages that are sent and not stored yet, at most, while those are stored that are to be missed.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) ahead: u32,
    /// A session comes back any time within this after the kill, ms; the bound doubles with each failure.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) backoff_ms: u64,
    /// The greatest bound, ms.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) backoff_most_ms: u64,
    /// How long all may take, seconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) patience_s: u64,
    /// Decides who comes back when.
    #[arg(long)]
    pub(crate) seed: u64,
}

#[derive(Group)]
pub(crate) struct Soak {
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) site: Site,
    #[command(flatten)]
    pub(crate) people: FirstUser,
    #[command(flatten)]
    pub(crate) time: Time,
    /// Conversations in which two users talk.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) conversations: u32,
    /// Messages a second of all conversations together.
    #[arg(long, value_parser = rate)]
    pub(crate) rate: f64,
    /// Length of a message, bytes; at most 3,500.
    #[arg(long, value_parser = clap::value_parser!(u16).range(40..=3_500))]
    pub(crate) bytes: u16,
    /// Sessions a second that come and go.
    #[arg(long, value_parser = rate)]
    pub(crate) churn: f64,
    /// How long each of them stays, ms.
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub(crate) stay_ms: u64,
    /// Users to whom they belong.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) users: u32,
    /// How often the server is looked at, seconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) sample_s: u64,
    /// How long the server is left alone before the first look and before the last, seconds: longer than a user counts as online.
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=3_600))]
    pub(crate) rest_s: u64,
}
