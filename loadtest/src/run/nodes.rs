//! `nodes`: users talk across several nodes while everything below them breaks, and nothing that was committed may be missing,
//! doubled or out of order anywhere.

mod breaker;
mod figures;
mod hearing;
mod people;
mod plan;
mod talk;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;

use self::breaker::Stand;
use self::figures::CAUSES;
use self::hearing::Counts;
use self::plan::Amounts;
use self::talk::Talk;
use super::fleet::Fleet;
use super::{parallel, run_name};
use crate::args::Nodes as Args;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::http::Connection;
use crate::launch::Launched;
use crate::output::{self, Report};
use crate::rest;
use crate::stored;
use crate::swarm::Swarm;
use crate::target::Target;

/// How long what was said last may take to reach all.
const STRAGGLERS: Duration = Duration::from_secs(15);
/// Connections that read what is stored.
const READERS: usize = 4;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    let (fleet, mut redis) = Fleet::set(&args.fleet, &[])?;
    let count = usize::from(args.count);
    anyhow::ensure!(redis.is_some() || count == 1, "several nodes need Redis between them");
    let mut nodes: Vec<Option<Launched>> = fleet.serve_all(count)?.into_iter().map(Some).collect();
    let first = nodes[0].as_ref().expect("it was just started");
    let pairs = fleet.pairs(args.users as usize / 2, first)?;
    // The first message of each conversation.
    let known = vec![1; pairs.len()];
    let targets = nodes.iter().flatten().map(|node| fleet.target(node)).collect();
    let (notices, told) = mpsc::channel();
    let mut talk = Talk::new((run_name(), args.seed, args.verbose), (pairs, &known), targets, told);
    talk.faults = Faults::telling(usize::from(args.faults));
    let mut swarm = Swarm::new()?;
    let bar = output::bar(talk.sessions().len() as u64, "opening sessions");
    talk.open(&mut swarm, clock, &bar)?;
    bar.finish_and_clear();
    let (length, amounts) = (Duration::from_secs(args.seconds), amounts(args, redis.is_some()));
    let steps = plan::plan(args.seed, count, length, amounts);
    let bar = output::bar(args.seconds, "talking");
    let start = clock.now();
    thread::scope(|scope| {
        let (stop_redis, stop) = mpsc::channel();
        let stand = Stand { clock, start, steps: &steps, notices: notices.clone(), stop };
        if let Some(redis) = &mut redis {
            scope.spawn(move || breaker::break_redis(&stand, redis));
        }
        let (stop_nodes, stop) = mpsc::channel();
        let stand = Stand { clock, start, steps: &steps, notices, stop };
        let (fleet, nodes) = (&fleet, &mut nodes);
        scope.spawn(move || breaker::break_nodes(&stand, fleet, nodes));
        // Dropped on every way out, and then the breakers end.
        let _stops = (stop_redis, stop_nodes);
        talk.talk((&mut swarm, clock), (length, args.rate), &steps, &bar)?;
        talk.settle(&mut swarm, clock, STRAGGLERS, &bar)?;
        let took = clock.since(start);
        bar.finish_and_clear();
        let stored = check_nodes(&mut talk, &known)?;
        swarm.close();
        let missing = talk.check_heard(&stored);
        let stored = stored.iter().zip(&known).map(|(last, known)| last - known).sum();
        Ok(report(talk, args, took, stored, missing))
    })
}

fn amounts(args: &Args, has_redis: bool) -> Amounts {
    if args.no_chaos {
        return Amounts::default();
    }
    let redis_kills = if has_redis { args.redis_kills } else { 0 };
    Amounts { redis_kills, cuts: args.cuts, node_kills: args.node_kills }
}

/// At the end every node says that it is ready and that nothing is amiss, and one tells what is stored: the last `seq` of each
/// conversation.
fn check_nodes(talk: &mut Talk, known: &[u64]) -> anyhow::Result<Vec<u64>> {
    let targets = talk.take_targets();
    for (node, target) in targets.iter().enumerate() {
        let Some(target) = target else {
            talk.faults.add(format_args!("node {node} is away at the end"));
            continue;
        };
        talk.figures.counters.add(&breaker::counters(target)?);
        let answer = Connection::new(target).call("GET", "/readyz", 0, "")?;
        let told = String::from_utf8_lossy(&answer.body);
        if answer.status != 200 || told.contains("degraded") {
            talk.faults.add(format_args!("node {node} says {} {told}", answer.status));
        }
    }
    let target = targets.iter().flatten().next().context("no node is there at the end")?;
    check_stored(target, talk, known)
}

/// What is stored, is all that was heard, and whole; the last `seq` of each conversation.
fn check_stored(target: &Target, talk: &mut Talk, known: &[u64]) -> anyhow::Result<Vec<u64>> {
    let all: Vec<_> =
        talk.said().map(|(pair, said)| (*pair, said.sights(pair.conversation))).collect();
    let bar = output::bar(all.len() as u64, "reading what is stored");
    let found = parallel(
        all.len(),
        READERS,
        || Connection::new(target),
        |connection, n| {
            let (pair, sights) = &all[n];
            let rows = rest::messages(connection, pair.conversation, pair.users[0], known[n])?;
            bar.inc(1);
            let last = rows.last().map_or(known[n], |row| row.seq);
            Ok((last, stored::check(pair.conversation, known[n], &rows, sights)))
        },
    )?;
    bar.finish_and_clear();
    let (last, faults): (Vec<u64>, Vec<_>) = found.into_iter().unzip();
    talk.faults.extend(faults.into_iter().flatten());
    Ok(last)
}

fn report(talk: Talk, args: &Args, took: Duration, stored: u64, missing: u64) -> Report {
    let mut report = Report::new("nodes");
    let sum =
        |of: fn(&Counts) -> u64| talk.sessions().iter().map(|s| of(&s.hearing.counts)).sum::<u64>();
    report.row("nodes", args.count, "");
    report.row("layer", args.fleet.layer.name(), "");
    report.row("seed", args.seed, "");
    report.row("users", args.users, "");
    report.row("sessions", talk.sessions().len(), "");
    report.row("duration", took.as_secs_f64(), "s");
    report.row("messages said", talk.meant(), "");
    report.row("told to be committed", talk.committed(), "");
    report.row("stored", stored, "");
    report.row("delivered live", sum(|counts| counts.live), "");
    report.row("delivered by resumes", sum(|counts| counts.replayed), "");
    report.row("resumes", sum(|counts| counts.resumed), "");
    report.row("known ones repeated after resumes", sum(|counts| counts.repeated), "");
    report.row("echoes ahead of their place", sum(|counts| counts.ahead), "");
    report.row("missing", missing, "");
    report.row("sent again", talk.figures.sent_again, "");
    report.row("answered as duplicates", talk.figures.duplicates, "");
    report.row("refused for now", talk.figures.refused, "");
    report.row("Redis killed", talk.figures.redis_kills, "");
    report.row("Redis cut connections", talk.figures.redis_cuts, "");
    report.row("nodes killed", talk.figures.node_kills, "");
    report.row("the clients' own longest stall", talk.figures.stall.as_millis() as u64, "ms");
    for (cause, count) in CAUSES.iter().zip(talk.figures.reconnects) {
        report.row(format!("reconnects {cause}"), count, "");
    }
    report.latency("delivery", &talk.figures.delivery);
    for (series, count) in talk.figures.counters.iter() {
        report.row(series, count, "");
    }
    report.faults = talk.faults;
    report
}
