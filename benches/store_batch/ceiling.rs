//! What some connections commit to a database for a while, without sockets: what a server's figures are held against.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::Parser;
use fortifun_realtime::model::{ConversationId, UserId};
use fortifun_realtime::server;
use fortifun_realtime::store::{Lane, Store};
use fortifun_realtime::time::Timestamp;

/// What each connection commits before the clock starts, messages at least.
const WARM_UP: usize = 1_000;

/// Commits messages to a database for a while, and prints `{"messages":…,"micros":…}`.
#[derive(Parser)]
pub(super) struct Args {
    /// A migrated database that nothing else writes to.
    #[arg(long)]
    database_url: String,
    /// A file with its conversations, a line `conversation:userA,userB` each, as `fortifun-loadtest seed --out` writes it.
    #[arg(long)]
    conversations: PathBuf,
    /// Connections, each with a thread and conversations of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Messages in a batch.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    batch: u64,
    /// How long.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

/// A conversation and its users.
type Place = (ConversationId, [UserId; 2]);

impl Args {
    /// `None` where the command line is criterion's.
    pub(super) fn from_command_line() -> Option<Self> {
        let is_ours =
            |arg: OsString| arg.to_str().is_some_and(|arg| arg.starts_with("--database-url"));
        std::env::args_os().any(is_ours).then(Self::parse)
    }
}

/// Measures, and prints it or the error.
#[expect(clippy::print_stdout, reason = "the answer")]
pub(super) fn run(args: &Args) -> ExitCode {
    match measure(args) {
        Ok((messages, took)) => {
            println!("{{\"messages\":{messages},\"micros\":{}}}", took.as_micros());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("store_batch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> anyhow::Result<(u64, Duration)> {
    let text = std::fs::read_to_string(&args.conversations).context("--conversations")?;
    let places: Vec<Place> = text
        .lines()
        .map(place)
        .collect::<Option<_>>()
        .context("--conversations: a line is wrong")?;
    let connections = usize::from(args.connections);
    ensure!(places.len() >= connections, "fewer conversations than connections");
    let config = super::config(&args.database_url);
    let stores: Vec<_> = (0..connections)
        .map(|_| server::open_store(&config, Lane::Write))
        .collect::<Result<_, _>>()?;
    let run = format!("store-batch-{}-{}", wall_clock().0, std::process::id());
    let all: Vec<(u64, Duration)> = thread::scope(|scope| {
        let started: Vec<_> = stores
            .into_iter()
            .enumerate()
            .map(|(number, store)| {
                let own = places.iter().skip(number).step_by(connections).copied().collect();
                let prefix = format!("{run}-{number}");
                scope.spawn(move || Writer { store, own, prefix, count: 0 }.run(args))
            })
            .collect();
        let joined = started.into_iter().map(|thread| thread.join().expect("a writer returns"));
        joined.collect::<anyhow::Result<_>>()
    })?;
    let longest = all.iter().map(|(_, took)| *took).max().unwrap_or_default();
    Ok((all.iter().map(|(messages, _)| messages).sum(), longest))
}

/// One connection.
struct Writer {
    store: Box<dyn Store>,
    own: Vec<Place>,
    prefix: String,
    count: usize,
}

impl Writer {
    fn run(mut self, args: &Args) -> anyhow::Result<(u64, Duration)> {
        while self.count < WARM_UP {
            self.commit(args.batch)?;
        }
        let (warm, start, time) = (self.count, now(), Duration::from_secs(args.seconds));
        while start.elapsed() < time {
            self.commit(args.batch)?;
        }
        Ok(((self.count - warm) as u64, start.elapsed()))
    }

    /// A batch spread over all conversations, as the senders of a server take turns.
    fn commit(&mut self, batch: u64) -> anyhow::Result<()> {
        let requests: Vec<_> = (0..batch).map(|_| self.next()).collect();
        let outcomes = self.store.commit(&requests, wall_clock())?;
        for outcome in outcomes {
            outcome.map_err(|failure| anyhow::anyhow!("a message was not stored: {failure:?}"))?;
        }
        Ok(())
    }

    fn next(&mut self) -> fortifun_realtime::store::Request {
        self.count += 1;
        let (conversation, users) = self.own[self.count % self.own.len()];
        let sender = users[self.count / self.own.len() % 2];
        super::message(conversation, sender, format!("{}-{}", self.prefix, self.count))
    }
}

fn place(line: &str) -> Option<Place> {
    let (conversation, users) = line.split_once(':')?;
    let (one, other) = users.split_once(',')?;
    let user = |text: &str| text.trim().parse().ok().map(UserId);
    Some((ConversationId(conversation.trim().parse().ok()?), [user(one)?, user(other)?]))
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as i64)
}
