//! One server, loaded for a while, measured, killed, and held to what it told.

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::stage::Stage;
use super::talk::{Manner, Talk};
use crate::args::Commits;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::http::Connection;
use crate::output;
use crate::procfs;
use crate::rest;
use crate::run::{parallel, run_name};
use crate::scrape::Scrape;
use crate::stored;
use crate::swarm::Swarm;

/// Connections that read what is stored.
const READERS: usize = 4;

/// What was measured.
pub(super) struct Round {
    /// How long.
    pub(super) took: Duration,
    /// Messages that were committed and echoed in that time.
    pub(super) committed: u64,
    /// Messages that the others heard in that time.
    pub(super) delivered: u64,
    /// From send to echo, microseconds.
    pub(super) echo: Histogram<u64>,
    /// Requests in a commit, mean.
    pub(super) requests: f64,
    /// How long a commit took, mean, as the server measured it.
    pub(super) commit: Duration,
    /// Processor time of the server.
    pub(super) server_cpu: Duration,
    /// Processor time of this process.
    pub(super) client_cpu: Duration,
    /// Processor time of Postgres, where it runs here.
    pub(super) database_cpu: Option<Duration>,
}

impl Round {
    /// Committed messages a second.
    pub(super) fn rate(&self) -> f64 {
        self.committed as f64 / self.took.as_secs_f64().max(1e-6)
    }
}

/// Starts a server with `settings` besides the run's own, and loads it. Faults are added to `faults`.
///
/// # Errors
///
/// The round could not take place.
pub(super) fn run(
    (stage, args, clock): (&Stage, &Commits, &Clock),
    settings: &[(&str, &str)],
    title: String,
    faults: &mut Faults,
) -> anyhow::Result<Round> {
    let (server, target) = stage.serve(settings)?;
    let (bytes, in_flight) = (usize::from(args.bytes), usize::from(args.in_flight));
    let manner = Manner { bytes, in_flight, sides: 2 };
    let mut swarm = Swarm::new()?;
    let mut talk = Talk::open(
        (&mut swarm, &target, clock),
        (format!("{}-{}", run_name(), server.pid()), &stage.pairs, manner),
    )?;
    let bar = output::bar(args.warm_up_s + args.seconds, "").with_message(title);
    let start = clock.now();
    let on_turn = |now: Duration| bar.set_position(now.saturating_sub(start).as_secs());
    talk.begin(&mut swarm, clock);
    talk.talk_until(&mut swarm, clock, start + Duration::from_secs(args.warm_up_s), on_turn)?;
    let read = || Usage::read(server.pid(), stage.postmaster);
    let (metrics, usage, from) = (Scrape::of(&target)?, read()?, clock.now());
    talk.count_from(from);
    talk.talk_until(&mut swarm, clock, from + Duration::from_secs(args.seconds), on_turn)?;
    let (took, after) = (clock.since(from), read()?);
    let (committed, delivered, echo) = (talk.echoed, talk.delivered, talk.echo.clone());
    let metrics_after = Scrape::of(&target)?;
    talk.settle(&mut swarm, clock)?;
    bar.finish_and_clear();
    swarm.close();
    drop(server);
    check_stored(stage, &talk, faults)?;
    faults.extend(talk.faults.told());
    let commits = grew(&metrics, &metrics_after, "fortifun_batch_requests_count")?;
    let requests = grew(&metrics, &metrics_after, "fortifun_batch_requests_sum")?;
    Ok(Round {
        took,
        committed,
        delivered,
        echo,
        requests: requests / commits.max(1.0),
        commit: commit_mean(&metrics, &metrics_after)?,
        server_cpu: after.server.saturating_sub(usage.server),
        client_cpu: after.client.saturating_sub(usage.client),
        database_cpu: usage.database.zip(after.database).map(|(a, b)| procfs::spent(&a, &b)),
    })
}

/// How long a commit took on average between two scrapes, as the server measured it.
pub(super) fn commit_mean(before: &Scrape, after: &Scrape) -> anyhow::Result<Duration> {
    let commits = grew(before, after, "fortifun_commit_seconds_count")?.max(1.0);
    let seconds = grew(before, after, "fortifun_commit_seconds_sum")?.max(0.0);
    Ok(Duration::from_secs_f64(seconds / commits))
}

fn grew(before: &Scrape, after: &Scrape, series: &str) -> anyhow::Result<f64> {
    Ok(after.sample(series)? - before.sample(series)?)
}

/// Processor times up to a moment.
struct Usage {
    server: Duration,
    client: Duration,
    database: Option<HashMap<u32, Duration>>,
}

impl Usage {
    fn read(server: u32, postmaster: Option<u32>) -> anyhow::Result<Self> {
        Ok(Self {
            server: procfs::cpu(server)?,
            client: procfs::cpu(std::process::id())?,
            database: postmaster.map(procfs::family_cpu).transpose()?,
        })
    }
}

/// Another server tells what is stored: every message that was echoed, once and as it was told, and no hole.
pub(super) fn check_stored(
    stage: &Stage,
    talk: &Talk<'_>,
    faults: &mut Faults,
) -> anyhow::Result<()> {
    let (_server, target) = stage.serve(&[])?;
    let sights = talk.sights();
    let bar = output::bar(sights.len() as u64, "reading what is stored");
    let found = parallel(
        sights.len(),
        READERS,
        || Connection::new(&target),
        |connection, n| {
            let (after, sights) = &sights[n];
            let pair = stage.pairs[n];
            let rows = rest::messages(connection, pair.conversation, pair.users[0], *after)?;
            bar.inc(1);
            Ok(stored::check(pair.conversation, *after, &rows, sights))
        },
    )?;
    bar.finish_and_clear();
    faults.extend(found.into_iter().flatten());
    Ok(())
}
