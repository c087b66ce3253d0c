//! `chat`: pairs talk at a steady rate, and every session's hearing is checked.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::open::Opener;
use super::{latencies, run_name};
use crate::args::Chat as Args;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::http::Connection;
use crate::order::Order;
use crate::output::{self, Report};
use crate::pace::Pace;
use crate::pairs::{self, Pair};
use crate::rest;
use crate::stored;
use crate::swarm::{Happening, Key, Swarm};
use crate::target::Target;
use crate::wire::{self, Failure, Incoming, Message};
use crate::ws::Upgrade;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(50);
/// Messages sent in a row, late ones, before sockets are read again.
const BURST_MAX: usize = 64;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    let target = Target::new(&args.server)?;
    let mut chat = Chat::new(args, pairs::find(&args.source, &target)?);
    let mut swarm = Swarm::new()?;
    let upgrades = chat.upgrades(&target);
    let opener = Opener::new(upgrades.len() as u32, None)?;
    opener.open(&mut swarm, &target, clock, &upgrades, |key, happening| {
        chat.on(key, happening, clock.now());
    })?;
    let deadline = clock.now() + chat.patience;
    chat.listen_until(&mut swarm, clock, deadline, |chat| chat.places.iter().all(Option::is_some))?;
    chat.check_joined();
    let start = clock.now();
    let pace = Pace::new(start, args.rate);
    if chat.faults.is_empty() {
        chat.talk(&mut swarm, clock, &pace, args.messages)?;
        let deadline = clock.now() + chat.patience;
        chat.listen_until(&mut swarm, clock, deadline, Chat::is_done)?;
    }
    let took = clock.since(start);
    swarm.close();
    chat.check_heard();
    let stored = chat.check_stored(&target)?;
    Ok(chat.report(took, stored))
}

/// A run under way.
struct Chat {
    run: String,
    bytes: usize,
    patience: Duration,
    pairs: Vec<Pair>,
    /// Sessions of each user. Session `n` belongs to pair `n / (2 * per_user)`, whose first user's come first.
    per_user: usize,
    /// By session: its number in its conversation's order, from its `hello` on.
    places: Vec<Option<usize>>,
    /// By pair.
    orders: Vec<Order>,
    /// By pair: the least `seq` that a `hello` told.
    joined_at: Vec<Option<u64>>,
    sent: Vec<Sent>,
    is_cut: bool,
    heard: u64,
    foreign: u64,
    refused: u64,
    lag: Histogram<u64>,
    echo: Histogram<u64>,
    delivery: Histogram<u64>,
    faults: Faults,
}

/// A message that was sent.
struct Sent {
    session: usize,
    intended: Duration,
    is_answered: bool,
}

impl Chat {
    fn new(args: &Args, pairs: Vec<Pair>) -> Self {
        let per_user = usize::from(args.sessions);
        Self {
            run: run_name(),
            bytes: usize::from(args.bytes),
            patience: Duration::from_secs(args.patience_s),
            places: vec![None; pairs.len() * 2 * per_user],
            orders: pairs.iter().map(|pair| Order::new(pair.conversation)).collect(),
            joined_at: vec![None; pairs.len()],
            pairs,
            per_user,
            sent: Vec::new(),
            is_cut: false,
            heard: 0,
            foreign: 0,
            refused: 0,
            lag: latencies(),
            echo: latencies(),
            delivery: latencies(),
            faults: Faults::default(),
        }
    }

    fn upgrades(&self, target: &Target) -> Vec<Upgrade> {
        let upgrade = |session| {
            let (pair, user) = self.owner(session);
            let path = format!("/ws/conversations/{}/", self.pairs[pair].conversation);
            Upgrade { path, token: target.signer.token(user), is_v1: true }
        };
        (0..self.places.len()).map(upgrade).collect()
    }

    /// The pair and the user of a session.
    fn owner(&self, session: usize) -> (usize, i64) {
        let pair = session / (2 * self.per_user);
        (pair, self.pairs[pair].users[session / self.per_user % 2])
    }

    /// The session that sends message `n`: pairs take turns, and so do the sessions of each.
    fn sender(&self, n: usize) -> usize {
        let per_pair = 2 * self.per_user;
        let (pair, turn) = (n % self.pairs.len(), n / self.pairs.len());
        let (side, of_user) = (turn % 2, turn / 2 % self.per_user);
        pair * per_pair + side * self.per_user + of_user
    }

    fn talk(
        &mut self,
        swarm: &mut Swarm,
        clock: &Clock,
        pace: &Pace,
        messages: u64,
    ) -> anyhow::Result<()> {
        let bar = output::bar(messages, "talking");
        while (self.sent.len() as u64) < messages && !self.is_cut {
            for _ in 0..BURST_MAX {
                let (n, now) = (self.sent.len(), clock.now());
                if n as u64 == messages || !pace.is_due(n as u64, now) {
                    break;
                }
                let (session, intended) = (self.sender(n), pace.intended(n as u64));
                let client_id = format!("{}-{n}", self.run);
                let command = wire::message(&wire::content(&client_id, self.bytes), &client_id);
                swarm.send(Key(session), &command);
                self.lag.saturating_record(micros(now.saturating_sub(intended)));
                self.sent.push(Sent { session, intended, is_answered: false });
            }
            bar.set_position(self.sent.len() as u64);
            swarm.wait(pace.wait(self.sent.len() as u64, clock.now(), TURN))?;
            self.drain(swarm, clock);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn listen_until(
        &mut self,
        swarm: &mut Swarm,
        clock: &Clock,
        deadline: Duration,
        is_done: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        while !is_done(self) && !self.is_cut && clock.now() < deadline {
            swarm.wait(TURN)?;
            self.drain(swarm, clock);
        }
        Ok(())
    }

    fn drain(&mut self, swarm: &mut Swarm, clock: &Clock) {
        while let Some((key, happening)) = swarm.next() {
            self.on(key, happening, clock.now());
        }
    }

    fn is_done(&self) -> bool {
        let answered = self.sent.len() as u64 - self.refused;
        self.heard >= answered * 2 * self.per_user as u64
    }

    fn on(&mut self, Key(session): Key, happening: Happening<'_>, now: Duration) {
        match happening {
            Happening::Opened => {}
            Happening::Ended(ending) => {
                self.is_cut = true;
                self.faults.add(format_args!("session {session} was {ending}"));
            }
            Happening::Text(text) => match wire::read(text) {
                Err(error) => self.faults.add(format_args!("session {session}: {error}: {text}")),
                Ok(Incoming::Hello(last_seq)) => self.on_hello(session, last_seq),
                Ok(Incoming::Message(message, is_duplicate)) => {
                    self.on_message(session, &message, is_duplicate, now);
                }
                Ok(Incoming::Error(failure)) => self.on_failure(session, &failure),
                Ok(Incoming::NewMessage(_) | Incoming::Resumed(_) | Incoming::Other) => {}
            },
        }
    }

    fn on_hello(&mut self, session: usize, last_seq: Option<u64>) {
        let (pair, _) = self.owner(session);
        match (last_seq, self.places[session]) {
            (Some(last_seq), None) => {
                self.places[session] = Some(self.orders[pair].join(last_seq));
                let least = self.joined_at[pair].get_or_insert(last_seq);
                *least = last_seq.min(*least);
            }
            (None, _) => self.faults.add(format_args!("session {session}: hello without last_seq")),
            (_, Some(_)) => self.faults.add(format_args!("session {session}: a second hello")),
        }
    }

    fn on_message(
        &mut self,
        session: usize,
        message: &Message<'_>,
        is_duplicate: bool,
        now: Duration,
    ) {
        let (pair, _) = self.owner(session);
        let Some(place) = self.places[session] else {
            return self.faults.add(format_args!("session {session}: a message before hello"));
        };
        self.faults.extend(self.orders[pair].hear(place, message));
        let Some((n, client_id)) = self.own(message.client_id.as_deref()) else {
            self.foreign += 1;
            return;
        };
        let sender = self.sent[n].session;
        self.heard += 1;
        if is_duplicate {
            self.faults.add(format_args!("{client_id} was sent once and answered as a duplicate"));
        }
        if message.sender.id != self.owner(sender).1 || self.owner(sender).0 != pair {
            self.faults.add(format_args!("{client_id} came from another than its sender"));
        }
        if message.content != wire::content(client_id, self.bytes) {
            self.faults.add(format_args!("{client_id} came with another content"));
        }
        let latency = micros(now.saturating_sub(self.sent[n].intended));
        if session == sender {
            self.sent[n].is_answered = true;
            self.echo.saturating_record(latency);
        } else {
            self.delivery.saturating_record(latency);
        }
    }

    fn on_failure(&mut self, session: usize, failure: &Failure<'_>) {
        let code = &failure.code;
        if let Some((n, client_id)) = self.own(failure.client_id.as_deref()) {
            self.faults.add(format_args!("session {session}: {client_id} was refused: {code}"));
            if !std::mem::replace(&mut self.sent[n].is_answered, true) {
                self.refused += 1;
            }
        } else {
            self.faults.add(format_args!("session {session}: error {code}"));
        }
    }

    /// Which message of this run has that client id; `None`: another's.
    fn own<'a>(&self, client_id: Option<&'a str>) -> Option<(usize, &'a str)> {
        let client_id = client_id?;
        let n: usize = client_id.strip_prefix(&*self.run)?.strip_prefix('-')?.parse().ok()?;
        (n < self.sent.len()).then_some((n, client_id))
    }

    fn check_joined(&mut self) {
        let silent = self.places.iter().filter(|place| place.is_none()).count();
        if silent > 0 {
            self.faults.add(format_args!("{silent} sessions were told no hello"));
        }
    }

    fn check_heard(&mut self) {
        let unanswered = self.sent.iter().filter(|sent| !sent.is_answered).count();
        if unanswered > 0 {
            self.faults.add(format_args!("{unanswered} messages were never echoed"));
        }
        for order in &self.orders {
            self.faults.extend(order.missing());
        }
    }

    /// Compares what was heard with what is stored now. Answers how many messages that is.
    fn check_stored(&mut self, target: &Target) -> anyhow::Result<usize> {
        let mut connection = Connection::new(target);
        let mut stored = 0;
        for (n, pair) in self.pairs.iter().enumerate() {
            let Some(after) = self.joined_at[n] else { continue };
            let conversation = pair.conversation;
            let rows = rest::messages(&mut connection, conversation, pair.users[1], after)?;
            let sights = self.orders[n].sights();
            self.faults.extend(stored::check(conversation, after, &rows, &sights));
            stored += rows.len();
        }
        Ok(stored)
    }

    fn report(self, took: Duration, stored: usize) -> Report {
        let mut report = Report::new("chat");
        let commits: u64 = self.orders.iter().map(Order::count).sum();
        report.row("pairs", self.pairs.len(), "");
        report.row("sessions", self.places.len(), "");
        report.row("messages sent", self.sent.len(), "");
        report.row("messages refused", self.refused, "");
        report.row("messages committed and echoed", self.echo.len(), "");
        report.row("frames delivered to others", self.delivery.len(), "");
        report.row("messages of others", self.foreign, "");
        report.row("messages found stored", stored, "");
        report.row("duration", took.as_secs_f64(), "s");
        report.row("commits", commits as f64 / took.as_secs_f64().max(1e-6), "1/s");
        report.latency("echo", &self.echo);
        report.latency("delivery", &self.delivery);
        report.latency("send lag", &self.lag);
        report.faults = self.faults;
        report
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

#[cfg(test)]
mod tests;
