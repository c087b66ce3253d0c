//! `chat`: pairs talk at a steady rate, or each as fast as it is answered, and every session's hearing is checked.

mod closed;
mod figures;
mod mix;
mod unnumbered;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::ensure;
use hdrhistogram::Histogram;

use self::mix::Mix;
use self::unnumbered::{Unnumbered, client_id};
use super::open::Opener;
use super::{latencies, run_name};
use crate::args::Chat as Args;
use crate::clock::Clock;
use crate::dialect::{Dialect, Place, Said};
use crate::engine::measure::{Begun, Measured};
use crate::engine::site::{Needs, Site};
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
/// Sessions that are opened a second with a server that does not defend itself.
const OPEN_PER_SECOND: f64 = 2_000.0;

/// Conversations where nothing says how many and the server is started.
pub(crate) const PAIRS: usize = 100;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    let dialect = args.site.dialect;
    ensure!(dialect.has_people(), "there are no users in this dialect: `fanout` measures it");
    let pairs = args.source.pairs.unwrap_or(PAIRS) as u32;
    let site = Site::set(&args.site, Needs { users: 2 * pairs, ..Needs::default() })?;
    let pairs =
        if site.is_own() { site.pairs(pairs)? } else { pairs::find(&args.source, &site.target)? };
    let mut chat = Chat::new(args, pairs);
    let mut swarm = site.swarm()?;
    let upgrades = chat.upgrades(&site);
    let opener = Opener::new(upgrades.len() as u32, site.is_own().then_some(OPEN_PER_SECOND))?;
    opener.open(&mut swarm, &site.target, clock, &upgrades, |key, happening| {
        chat.on(key, happening, clock.now());
    })?;
    if dialect == Dialect::Django {
        (0..chat.places.len()).for_each(|session| chat.on_hello(session, Some(0)));
    }
    let deadline = clock.now() + chat.patience;
    chat.listen_until(&mut swarm, clock, deadline, |chat| chat.places.iter().all(Option::is_some))?;
    chat.check_joined();
    let mut report = Report::new("chat");
    if chat.faults.is_empty() {
        let measured = match args.window {
            None => chat.by_the_clock(args, (&mut swarm, &site, clock))?,
            Some(window) => {
                let times = [args.warm_up_s, args.duration_s].map(Duration::from_secs);
                chat.in_a_closed_loop((window, times), (&mut swarm, &site, clock))?
            }
        };
        chat.tell(&mut report, &measured);
    }
    swarm.close();
    chat.check_heard();
    if dialect == Dialect::Fortifun {
        report.row("messages found stored", chat.check_stored(&site.target)?, "");
    }
    chat.tell_parameters(&mut report, args, &site);
    report.faults = chat.faults;
    Ok(report)
}

/// A run under way.
struct Chat {
    run: String,
    bytes: usize,
    patience: Duration,
    dialect: Dialect,
    pairs: Vec<Pair>,
    /// Sessions of each user. Session `n` belongs to pair `n / (2 * per_user)`, whose first user's come first.
    per_user: usize,
    /// By session: its number in its conversation's order, from its `hello` on.
    places: Vec<Option<usize>>,
    /// By pair.
    orders: Vec<Order>,
    /// By pair: the least `seq` that a `hello` told.
    joined_at: Vec<Option<u64>>,
    unnumbered: Unnumbered,
    mix: Mix,
    /// What is to be sent.
    outbox: Vec<(Key, String)>,
    sent: Vec<Sent>,
    /// Messages that will be sent, where that is known.
    all: u64,
    /// In a closed loop, pairs that may send their next message, each as often as it may.
    due: Option<VecDeque<usize>>,
    /// By pair: how many messages it has sent.
    turns: Vec<usize>,
    /// What came since it is counted.
    tally: Tally,
    /// The first message that is measured.
    measured_from: usize,
    is_cut: bool,
    heard: u64,
    foreign: u64,
    refused: u64,
    lag: Histogram<u64>,
    echo: Histogram<u64>,
    delivery: Histogram<u64>,
    faults: Faults,
}

/// What came while it was counted.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Messages that were sent.
    sent: u64,
    /// Messages that were stored, which their senders heard.
    echoed: u64,
    /// Messages that others heard, each by each session.
    delivered: u64,
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
            dialect: args.site.dialect,
            unnumbered: Unnumbered::default(),
            mix: Mix::new(args.typing, args.receipts, args.seed),
            outbox: Vec::new(),
            all: 0,
            due: None,
            turns: vec![0; pairs.len()],
            tally: Tally::default(),
            measured_from: 0,
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

    fn upgrades(&self, site: &Site) -> Vec<Upgrade> {
        let upgrade = |session| {
            let (pair, user) = self.owner(session);
            let room = self.pairs[pair].conversation;
            self.dialect.upgrade(Place::Room { room, user }, &site.target)
        };
        (0..self.places.len()).map(upgrade).collect()
    }

    /// Messages from number `first` on are measured.
    fn count_from(&mut self, first: usize) {
        self.measured_from = first;
        self.tally = Tally::default();
        [&mut self.lag, &mut self.echo, &mut self.delivery].into_iter().for_each(Histogram::reset);
    }

    /// The pair and the user of a session.
    fn owner(&self, session: usize) -> (usize, i64) {
        let pair = session / (2 * self.per_user);
        (pair, self.pairs[pair].users[session / self.per_user % 2])
    }

    /// The session that sends message `n`: pairs take turns, and so do the sessions of each.
    fn sender(&self, n: usize) -> usize {
        self.sender_of(n % self.pairs.len(), n / self.pairs.len())
    }

    /// The session that sends the message of that turn of a pair.
    fn sender_of(&self, pair: usize, turn: usize) -> usize {
        let per_pair = 2 * self.per_user;
        let (side, of_user) = (turn % 2, turn / 2 % self.per_user);
        pair * per_pair + side * self.per_user + of_user
    }

    /// Sends at a steady rate, first what is not measured; then waits until all is heard.
    fn by_the_clock(
        &mut self,
        args: &Args,
        (swarm, site, clock): (&mut Swarm, &Site, &Clock),
    ) -> anyhow::Result<Measured> {
        let pace = Pace::new(self.mix.start(clock.now()), args.rate);
        let warm_up = (args.warm_up_s as f64 * args.rate) as u64;
        self.all = warm_up + args.messages;
        self.talk((swarm, clock), &pace, warm_up, &mut |_| {})?;
        let mut begun = Begun::now(site, clock)?;
        self.count_from(warm_up as usize);
        let mut look = |echoed| begun.look(clock, echoed);
        self.talk((swarm, clock), &pace, warm_up + args.messages, &mut look)?;
        let deadline = clock.now() + self.patience;
        self.listen_until(swarm, clock, deadline, Self::is_done)?;
        begun.end(site, clock)
    }

    /// Sends until `messages` are sent; their senders type before those up to there.
    fn talk(
        &mut self,
        (swarm, clock): (&mut Swarm, &Clock),
        pace: &Pace,
        messages: u64,
        look: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        let bar = output::bar(messages, "talking");
        while (self.sent.len() as u64) < messages && !self.is_cut {
            while let Some(n) = self.mix.typing(pace, clock.now(), self.all) {
                swarm.send(Key(self.sender(n as usize)), &wire::typing(true));
            }
            for _ in 0..BURST_MAX {
                let (n, now) = (self.sent.len(), clock.now());
                if n as u64 == messages || !pace.is_due(n as u64, now) {
                    break;
                }
                let (session, intended) = (self.sender(n), pace.intended(n as u64));
                self.say(swarm, session, intended);
                self.lag.saturating_record(micros(now.saturating_sub(intended)));
            }
            look(self.tally.echoed);
            bar.set_position(self.sent.len() as u64);
            swarm.wait(pace.wait(self.sent.len() as u64, clock.now(), TURN))?;
            self.drain(swarm, clock);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// A session sends the next message, which was meant to be sent at `intended`.
    fn say(&mut self, swarm: &mut Swarm, session: usize, intended: Duration) {
        let client_id = format!("{}-{}", self.run, self.sent.len());
        let content = wire::content(&client_id, self.bytes);
        // Django knows no names of messages.
        let command = match self.dialect {
            Dialect::Django => wire::unnamed_message(&content),
            _ => wire::message(&content, &client_id),
        };
        swarm.send(Key(session), &command);
        self.sent.push(Sent { session, intended, is_answered: false });
        self.tally.sent += 1;
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
        for (key, command) in self.outbox.drain(..) {
            swarm.send(key, &command);
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
            Happening::Text(text) if self.dialect == Dialect::Django => {
                self.on_unnumbered(session, text, now);
            }
            Happening::Text(text) => match wire::read(text) {
                Err(error) => self.faults.add(format_args!("session {session}: {error}: {text}")),
                Ok(Incoming::Hello(last_seq)) => self.on_hello(session, last_seq),
                Ok(Incoming::Message(message, is_duplicate)) => {
                    self.on_message(session, &message, is_duplicate, now);
                }
                Ok(Incoming::Error(failure)) => self.on_failure(session, &failure),
                Ok(Incoming::Other) => self.mix.told += 1,
                Ok(Incoming::NewMessage(_) | Incoming::Resumed(_)) => {}
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

    /// A text of a server whose messages have no places.
    fn on_unnumbered(&mut self, session: usize, text: &str, now: Duration) {
        match Said::read(self.dialect, text) {
            Ok(Some(said)) => {
                let pair = self.pairs[self.owner(session).0];
                let own = self.own(client_id(&said.content));
                let sender = own.map_or(0, |(n, _)| self.owner(self.sent[n].session).1);
                let id = said.id.unwrap_or(0);
                let message = self.unnumbered.message(pair, sender, &said.content, id);
                self.on_message(session, &message, false, now);
            }
            Ok(None) => self.mix.told += 1,
            Err(fault) => self.faults.add(format_args!("session {session}: {fault}")),
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
        let is_measured = n >= self.measured_from;
        let is_echo = session == sender;
        if is_echo {
            self.sent[n].is_answered = true;
        }
        // Where nobody waits until all is heard, what was sent before stands for what will be heard after.
        if is_measured || self.due.is_some() {
            self.tally.echoed += u64::from(is_echo);
            self.tally.delivered += u64::from(!is_echo);
        }
        match (is_measured, is_echo) {
            (true, true) => self.echo.saturating_record(latency),
            (true, false) => self.delivery.saturating_record(latency),
            (false, _) => {}
        }
        if let Some(due) = self.due.as_mut().filter(|_| is_echo) {
            due.push_back(pair);
        }
        if self.owner(session).1 != self.owner(sender).1 && self.mix.reads() {
            self.outbox.push((Key(session), wire::read_receipt(message.id)));
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
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

#[cfg(test)]
mod tests;
