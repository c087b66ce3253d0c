//! The command lines of `handshakes`, `echo`, `fanout` and `slow`.

use clap::Args as Group;

use super::site::{FirstUser, Scenario, Site, Time};
use super::{percent, rate};
use crate::engine::crew::Part;

/// The shortest text in a room, bytes: its name and some filling.
const ROOM_BYTES_MIN: i64 = 40;

#[derive(Group)]
pub(crate) struct Handshakes {
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) site: Site,
    #[command(flatten)]
    pub(crate) people: FirstUser,
    /// Sessions that are opened, each of a user of its own.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) sessions: u32,
    /// Handshakes that are under way at once.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) under_way: u32,
}

#[derive(Group)]
pub(crate) struct Echo {
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) site: Site,
    #[command(flatten)]
    pub(crate) time: Time,
    /// Sessions on the echo socket.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) sessions: u32,
    /// Length of a text, bytes.
    #[arg(long, value_parser = clap::value_parser!(u32).range(16..=60_000))]
    pub(crate) bytes: u32,
    /// Texts a second of all sessions together, sent whatever became of those before. Without it each session sends its next one
    /// when its last one has come back.
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Processes of clients that share the sessions of a server that is started.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) processes: u32,
    /// Which of them this is.
    #[arg(long, hide = true)]
    pub(crate) part: Option<Part>,
}

#[derive(Group)]
pub(crate) struct Fanout {
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) site: Site,
    #[command(flatten)]
    pub(crate) people: FirstUser,
    #[command(flatten)]
    pub(crate) time: Time,
    /// Conversations, or rooms.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) conversations: u32,
    /// Sessions in each: half of them of each of its two users.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) sessions: u32,
    /// Sessions that send, at most; they take the conversations in turn.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) publishers: u32,
    /// Messages of one publisher that not all sessions of their conversation have heard yet; the next is sent when they have.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) window: u32,
    /// Messages a second of all publishers together, sent whatever became of those before.
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Length of what is said, bytes; at most 3,500.
    #[arg(long, value_parser = clap::value_parser!(u16).range(ROOM_BYTES_MIN..=3_500))]
    pub(crate) bytes: u16,
    /// Processes of clients that share the conversations of a server that is started.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) processes: u32,
    /// Which of them this is.
    #[arg(long, hide = true)]
    pub(crate) part: Option<Part>,
}

#[derive(Group)]
pub(crate) struct Slow {
    #[command(flatten)]
    pub(crate) fanout: Fanout,
    /// Sessions of each conversation that stop reading, percent.
    #[arg(long, value_parser = percent)]
    pub(crate) stopped: f64,
    /// How often the fan-out with them and that without take their turn.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) rounds: u16,
}
