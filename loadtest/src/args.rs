//! The command line.

mod bus;
mod commits;
mod compare;
mod nodes;
mod output;
mod site;
mod told;
mod traffic;
mod trouble;

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};

pub(crate) use self::bus::{Churn, Latency, Publishes};
pub(crate) use self::commits::Commits;
pub(crate) use self::compare::{Compare, Compared};
pub(crate) use self::nodes::{Fleet, Layer, Nodes};
pub(crate) use self::output::Output;
pub(crate) use self::site::{FirstUser, Scenario, Site};
pub(crate) use self::told::told;
pub(crate) use self::traffic::{Echo, Fanout, Handshakes, Slow};
pub(crate) use self::trouble::{Soak, Storm};
use crate::engine::crew::Part;
use crate::pairs::Pair;

const LONG_ABOUT: &str = "\
Real clients for a running fortifun: they load it, measure it, and check what it says while they do.

Users must exist. On an empty database:

  fortifun user add load --count 15000             (prints the first and the last id)

A server that is to be loaded and not to defend itself, with room for 15,000 sockets:

  ulimit -n 20000
  SECRET_KEY=... DATABASE_URL=sqlite:///load.db MESSAGES_PER_SECOND=100000 MESSAGES_BURST=1000000 \\
  COMMANDS_PER_SECOND=1000000 CONNECTIONS_PER_IP=0 CONNECTS_PER_SECOND_PER_IP=0 fortifun serve

A scenario without --url starts the server, raises its limits, and ends it.

On one machine the clients of `idle` bind 127.0.0.1, 127.0.0.2 and so on, 900 each, and so stay within the server's own
limits by address and the range of ports.

Exit status: 0, all is well; 1, the server was wrong, and the report names each fault, or a condition of --fail-if held; 2, the
run could not take place, or a condition is of a figure that it does not have.";

/// Load harness for fortifun.
#[derive(Parser)]
#[command(name = "fortifun-loadtest", version, about, long_about = LONG_ABOUT)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) output: Output,
    /// What the subcommand was told, by flags and by its scenario.
    #[arg(skip)]
    pub(crate) told: Vec<(String, serde_json::Value)>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Opens sessions as fast as the server lets them in, and measures what one handshake costs it.
    Handshakes(Handshakes),
    /// Texts come back as they went: what the server spends on one, and how long it takes.
    Echo(Echo),
    /// What is said in a conversation goes to all its sessions, and each must hear every message once, in order: what the server
    /// spends on one delivery, and how long it takes.
    Fanout(Fanout),
    /// A fan-out in which some sessions stop reading, in turn with one in which all read: what the others notice.
    Slow(Slow),
    /// The server is killed under many sessions: how long until all are back and have heard what they missed.
    Storm(Storm),
    /// Pairs talk and sessions come and go, for minutes or hours: memory, descriptors and connections over time, and whether they
    /// are what they were at the start.
    Soak(Soak),
    /// The same scenario against several servers in turns, each started anew for each run: medians, and ratios to one of them.
    ///
    /// Peers are made by npm, cargo or pip, once. What stands behind `--` is told to the scenario.
    Compare(Compare),
    /// Pairs of users talk at a steady rate, as people do: they are seen to type, and say that they have read. Latencies are measured
    /// from the intended time of each message; every session must hear every message once, in order, and it must be stored.
    Chat(Chat),
    /// Opens sessions that do nothing but answer pings, and measures what the server spends on them.
    ///
    /// Start the server with `ulimit -n 20000` for 15,000 sessions; its other limits may stay as they are.
    Idle(Idle),
    /// Pairs of users like each other at the same moment, in both orders; each pair must have one match, one conversation
    /// and one welcome message.
    #[command(name = "match", alias = "likes")]
    Match(Match),
    /// Writers record each message that they see committed, until the time is up or the server is gone.
    Crash(Crash),
    /// Checks a ledger of `crash` against what is stored.
    Verify(Verify),
    /// Opens a conversation for each pair of users, through the REST API.
    Seed(Seed),
    /// Durable messages a second, end to end through sockets, beside the same with one commit a message and beside what the
    /// store's own bench reaches without sockets.
    ///
    /// Starts all that it needs: a private Postgres with `fsync` and `synchronous_commit` on, and the server, again for each
    /// round. Each sender sends its next message when its last one was echoed.
    Commits(Commits),
    /// Pairs of users talk across several nodes while Redis is killed, connections are cut and nodes are killed; every session
    /// that stays or resumes must hear every committed message, in order.
    ///
    /// Starts all that it needs: a private Postgres with `fsync` on, a private Redis, and the nodes.
    Nodes(Nodes),
    /// How long a message takes to a partner on the same node and to one on another, side by side.
    Latency(Latency),
    /// How many messages a second one node publishes, beside a bare loop of the same to the same Redis.
    Publishes(Publishes),
    /// Thousands of sessions come and go on one node: its connections to Redis, what it listens to, and its memory, round by round.
    Churn(Churn),
}

/// The server and the key of its tokens.
#[derive(Group)]
pub(crate) struct Server {
    /// The server, `ws://HOST:PORT`.
    #[arg(long, default_value = "ws://127.0.0.1:8000")]
    pub(crate) url: String,
    /// The server's SECRET_KEY; shown in the list of processes where it is given as a flag.
    #[arg(long, env = "SECRET_KEY", hide_env_values = true)]
    pub(crate) secret: Option<String>,
    /// A file that holds it.
    #[arg(long)]
    pub(crate) secret_file: Option<PathBuf>,
    /// How long the tokens are valid, seconds.
    #[arg(long, default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) token_ttl_s: u64,
}

/// Users by name or by range.
#[derive(Group)]
pub(crate) struct Users {
    /// Ids of users, two and two together.
    #[arg(long, value_delimiter = ',', conflicts_with = "first_user")]
    pub(crate) users: Vec<i64>,
    /// Instead: the first of as many users with ids in a row as are needed.
    #[arg(long)]
    pub(crate) first_user: Option<i64>,
}

/// Who talks, and where.
#[derive(Group)]
pub(crate) struct PairSource {
    #[command(flatten)]
    pub(crate) users: Users,
    /// How many pairs; without it all of --users, or one.
    #[arg(long)]
    pub(crate) pairs: Option<usize>,
    /// A conversation and its users, `conversation:userA,userB`; may be repeated.
    #[arg(long)]
    pub(crate) conversation: Vec<Pair>,
    /// A file with one such a line, as `seed --out` writes it.
    #[arg(long)]
    pub(crate) conversations_file: Option<PathBuf>,
}

#[derive(Group)]
pub(crate) struct Chat {
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) site: Site,
    #[command(flatten)]
    pub(crate) source: PairSource,
    /// Messages of all pairs together that are measured.
    #[arg(long)]
    pub(crate) messages: u64,
    /// Instead: each pair has so many messages under way, and sends its next one when one of them has come back to its sender;
    /// neither --messages nor --rate is looked at.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) window: Option<u32>,
    /// With --window: how long is measured, seconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) duration_s: u64,
    /// How long messages are sent before those that are measured, seconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=3_600))]
    pub(crate) warm_up_s: u64,
    /// Messages a second of all pairs together, sent whatever became of those before. The server allows each user 5 by default.
    #[arg(long, value_parser = rate)]
    pub(crate) rate: f64,
    /// Length of a message, bytes; at most 3,500.
    #[arg(long, value_parser = clap::value_parser!(u16).range(..=3_500))]
    pub(crate) bytes: u16,
    /// Sessions of each user.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) sessions: u16,
    /// Messages a second before which their sender is seen to type, percent.
    #[arg(long, value_parser = percent)]
    pub(crate) typing: f64,
    /// Messages that a session of the other user says it has read, percent.
    #[arg(long, value_parser = percent)]
    pub(crate) receipts: f64,
    /// Decides which.
    #[arg(long)]
    pub(crate) seed: u64,
    /// How long the last message may take to reach all, seconds.
    #[arg(long)]
    pub(crate) patience_s: u64,
}

/// Where a session goes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Endpoint {
    /// `/ws/chat/`
    Chat,
    /// `/ws/conversations/ID/`: the user's first one.
    Conversation,
    /// `/ws/notifications/`
    Notifications,
    /// `/_echo`, which asks for no token and exists with ECHO=1.
    Echo,
}

#[derive(Group)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) site: Site,
    #[command(flatten)]
    pub(crate) people: FirstUser,
    /// Counts of sessions at which the server is measured, each more than the one before.
    #[arg(long, value_delimiter = ',')]
    pub(crate) connections: Vec<u32>,
    /// Where the sessions go.
    #[arg(long, value_enum, default_value = "chat")]
    pub(crate) endpoint: Endpoint,
    /// Users with ids in a row who share the sessions; the server allows each 20. Without it, each session has its own.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) users: Option<u32>,
    /// How long a count is left alone before it is measured, seconds: more than a heartbeat, so that the allocator has given back
    /// what the handshakes needed.
    #[arg(long)]
    pub(crate) settle_s: u64,
    /// How long the last count is held and its heartbeats are counted, seconds.
    #[arg(long)]
    pub(crate) hold_s: u64,
    /// Handshakes a second; without it 150 a source address, at most 2,000.
    #[arg(long, value_parser = rate)]
    pub(crate) connect_rate: Option<f64>,
    /// Offer no subprotocol, as clients of the Django server do.
    #[arg(long)]
    pub(crate) plain: bool,
    /// Processes that share the sessions, where one may not have descriptors for all. Without --url, each starts a server of its own.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) processes: u32,
    /// Which of them this is.
    #[arg(long, hide = true)]
    pub(crate) part: Option<Part>,
}

#[derive(Group)]
pub(crate) struct Match {
    #[command(flatten)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) site: Site,
    #[command(flatten)]
    pub(crate) users: Users,
    /// How many pairs; none of them may have liked each other before.
    #[arg(long)]
    pub(crate) pairs: usize,
    /// Pairs at once, each with two connections of its own.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
}

#[derive(Group)]
pub(crate) struct Crash {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) source: PairSource,
    /// Writers; two a pair, on one conversation.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) writers: u16,
    /// Messages of one writer that may wait for their echo; the next is sent as soon as one comes.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) window: u16,
    /// How long they write, seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) duration_s: u64,
    /// The file that is appended to.
    #[arg(long)]
    pub(crate) ledger: PathBuf,
}

#[derive(Group)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) server: Server,
    /// The file that `crash` wrote.
    #[arg(long)]
    pub(crate) ledger: PathBuf,
}

#[derive(Group)]
pub(crate) struct Seed {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) users: Users,
    /// How many pairs.
    #[arg(long)]
    pub(crate) pairs: Option<usize>,
    /// Pairs at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
    /// Where the conversations are written, a line `conversation:userA,userB` each; without it they are not.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// `1`, `0.5` or `1%`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "percent, from 0 to 100".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.001..=10_000_000.0).contains(rate))
        .ok_or_else(|| "a number from 0.001 to 10,000,000".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_share_is_percent_with_or_without_the_sign() {
        assert_eq!((percent("1%"), percent("0.5")), (Ok(1.0), Ok(0.5)));
        assert!(["-1", "101", "x%", "NaN"].iter().all(|text| percent(text).is_err()));
    }

    #[test]
    fn rates_are_positive_numbers() {
        assert_eq!(rate("12.5"), Ok(12.5));
        for text in ["0", "-1", "NaN", "inf", "x"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
