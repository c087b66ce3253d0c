//! The way back of each session: it waits a random time, longer after each failure, connects, asks for what it missed, and is back
//! when it has heard that, or read it in the history where the server cannot be asked.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::history::{History, Read};
use crate::args::Storm as Args;
use crate::clock::Clock;
use crate::dialect::{Dialect, Place};
use crate::engine::room::{content, named};
use crate::engine::site::Site;
use crate::faults::Faults;
use crate::output::{self, Report};
use crate::rng::Rng;
use crate::run::latencies;
use crate::swarm::{Ending, Happening, Key, Swarm};
use crate::wire::{self, Incoming, Message};
use crate::ws::Upgrade;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(20);
/// Sessions that one source address opens.
const SESSIONS_PER_SOURCE: u32 = 10_000;
/// How long a session waits before it asks again, where it is not told.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// The longest content, bytes, as the messages were sent.
const BYTES: usize = 100;

/// A session that has missed something.
pub(super) struct Missed {
    /// Where it belongs.
    pub(super) place: Place,
    /// The last `seq` that it heard.
    pub(super) after: u64,
    /// How it comes back.
    pub(super) upgrade: Upgrade,
}

/// All sessions on their way.
pub(super) struct Comeback {
    sessions: Vec<Session>,
    /// How many messages each has missed.
    missed: u64,
    base: Duration,
    most: Duration,
    patience: Duration,
    killed_at: Duration,
    /// Who tries next, and when.
    next: BinaryHeap<Reverse<(Duration, usize)>>,
    /// Who asks again on its connection, and when.
    asks: BinaryHeap<Reverse<(Duration, Key)>>,
    /// Whose connection it is.
    owners: HashMap<Key, usize>,
    /// How often a session was told to ask again.
    put_off: u64,
    back: usize,
    tries: u64,
    doubles: u64,
    /// Missed messages that were read in the history.
    told_by_rest: u64,
    /// From the kill until a session was back, microseconds.
    took: Histogram<u64>,
    /// From the connect that succeeded until a session was back, microseconds.
    resume: Histogram<u64>,
    /// How connections that failed ended: how often.
    failures: HashMap<String, u64>,
    /// What was wrong.
    pub(super) faults: Faults,
}

struct Session {
    missed: Missed,
    /// The next `seq` that it is to hear.
    next: u64,
    /// By user of the conversation: the number of the next message of theirs.
    said: [u64; 2],
    tries: u32,
    connected_at: Duration,
    is_back: bool,
    /// True exactly while it waits to ask again.
    is_waiting: bool,
    /// True exactly while it is connected to a server that knows no resume.
    is_open: bool,
}

impl Comeback {
    /// All sessions are lost since `killed_at`.
    pub(super) fn new(missed: Vec<Missed>, args: &Args, killed_at: Duration) -> Self {
        let session = |missed: Missed| Session {
            next: missed.after + 1,
            said: [0, 1],
            missed,
            tries: 0,
            connected_at: Duration::ZERO,
            is_back: false,
            is_waiting: false,
            is_open: false,
        };
        Self {
            sessions: missed.into_iter().map(session).collect(),
            missed: u64::from(args.missed),
            base: Duration::from_millis(args.backoff_ms),
            most: Duration::from_millis(args.backoff_most_ms),
            patience: Duration::from_secs(args.patience_s),
            killed_at,
            next: BinaryHeap::new(),
            asks: BinaryHeap::new(),
            put_off: 0,
            owners: HashMap::new(),
            back: 0,
            tries: 0,
            doubles: 0,
            told_by_rest: 0,
            took: latencies(),
            resume: latencies(),
            failures: HashMap::new(),
            faults: Faults::default(),
        }
    }

    /// Until all are back, or the patience ends.
    /// `look` is told often how many are.
    pub(super) fn run(
        &mut self,
        site: &Site,
        clock: &Clock,
        rng: &mut Rng,
        look: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let history =
                (site.dialect == Dialect::Django).then(|| History::start(scope, &site.target));
            self.come_back((site, history.as_ref()), clock, rng, look)
        })
    }

    fn come_back(
        &mut self,
        (site, history): (&Site, Option<&History>),
        clock: &Clock,
        rng: &mut Rng,
        look: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        let bar = output::bar(self.sessions.len() as u64, "coming back");
        let mut swarm = site.swarm()?;
        for session in 0..self.sessions.len() {
            self.schedule(session, self.killed_at, rng);
        }
        let deadline = clock.now() + self.patience;
        while self.back < self.sessions.len() && clock.now() < deadline && self.faults.is_empty() {
            let wait = self.connect_due(&mut swarm, site, clock)?;
            self.ask_due(&mut swarm, clock.now());
            swarm.wait(wait)?;
            while let Some((key, happening)) = swarm.next() {
                if let Some(history) = history {
                    self.on_of_django(key, &happening, history, (clock.now(), rng));
                } else if let Some(command) = self.on(key, happening, clock.now(), rng) {
                    swarm.send(key, &command);
                }
            }
            while let Some(read) = history.and_then(History::next) {
                self.on_history(read, history, clock.now());
            }
            look(self.back as u64);
            bar.set_position(self.back as u64);
        }
        bar.finish_and_clear();
        swarm.close();
        let missing = self.sessions.len() - self.back;
        if missing > 0 {
            self.faults.add(format_args!("{missing} sessions did not come back"));
        }
        Ok(())
    }

    /// Full jitter: any time up to the bound, which doubles with each failure.
    fn schedule(&mut self, session: usize, now: Duration, rng: &mut Rng) {
        let tries = self.sessions[session].tries.min(16);
        let bound = (self.base * 2_u32.pow(tries)).min(self.most);
        self.next.push(Reverse((now + bound.mul_f64(rng.part()), session)));
    }

    /// Connects whose time it is; how long until the next one's.
    fn connect_due(
        &mut self,
        swarm: &mut Swarm,
        site: &Site,
        clock: &Clock,
    ) -> anyhow::Result<Duration> {
        let sources = (self.sessions.len() as u32).div_ceil(SESSIONS_PER_SOURCE);
        while let Some(Reverse((at, n))) = self.next.peek().copied() {
            let now = clock.now();
            if at > now {
                return Ok(at.saturating_sub(now).min(TURN));
            }
            self.next.pop();
            self.tries += 1;
            let session = &mut self.sessions[n];
            session.tries += 1;
            session.connected_at = now;
            let (address, host) = (site.target.address, &site.target.host);
            let source = site.target.source(n as u32, sources);
            let key = swarm.connect(address, host, source, &session.missed.upgrade)?;
            self.owners.insert(key, n);
        }
        Ok(TURN)
    }

    /// Asks for whom it is time to ask again.
    fn ask_due(&mut self, swarm: &mut Swarm, now: Duration) {
        while let Some(Reverse((at, key))) = self.asks.peek().copied()
            && at <= now
        {
            self.asks.pop();
            if let Some(n) = self.owners.get(&key) {
                self.sessions[*n].is_waiting = false;
                swarm.send(key, &wire::resume(None, self.sessions[*n].next - 1));
            }
        }
    }

    /// The server has no room for what a session asked: it asks again, any time within twice the time that it was told.
    fn put_off(&mut self, (key, n): (Key, usize), after: Duration, now: Duration, rng: &mut Rng) {
        if std::mem::replace(&mut self.sessions[n].is_waiting, true) {
            return;
        }
        self.put_off += 1;
        self.asks.push(Reverse((now + after + after.mul_f64(rng.part()), key)));
    }

    /// What happened to a connection; the command that is to be sent on it.
    fn on(
        &mut self,
        key: Key,
        happening: Happening<'_>,
        now: Duration,
        rng: &mut Rng,
    ) -> Option<String> {
        let n = *self.owners.get(&key)?;
        match happening {
            Happening::Opened => None,
            Happening::Ended(ending) => {
                self.on_ended((key, n), &ending, now, rng);
                None
            }
            Happening::Text(text) => match wire::read(text) {
                Ok(Incoming::Hello(_)) => Some(wire::resume(None, self.sessions[n].next - 1)),
                Ok(Incoming::Message(message, _)) => {
                    self.on_message(n, &message);
                    None
                }
                Ok(Incoming::Resumed(resumed)) if resumed.complete => {
                    self.on_resumed(n, now);
                    None
                }
                // There is more: it asks for that.
                Ok(Incoming::Resumed(_)) => {
                    self.put_off((key, n), ASK_AGAIN, now, rng);
                    None
                }
                Ok(Incoming::Error(failure)) if failure.temporary => {
                    let after = failure.retry_after_ms.map_or(ASK_AGAIN, Duration::from_millis);
                    self.put_off((key, n), after, now, rng);
                    None
                }
                Ok(Incoming::Error(failure)) => {
                    self.faults.add(format_args!("session {n}: error {}", failure.code));
                    None
                }
                Ok(_) => None,
                Err(error) => {
                    self.faults.add(format_args!("session {n}: {error}: {text}"));
                    None
                }
            },
        }
    }

    /// What happened to a connection with a server that knows no resume: once it stands, the history is read.
    fn on_of_django(
        &mut self,
        key: Key,
        happening: &Happening<'_>,
        history: &History,
        (now, rng): (Duration, &mut Rng),
    ) {
        let Some(n) = self.owners.get(&key).copied() else { return };
        match happening {
            Happening::Opened => {
                self.sessions[n].is_open = true;
                history.ask(n, self.sessions[n].missed.place);
            }
            // Who comes and goes; nobody speaks.
            Happening::Text(_) => {}
            Happening::Ended(ending) => self.on_ended((key, n), ending, now, rng),
        }
    }

    /// What a session read in the history; one that could not asks again.
    fn on_history(&mut self, read: Read, history: Option<&History>, now: Duration) {
        let n = read.session;
        if !self.sessions[n].is_open {
            return;
        }
        match (read.contents, history) {
            (Ok(contents), _) => {
                let is_there = |n: &u64| contents.contains(&content((*n % 2) as usize, *n, BYTES));
                let found = (0..self.missed).filter(is_there).count() as u64;
                self.told_by_rest += found;
                self.sessions[n].next = self.sessions[n].missed.after + 1 + found;
                self.on_resumed(n, now);
            }
            (Err(_), Some(history)) => {
                self.put_off += 1;
                history.ask(n, self.sessions[n].missed.place);
            }
            (Err(error), None) => self.faults.add(error),
        }
    }

    fn on_ended(&mut self, (key, n): (Key, usize), ending: &Ending, now: Duration, rng: &mut Rng) {
        self.owners.remove(&key);
        let session = &mut self.sessions[n];
        (session.is_waiting, session.is_open) = (false, false);
        let why = match ending {
            Ending::Refused(status, _) => format!("refused with {status}"),
            Ending::Closed(code, _) => format!("closed with {code}"),
            Ending::Lost(_) => "lost".to_owned(),
            Ending::Broken(violation) => violation.to_string(),
        };
        *self.failures.entry(why).or_default() += 1;
        if std::mem::replace(&mut session.is_back, false) {
            self.back -= 1;
        }
        self.schedule(n, now, rng);
    }

    fn on_message(&mut self, n: usize, message: &Message<'_>) {
        let session = &mut self.sessions[n];
        let (seq, next) = (message.seq, session.next);
        if seq < next {
            self.doubles += 1;
            return;
        }
        if seq > next {
            self.faults.add(format_args!("session {n}: seq {seq} came where {next} was due"));
        }
        // The two say every other one, each in their own order.
        let due = named(&message.content).filter(|(user, number)| {
            session.said.get(*user) == Some(number)
                && message.content == content(*user, *number, BYTES)
        });
        match due {
            Some((user, _)) => session.said[user] += 2,
            None => self.faults.add(format_args!("session {n}: seq {seq} is not what was said")),
        }
        session.next = seq + 1;
    }

    fn on_resumed(&mut self, n: usize, now: Duration) {
        let session = &mut self.sessions[n];
        let heard = session.next - session.missed.after - 1;
        if heard != self.missed {
            let Place::Room { room, .. } = session.missed.place else { return };
            self.faults.add(format_args!(
                "session {n}, conversation {room}: {heard} of {} messages came",
                self.missed
            ));
        }
        if !std::mem::replace(&mut session.is_back, true) {
            self.back += 1;
            let micros = |since: Duration| now.saturating_sub(since).as_micros() as u64;
            self.took.saturating_record(micros(self.killed_at));
            self.resume.saturating_record(micros(session.connected_at));
        }
    }

    /// How many are back.
    pub(super) fn back(&self) -> u64 {
        self.back as u64
    }

    /// What came of it.
    pub(super) fn tell(&self, report: &mut Report) {
        let heard = self.sessions.iter().map(|session| session.next - session.missed.after - 1);
        report.row("sessions back", self.back, "");
        report.row("all back after", self.took.max() as f64 / 1e6, "s");
        report.row("connects", self.tries, "");
        report.row("asked again", self.put_off, "");
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort();
        for (why, count) in failures {
            report.row(format!("connects that failed: {why}"), *count, "");
        }
        let (heard, all) = (heard.sum::<u64>(), self.missed * self.sessions.len() as u64);
        report.row("missed messages heard", heard, "");
        report.row("of these read over REST", self.told_by_rest, "");
        report.row(
            "missed by the sockets",
            all.saturating_sub(heard.saturating_sub(self.told_by_rest)),
            "",
        );
        report.row("messages heard twice", self.doubles, "");
        report.latency("back after the kill", &self.took);
        report.latency("connect to all heard", &self.resume);
    }
}

#[cfg(test)]
mod tests;
