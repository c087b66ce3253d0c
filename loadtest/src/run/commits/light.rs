//! One sender with pauses: from send to echo, beside a bare commit of one row (as `psql` sends it, and prepared), beside an echo
//! that no store is asked for.

use std::time::Duration;

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use postgres::{Client, Statement};

use super::round::{check_stored, commit_mean};
use super::stage::Stage;
use super::talk::{Manner, Talk};
use crate::args::Commits;
use crate::clock::Clock;
use crate::output::{self, Report};
use crate::pairs::Pair;
use crate::run::open::Opener;
use crate::run::{latencies, run_name};
use crate::scrape::Scrape;
use crate::swarm::{Happening, Key, Swarm};
use crate::target::Target;
use crate::wire;
use crate::ws::Upgrade;

/// Of each kind, before anything is counted.
const WARM_UP: u32 = 200;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// One row as the server stores it, in a transaction of its own, prepared once.
const INSERT: &str = "INSERT INTO conversations_message \
    (content, created_at, is_read, conversation_id, sender_id, seq, client_id) \
    VALUES ($1, now(), false, $2, $3, $4, $5)";

pub(super) fn run(stage: &Stage, args: &Commits, clock: &Clock) -> anyhow::Result<Report> {
    let [talked, bare] = stage.pairs[..] else { unreachable!("the stage was set for two") };
    let (_server, target) = stage.serve(&[("ECHO", "1")])?;
    let bytes = usize::from(args.bytes);
    let mut swarm = Swarm::new()?;
    let pairs = [talked];
    let mut talk = Talk::open(
        (&mut swarm, &target, clock),
        (run_name(), &pairs, Manner { bytes, in_flight: 1, sides: 1 }),
    )?;
    let mut rows = Rows::new(stage, bare, bytes)?;
    let mut echoes = Echoes::open(&target, clock, bytes)?;
    let mut taken = [latencies(), latencies(), latencies()];
    let pause = Duration::from_millis(args.pause_ms);
    let all = WARM_UP + args.samples;
    let bar = output::bar(u64::from(all), "one at a time");
    let mut metrics = Scrape::of(&target)?;
    for n in 0..all {
        if n == WARM_UP {
            metrics = Scrape::of(&target)?;
            talk.count_from(clock.now());
            taken.iter_mut().for_each(Histogram::reset);
        }
        let rest = |talk: &mut Talk<'_>, swarm: &mut Swarm| {
            let end = clock.now() + pause;
            talk.talk_until(swarm, clock, end, |_| ())
        };
        rest(&mut talk, &mut swarm)?;
        talk.say_one(&mut swarm, clock)?;
        rest(&mut talk, &mut swarm)?;
        taken[0].saturating_record(timed(clock, || rows.commit_text())?);
        rest(&mut talk, &mut swarm)?;
        taken[1].saturating_record(timed(clock, || rows.commit_prepared())?);
        rest(&mut talk, &mut swarm)?;
        taken[2].saturating_record(timed(clock, || echoes.ask(clock))?);
        bar.inc(1);
        if !talk.faults.is_empty() {
            break;
        }
    }
    bar.finish_and_clear();
    let commit = commit_mean(&metrics, &Scrape::of(&target)?)?;
    rows.finish()?;
    swarm.close();
    let mut report = Report::new("commits --light");
    check_stored(stage, &talk, &mut report.faults)?;
    report.faults.extend(talk.faults.told());
    let [bare, prepared, socket] = taken;
    report.row("messages", talk.echoed, "");
    report.row("bare commits of each kind", bare.len(), "");
    report.latency("send to echo", &talk.echo);
    report.latency("bare commit", &bare);
    report.latency("bare commit, prepared", &prepared);
    report.latency("echo without the store", &socket);
    report.row("commit as the server measures it, mean", commit.as_micros() as u64, "us");
    report.row("send to echo, mean", talk.echo.mean(), "us");
    report.row("bare commit, mean", bare.mean(), "us");
    report.row("bare commit, prepared, mean", prepared.mean(), "us");
    let [echo, bare, prepared] =
        [&talk.echo, &bare, &prepared].map(|all| all.value_at_quantile(0.5) as f64);
    report.row("send to echo to bare commit, medians", echo / bare.max(1.0), "");
    report.row("send to echo to bare commit, prepared, medians", echo / prepared.max(1.0), "");
    Ok(report)
}

/// How long `work` took, microseconds.
fn timed(clock: &Clock, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let start = clock.now();
    work()?;
    Ok(clock.since(start).as_micros() as u64)
}

/// Rows of a conversation that the server leaves alone, by a plain client of the database.
struct Rows {
    client: Client,
    insert: Statement,
    pair: Pair,
    seq: i64,
    run: String,
    bytes: usize,
}

impl Rows {
    fn new(stage: &Stage, pair: Pair, bytes: usize) -> anyhow::Result<Self> {
        let mut client = stage.connect()?;
        let insert = client.prepare(INSERT)?;
        let last = "SELECT last_seq FROM conversations_conversation WHERE id = $1";
        let seq = client.query_one(last, &[&pair.conversation])?.get(0);
        Ok(Self { client, insert, pair, seq, run: run_name(), bytes })
    }

    /// As `psql` sends it: one text, parsed and planned each time.
    fn commit_text(&mut self) -> anyhow::Result<()> {
        let (client_id, content) = self.next();
        let Pair { conversation, users: [sender, _] } = self.pair;
        let seq = self.seq;
        // Neither has a quote in it.
        let insert = format!(
            "INSERT INTO conversations_message \
             (content, created_at, is_read, conversation_id, sender_id, seq, client_id) \
             VALUES ('{content}', now(), false, {conversation}, {sender}, {seq}, '{client_id}')"
        );
        self.client.batch_execute(&insert).context("a bare commit failed")
    }

    fn commit_prepared(&mut self) -> anyhow::Result<()> {
        let (client_id, content) = self.next();
        let Pair { conversation, users: [sender, _] } = self.pair;
        let row: [&(dyn postgres::types::ToSql + Sync); 5] =
            [&content, &conversation, &sender, &self.seq, &client_id];
        self.client.execute(&self.insert, &row).context("a bare commit failed")?;
        Ok(())
    }

    /// The `client_id` and text of the next row.
    fn next(&mut self) -> (String, String) {
        self.seq += 1;
        let client_id = format!("bare-{}-{}", self.run, self.seq);
        let content = wire::content(&client_id, self.bytes);
        (client_id, content)
    }

    /// The conversation is whole again: its place is that of its last row.
    fn finish(&mut self) -> anyhow::Result<()> {
        let update = "UPDATE conversations_conversation SET last_seq = $2 WHERE id = $1";
        self.client.execute(update, &[&self.pair.conversation, &self.seq])?;
        Ok(())
    }
}

/// A session whose texts come back at once.
struct Echoes {
    swarm: Swarm,
    key: Key,
    text: String,
}

impl Echoes {
    fn open(target: &Target, clock: &Clock, bytes: usize) -> anyhow::Result<Self> {
        let mut swarm = Swarm::new()?;
        let upgrade = Upgrade { path: "/_echo".to_owned(), token: String::new(), is_v1: false };
        let keys = Opener::new(1, None)?.open(&mut swarm, target, clock, &[upgrade], |_, _| ())?;
        let text = wire::message(&wire::content("echo", bytes), "echo");
        Ok(Self { swarm, key: keys[0], text })
    }

    fn ask(&mut self, clock: &Clock) -> anyhow::Result<()> {
        let deadline = clock.now() + PATIENCE;
        self.swarm.send(self.key, &self.text);
        loop {
            self.swarm.wait(deadline.saturating_sub(clock.now()))?;
            match self.swarm.next() {
                None => {}
                Some((_, Happening::Text(text))) if text == self.text => return Ok(()),
                Some((_, other)) => anyhow::bail!("/_echo answered {other:?}"),
            }
            ensure!(clock.now() < deadline, "/_echo does not answer");
        }
    }
}
