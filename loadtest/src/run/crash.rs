//! `crash`: writers that record what they saw committed, so that it can be looked for after the server's death.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::open::Opener;
use super::run_name;
use crate::args::Crash as Args;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::ledger::{Ledger, Sight};
use crate::order::Order;
use crate::output::{self, Report};
use crate::pairs::{self, Pair};
use crate::swarm::{Ending, Happening, Key, Swarm};
use crate::target::Target;
use crate::wire::{self, Failure, Incoming, Message};
use crate::ws::Upgrade;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(50);
/// How long the last echoes may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a writer waits that was told to and not how long.
const PAUSE_MS: u64 = 200;
/// Lengths of messages, bytes: they differ, so that records are torn in different places.
const BYTES_MAX: u64 = 400;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    let target = Target::new(&args.server)?;
    let pairs = pairs::find(&args.source, &target)?;
    let most = pairs.len() * 2;
    let writers = usize::from(args.writers);
    ensure!(writers <= most, "{writers} writers need {} --pairs", writers.div_ceil(2));
    let ledger = Ledger::open(&args.ledger)
        .with_context(|| format!("cannot open {}", args.ledger.display()))?;
    let mut crash = Crash::new(&pairs, writers, usize::from(args.window), ledger);
    let upgrades: Vec<Upgrade> = crash
        .writers
        .iter()
        .map(|writer| {
            let path = format!("/ws/conversations/{}/", pairs[writer.pair].conversation);
            Upgrade { path, token: target.signer.token(writer.user), is_v1: true }
        })
        .collect();
    let mut swarm = Swarm::new()?;
    let opener = Opener::new(writers as u32, None)?;
    opener.open(&mut swarm, &target, clock, &upgrades, |key, happening| {
        crash.on(key, happening, clock.now());
    })?;
    let (start, bar) = (clock.now(), output::bar(args.duration_s, "writing"));
    let stop = start + Duration::from_secs(args.duration_s);
    while swarm.open() > 0 && clock.now() < stop {
        crash.write(&mut swarm, clock.now());
        crash.turn(&mut swarm, clock)?;
        bar.set_position(clock.since(start).as_secs());
    }
    bar.finish_and_clear();
    while swarm.open() > 0 && !crash.is_level() && clock.now() < stop + PATIENCE {
        crash.turn(&mut swarm, clock)?;
    }
    let took = clock.since(start);
    swarm.close();
    Ok(crash.report(took))
}

/// A run under way. Session `n` is writer `n`'s.
struct Crash {
    run: String,
    window: usize,
    writers: Vec<Writer>,
    /// By pair.
    orders: Vec<Order>,
    ledger: Ledger,
    /// Why the ledger takes no more.
    failure: Option<std::io::Error>,
    /// How sessions ended.
    cuts: Vec<String>,
    sent: u64,
    echoes: u64,
    sights: u64,
    retries: u64,
    faults: Faults,
}

struct Writer {
    pair: usize,
    user: i64,
    /// Its session's number in its conversation's order, from the `hello` on.
    place: Option<usize>,
    next: u64,
    /// Sent, and neither echoed nor refused.
    waiting: HashSet<u64>,
    /// Refused for now.
    again: VecDeque<u64>,
    /// Before that nothing is sent.
    pause_until: Duration,
}

impl Crash {
    fn new(pairs: &[Pair], writers: usize, window: usize, ledger: Ledger) -> Self {
        let writer = |n: usize| Writer {
            pair: n / 2,
            user: pairs[n / 2].users[n % 2],
            place: None,
            next: 0,
            waiting: HashSet::new(),
            again: VecDeque::new(),
            pause_until: Duration::ZERO,
        };
        Self {
            run: run_name(),
            window,
            writers: (0..writers).map(writer).collect(),
            orders: pairs.iter().map(|pair| Order::new(pair.conversation)).collect(),
            ledger,
            failure: None,
            cuts: Vec::new(),
            sent: 0,
            echoes: 0,
            sights: 0,
            retries: 0,
            faults: Faults::default(),
        }
    }

    /// Each writer that was greeted fills its window.
    fn write(&mut self, swarm: &mut Swarm, now: Duration) {
        for (n, writer) in self.writers.iter_mut().enumerate() {
            let may = writer.place.is_some() && writer.pause_until <= now;
            while may && writer.waiting.len() < self.window {
                let number = writer.again.pop_front().unwrap_or(writer.next);
                writer.next = writer.next.max(number + 1);
                let client_id = format!("{}-{n}-{number}", self.run);
                if !swarm.send(Key(n), &wire::message(&said(&client_id, number), &client_id)) {
                    break;
                }
                writer.waiting.insert(number);
                self.sent += 1;
            }
        }
    }

    fn turn(&mut self, swarm: &mut Swarm, clock: &Clock) -> anyhow::Result<()> {
        swarm.wait(TURN)?;
        while let Some((key, happening)) = swarm.next() {
            self.on(key, happening, clock.now());
        }
        self.failure
            .take()
            .map_or(Ok(()), |failure| Err(failure).context("cannot write the ledger"))
    }

    fn on(&mut self, Key(session): Key, happening: Happening<'_>, now: Duration) {
        match happening {
            Happening::Opened => {}
            Happening::Ended(Ending::Broken(violation)) => {
                self.cuts.push(violation.to_string());
                self.faults.add(format_args!("session {session}: {violation}"));
            }
            Happening::Ended(ending) => self.cuts.push(ending.to_string()),
            Happening::Text(text) => match wire::read(text) {
                Err(error) => self.faults.add(format_args!("session {session}: {error}: {text}")),
                Ok(Incoming::Hello(last_seq)) => self.on_hello(session, last_seq),
                Ok(Incoming::Message(message, is_duplicate)) => {
                    self.on_message(session, &message, is_duplicate);
                }
                Ok(Incoming::Error(failure)) => self.on_failure(session, &failure, now),
                Ok(Incoming::NewMessage(_) | Incoming::Resumed(_) | Incoming::Other) => {}
            },
        }
    }

    fn on_hello(&mut self, session: usize, last_seq: Option<u64>) {
        let writer = &mut self.writers[session];
        match (last_seq, writer.place) {
            (Some(last_seq), None) => {
                writer.place = Some(self.orders[writer.pair].join(last_seq));
            }
            _ => self.faults.add(format_args!("session {session}: a hello out of place")),
        }
    }

    fn on_message(&mut self, session: usize, message: &Message<'_>, is_duplicate: bool) {
        let writer = &mut self.writers[session];
        // A repeat after a refusal in doubt is answered with what is stored, to its sender alone.
        if !is_duplicate {
            match writer.place {
                Some(place) => self.faults.extend(self.orders[writer.pair].hear(place, message)),
                None => self.faults.add(format_args!("session {session}: a message before hello")),
            }
        }
        let Some(client_id) = message.client_id.as_deref() else { return };
        if let Some(number) = own(&self.run, session, client_id) {
            if message.content != said(client_id, number) {
                self.faults.add(format_args!("{client_id} came with another content"));
            }
            self.echoes += u64::from(writer.waiting.remove(&number));
        }
        let sight = Sight {
            conversation: message.conversation_id,
            seq: message.seq,
            sender: message.sender.id,
            client_id: client_id.to_owned(),
            content: wire::hash(&message.content),
        };
        self.sights += 1;
        if let Err(error) = self.ledger.append(&sight) {
            self.failure.get_or_insert(error);
        }
    }

    fn on_failure(&mut self, session: usize, failure: &Failure<'_>, now: Duration) {
        let writer = &mut self.writers[session];
        let own = failure.client_id.as_deref().and_then(|id| own(&self.run, session, id));
        match own {
            Some(number) if failure.temporary => {
                if writer.waiting.remove(&number) {
                    writer.again.push_back(number);
                    self.retries += 1;
                }
                let pause = Duration::from_millis(failure.retry_after_ms.unwrap_or(PAUSE_MS));
                writer.pause_until = writer.pause_until.max(now + pause);
            }
            _ => self.faults.add(format_args!("session {session}: error {}", failure.code)),
        }
    }

    /// True exactly when nothing more is to come.
    fn is_level(&self) -> bool {
        self.writers.iter().all(|writer| writer.waiting.is_empty())
            && self.orders.iter().all(Order::is_level)
    }

    fn report(mut self, took: Duration) -> Report {
        // Where no session was cut, each heard everything.
        if self.cuts.is_empty() {
            let waiting: usize = self.writers.iter().map(|writer| writer.waiting.len()).sum();
            if waiting > 0 {
                self.faults.add(format_args!("{waiting} messages were never echoed"));
            }
            for order in &self.orders {
                self.faults.extend(order.missing());
            }
        }
        let mut report = Report::new("crash");
        report.row("writers", self.writers.len(), "");
        report.row("messages sent", self.sent, "");
        report.row("messages echoed", self.echoes, "");
        report.row("messages sent again", self.retries, "");
        report.row("sights recorded", self.sights, "");
        report.row("sessions cut", self.cuts.len(), "");
        if let Some(cut) = self.cuts.first() {
            report.row("the first cut", cut.as_str(), "");
        }
        report.row("duration", took.as_secs_f64(), "s");
        report.row("commits", self.echoes as f64 / took.as_secs_f64().max(1e-6), "1/s");
        report.faults = self.faults;
        report
    }
}

/// What is said in message `number` of a writer.
fn said(client_id: &str, number: u64) -> String {
    wire::content(client_id, (number * 37 % BYTES_MAX) as usize)
}

/// The number of the message of this run and writer that has that client id; `None`: another's.
fn own(run: &str, writer: usize, client_id: &str) -> Option<u64> {
    let (name, number) = client_id.strip_prefix(run)?.strip_prefix('-')?.split_once('-')?;
    (name.parse() == Ok(writer)).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests;
