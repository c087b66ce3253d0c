//! `latency`: how long a message takes to a partner on the same node and to one on another, side by side in one run.

use std::time::Duration;

use anyhow::ensure;
use hdrhistogram::Histogram;

use super::fleet::Fleet;
use super::open::Opener;
use super::{latencies, run_name};
use crate::args::{Latency as Args, Layer};
use crate::clock::Clock;
use crate::faults::Faults;
use crate::output::{self, Report};
use crate::pace::Pace;
use crate::pairs::Pair;
use crate::swarm::{Happening, Key, Swarm};
use crate::target::Target;
use crate::wire::{self, Incoming};
use crate::ws::Upgrade;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(20);
/// Sessions opened a second.
const OPEN_PER_SECOND: f64 = 500.0;
/// How long the last messages may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Messages that are not counted: caches are cold.
const WARM_UP: usize = 200;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    ensure!(args.fleet.layer != Layer::Memory, "two nodes need Redis between them");
    let (fleet, _redis) = Fleet::set(&args.fleet, &[])?;
    let nodes = fleet.serve_all(2)?;
    let pairs = fleet.pairs(2 * args.pairs as usize, &nodes[0])?;
    let targets: Vec<Target> = nodes.iter().map(|node| fleet.target(node)).collect();
    let mut swarm = Swarm::new()?;
    let mut talk = Talk::new(pairs, usize::from(args.bytes));
    // By node, the sessions there: the first user of a pair is on one of the two in turn, the second there or on the other.
    for (node, target) in targets.iter().enumerate() {
        let here: Vec<_> = (0..2 * talk.pairs.len()).filter(|n| node_of(*n) == node).collect();
        let upgrades: Vec<_> = here.iter().map(|n| talk.upgrade(*n, target)).collect();
        let opener = Opener::new(upgrades.len() as u32, Some(OPEN_PER_SECOND))?;
        // Keys are given in the order of opening.
        talk.owners.extend(here);
        opener.open(&mut swarm, target, clock, &upgrades, |key, happening| {
            talk.on(key, happening, clock.now());
        })?;
    }
    for (session, key) in talk.owners.iter().enumerate().map(|(key, n)| (*n, Key(key))) {
        talk.keys[session] = key;
    }
    let messages = args.messages as usize + WARM_UP;
    let bar = output::bar(messages as u64, "talking");
    let pace = Pace::new(clock.now(), args.rate);
    while talk.sent.len() < messages && talk.faults.is_empty() {
        while talk.sent.len() < messages && pace.is_due(talk.sent.len() as u64, clock.now()) {
            talk.say(&mut swarm, clock);
        }
        talk.turn(&mut swarm, clock, pace.wait(talk.sent.len() as u64, clock.now(), TURN))?;
        bar.set_position(talk.sent.len() as u64);
    }
    let end = clock.now() + PATIENCE;
    while talk.is_waiting() && clock.now() < end {
        talk.turn(&mut swarm, clock, TURN)?;
    }
    bar.finish_and_clear();
    swarm.close();
    Ok(report(args, talk))
}

/// Where session `n` is: of pair `n / 2`. Pairs take turns: the first two are each on one node, the next two across both, and so
/// on.
fn node_of(n: usize) -> usize {
    let (pair, side) = (n / 2, n % 2);
    (pair + if is_across(pair) { side } else { 0 }) % 2
}

fn is_across(pair: usize) -> bool {
    pair / 2 % 2 == 1
}

/// Two sessions a pair, and what they hear.
struct Talk {
    run: String,
    bytes: usize,
    pairs: Vec<Pair>,
    /// By session: its connection.
    keys: Vec<Key>,
    /// By connection: its session.
    owners: Vec<usize>,
    sent: Vec<Sent>,
    /// Same node and across: from send to echo, from send to receipt at the partner, and from echo to receipt.
    echo: [Histogram<u64>; 2],
    delivery: [Histogram<u64>; 2],
    behind: [Histogram<u64>; 2],
    faults: Faults,
}

struct Sent {
    at: Duration,
    echoed: Option<Duration>,
    delivered: Option<Duration>,
}

impl Talk {
    fn new(pairs: Vec<Pair>, bytes: usize) -> Self {
        let two = || [latencies(), latencies()];
        Self {
            run: run_name(),
            bytes,
            keys: vec![Key(0); 2 * pairs.len()],
            owners: Vec::new(),
            pairs,
            sent: Vec::new(),
            echo: two(),
            delivery: two(),
            behind: two(),
            faults: Faults::default(),
        }
    }

    fn upgrade(&self, session: usize, target: &Target) -> Upgrade {
        let Pair { conversation, users } = self.pairs[session / 2];
        let path = format!("/ws/conversations/{conversation}/");
        Upgrade { path, token: target.signer.token(users[session % 2]), is_v1: true }
    }

    /// The next message: pairs take turns, and so do the two of each.
    fn say(&mut self, swarm: &mut Swarm, clock: &Clock) {
        let n = self.sent.len();
        let session = self.sender(n);
        let client_id = format!("{}-{n}", self.run);
        let command = wire::message(&wire::content(&client_id, self.bytes), &client_id);
        self.sent.push(Sent { at: clock.now(), echoed: None, delivered: None });
        if !swarm.send(self.keys[session], &command) {
            self.faults.add(format_args!("session {session} is over"));
        }
    }

    fn sender(&self, n: usize) -> usize {
        let pair = n % self.pairs.len();
        2 * pair + n / self.pairs.len() % 2
    }

    fn turn(&mut self, swarm: &mut Swarm, clock: &Clock, wait: Duration) -> anyhow::Result<()> {
        swarm.wait(wait)?;
        while let Some((key, happening)) = swarm.next() {
            self.on(key, happening, clock.now());
        }
        Ok(())
    }

    fn on(&mut self, Key(key): Key, happening: Happening<'_>, now: Duration) {
        let session = self.owners[key];
        match happening {
            Happening::Opened => {}
            Happening::Ended(ending) => {
                self.faults.add(format_args!("session {session} was {ending}"));
            }
            Happening::Text(text) => match wire::read(text) {
                Ok(Incoming::Message(message, false)) => {
                    let number = message.client_id.as_deref().and_then(|id| self.number(id));
                    match number {
                        Some(n) => self.on_message(session, n, now),
                        None => self.faults.add(format_args!("session {session}: {text}")),
                    }
                }
                Ok(Incoming::Hello(_) | Incoming::Other) => {}
                _ => self.faults.add(format_args!("session {session}: {text}")),
            },
        }
    }

    fn on_message(&mut self, session: usize, n: usize, now: Duration) {
        let is_own = self.sender(n) == session;
        let sent = &mut self.sent[n];
        let heard = if is_own { &mut sent.echoed } else { &mut sent.delivered };
        if heard.replace(now).is_some() {
            self.faults.add(format_args!("session {session}: message {n} came twice"));
        }
        let (Some(echoed), Some(delivered)) = (sent.echoed, sent.delivered) else { return };
        if n < WARM_UP {
            return;
        }
        let kind = usize::from(is_across(session / 2));
        let us = |from: Duration, to: Duration| to.saturating_sub(from).as_micros() as u64;
        self.echo[kind].saturating_record(us(sent.at, echoed));
        self.delivery[kind].saturating_record(us(sent.at, delivered));
        self.behind[kind].saturating_record(us(echoed, delivered));
    }

    fn number(&self, client_id: &str) -> Option<usize> {
        let n = client_id.strip_prefix(&*self.run)?.strip_prefix('-')?.parse().ok()?;
        (n < self.sent.len()).then_some(n)
    }

    fn is_waiting(&self) -> bool {
        self.sent.iter().any(|sent| sent.echoed.is_none() || sent.delivered.is_none())
    }
}

fn report(args: &Args, talk: Talk) -> Report {
    let mut report = Report::new("latency");
    report.row("layer", args.fleet.layer.name(), "");
    for (kind, name) in ["same node", "across nodes"].into_iter().enumerate() {
        report.row(format!("messages, {name}"), talk.delivery[kind].len(), "");
        report.latency(format!("echo, {name}"), &talk.echo[kind]);
        report.latency(format!("delivery, {name}"), &talk.delivery[kind]);
        report.latency(format!("delivery behind the echo, {name}"), &talk.behind[kind]);
    }
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let [same, across] = [0, 1].map(|kind| talk.delivery[kind].value_at_quantile(quantile));
        let more = across as f64 - same as f64;
        report.row(format!("delivery across nodes, more, {name}"), more, "us");
        report.row(
            format!("delivery across nodes to same node, {name}"),
            across as f64 / same.max(1) as f64,
            "",
        );
    }
    report.faults = talk.faults;
    let lost = talk.sent.iter().filter(|sent| sent.delivered.is_none()).count();
    let unanswered = talk.sent.iter().filter(|sent| sent.echoed.is_none()).count();
    if lost + unanswered > 0 {
        report.faults.add(format_args!("{lost} messages never came, {unanswered} were not echoed"));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_pairs_are_across_and_both_nodes_have_as_many_sessions() {
        let across = (0..40).filter(|pair| is_across(*pair)).count();
        assert_eq!(across, 20);
        for pair in 0..40 {
            assert_eq!(node_of(2 * pair) != node_of(2 * pair + 1), is_across(pair));
        }
        assert_eq!((0..80).filter(|n| node_of(*n) == 0).count(), 40);
    }
}
