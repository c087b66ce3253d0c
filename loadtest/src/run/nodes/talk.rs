//! The clients: they talk at a steady rate, come back wherever they were cut off, and check all that they hear.

mod hear;

use std::collections::HashSet;
use std::fmt;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::ensure;

use super::breaker::Notice;
use super::figures::{Cause, Figures};
use super::people::{self, Phase, Session};
use super::plan::{Act, Step};
use crate::clock::Clock;
use crate::faults::Faults;
use crate::pace::Pace;
use crate::pairs::Pair;
use crate::rng::Rng;
use crate::said::Said;
use crate::swarm::{Happening, Swarm};
use crate::target::Target;
use crate::wire;
use crate::ws::Upgrade;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(20);
/// Sessions opened a second, at first.
const OPEN_PER_SECOND: f64 = 250.0;
/// How long opening all of them may take.
const OPEN_PATIENCE: Duration = Duration::from_secs(120);
/// How long a client waits before it comes back, ms: random within these.
const BACK_MS: (f64, f64) = (50.0, 800.0);
/// Messages sent in a row, late ones, before sockets are read again.
const BURST_MAX: usize = 64;
/// Of so many clients one loses its connection when clients are cut.
const CUT_EVERY: usize = 10;
/// Length of a message, bytes.
const BYTES: usize = 80;
/// A message that somebody wants to say.
struct Letter {
    session: usize,
    /// When it was first sent; `None`: it was not yet.
    at: Option<Duration>,
    /// True exactly when its session was told that it is stored.
    is_committed: bool,
}

/// Where a node is, while it runs.
struct Node {
    target: Option<Target>,
    /// How often it was killed.
    life: u32,
}

/// The clients of a run.
pub(super) struct Talk {
    run: String,
    rng: Rng,
    pairs: Vec<Pair>,
    /// What was said in each conversation, by pair.
    said: Vec<Said>,
    nodes: Vec<Node>,
    sessions: Vec<Session>,
    /// By key of the swarm: the session.
    owners: Vec<usize>,
    messages: Vec<Letter>,
    /// Sessions that have something to send.
    todo: Vec<usize>,
    notices: Receiver<Notice>,
    pub(super) figures: Figures,
    pub(super) faults: Faults,
    verbose: bool,
    start: Duration,
}

impl Talk {
    /// Nobody is connected yet. `known`: the `seq` up to which everything is known, by pair.
    pub(super) fn new(
        (run, seed, verbose): (String, u64, bool),
        (pairs, known): (Vec<Pair>, &[u64]),
        targets: Vec<Target>,
        notices: Receiver<Notice>,
    ) -> Self {
        let sessions = people::sessions(&pairs, known, targets.len());
        let said = known.iter().map(|known| {
            let mut said = Said::default();
            said.reach(*known);
            said
        });
        Self {
            run,
            rng: Rng::of(seed, "talk"),
            said: said.collect(),
            pairs,
            nodes: targets
                .into_iter()
                .map(|target| Node { target: Some(target), life: 0 })
                .collect(),
            sessions,
            owners: Vec::new(),
            messages: Vec::new(),
            todo: Vec::new(),
            notices,
            figures: Figures::new(),
            faults: Faults::default(),
            verbose,
            start: Duration::ZERO,
        }
    }

    /// Opens every session.
    ///
    /// # Errors
    ///
    /// Not all are open in time.
    pub(super) fn open(
        &mut self,
        swarm: &mut Swarm,
        clock: &Clock,
        bar: &indicatif::ProgressBar,
    ) -> anyhow::Result<()> {
        self.start = clock.now();
        let pace = Pace::new(self.start, OPEN_PER_SECOND);
        for (n, session) in self.sessions.iter_mut().enumerate() {
            session.phase = Phase::Away { until: pace.intended(n as u64) };
        }
        let live = |talk: &Self| talk.sessions.iter().filter(|s| s.phase == Phase::Live).count();
        while live(self) < self.sessions.len() {
            self.turn(swarm, clock, TURN, bar)?;
            bar.set_position(live(self) as u64);
            ensure!(self.faults.is_empty(), "{}", self.faults.told().join("; "));
            ensure!(
                clock.since(self.start) < OPEN_PATIENCE,
                "{} of {} sessions opened",
                live(self),
                self.sessions.len()
            );
        }
        Ok(())
    }

    /// Talks for `length`, `rate` messages a second; `steps` say when clients are cut.
    pub(super) fn talk(
        &mut self,
        (swarm, clock): (&mut Swarm, &Clock),
        (length, rate): (Duration, f64),
        steps: &[Step],
        bar: &indicatif::ProgressBar,
    ) -> anyhow::Result<()> {
        self.start = clock.now();
        let pace = Pace::new(self.start, rate);
        let mut cuts = steps.iter().filter(|step| step.act == Act::CutClients).peekable();
        while clock.since(self.start) < length {
            let now = clock.now();
            for _ in 0..BURST_MAX {
                if !pace.is_due(self.messages.len() as u64, now) {
                    break;
                }
                self.say();
            }
            if cuts.next_if(|step| self.start + step.at <= now).is_some() {
                self.cut_clients(swarm, now, bar);
            }
            let wait = pace.wait(self.messages.len() as u64, now, TURN);
            self.turn(swarm, clock, wait, bar)?;
            bar.set_position(clock.since(self.start).as_secs());
        }
        Ok(())
    }

    /// Nobody says anything new; waits until all that was said is heard, `patience` at most.
    pub(super) fn settle(
        &mut self,
        swarm: &mut Swarm,
        clock: &Clock,
        patience: Duration,
        bar: &indicatif::ProgressBar,
    ) -> anyhow::Result<()> {
        let end = clock.now() + patience;
        while !self.is_level() && clock.now() < end {
            self.turn(swarm, clock, TURN, bar)?;
        }
        Ok(())
    }

    /// What is not right at the end. `stored`: the last `seq` of each conversation, by pair.
    pub(super) fn check_heard(&mut self, stored: &[u64]) -> u64 {
        let mut missing = 0;
        for (n, session) in self.sessions.iter().enumerate() {
            if session.phase != Phase::Live {
                self.faults.add(format_args!(
                    "{}: is {:?} at the end",
                    self.name(n),
                    session.phase
                ));
            }
            for message in session.outbox.iter().chain(&session.waiting) {
                let what = format!("message {message} was never answered");
                self.faults.add(format_args!("{}: {what}", self.name(n)));
            }
            if let Some((count, first)) = session.hearing.missing(stored[session.pair]) {
                missing += count;
                let what = format!("{count} messages never came, from seq {first} on");
                self.faults.add(format_args!("{}: {what}", self.name(n)));
            }
        }
        missing
    }

    /// How those nodes are spoken to that run; nobody connects to them any more.
    pub(super) fn take_targets(&mut self) -> Vec<Option<Target>> {
        self.nodes.iter_mut().map(|node| node.target.take()).collect()
    }

    /// The conversations, and what was heard in each.
    pub(super) fn said(&self) -> impl Iterator<Item = (&Pair, &Said)> {
        self.pairs.iter().zip(&self.said)
    }

    /// The sessions.
    pub(super) fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// Messages that were to be said.
    pub(super) fn meant(&self) -> usize {
        self.messages.len()
    }

    /// Messages whose senders were told that they are stored.
    pub(super) fn committed(&self) -> usize {
        self.messages.iter().filter(|message| message.is_committed).count()
    }

    fn is_level(&self) -> bool {
        self.sessions.iter().all(|session| {
            session.phase == Phase::Live
                && session.outbox.is_empty()
                && session.waiting.is_empty()
                && session.hearing.missing(self.said[session.pair].last()).is_none()
        })
    }

    /// The next message is due: conversations take turns, and so do the sessions of each. Some say first that they type.
    fn say(&mut self) {
        let n = self.messages.len();
        let pair = n % self.pairs.len();
        let ours = |session: &Session| session.pair == pair;
        let first = self.sessions.iter().position(ours).expect("every pair has sessions");
        let count = self.sessions[first..].iter().take_while(|session| ours(session)).count();
        let session = first + (n / self.pairs.len()) % count;
        self.messages.push(Letter { session, at: None, is_committed: false });
        self.sessions[session].outbox.push_back(n);
        self.todo.push(session);
    }

    fn cut_clients(&mut self, swarm: &mut Swarm, now: Duration, bar: &indicatif::ProgressBar) {
        self.tell(bar, now, "clients are cut");
        let first = self.rng.below(CUT_EVERY);
        for n in (first..self.sessions.len()).step_by(CUT_EVERY) {
            if let Some(key) = self.sessions[n].key {
                swarm.cut(key);
                self.leave(n, now, Cause::Cut);
            }
        }
    }

    fn turn(
        &mut self,
        swarm: &mut Swarm,
        clock: &Clock,
        wait: Duration,
        bar: &indicatif::ProgressBar,
    ) -> anyhow::Result<()> {
        let begun = clock.now();
        self.take_notices(begun, bar)?;
        self.come_back(swarm, clock.now())?;
        self.send(swarm, clock.now());
        swarm.wait(wait)?;
        let late = clock.since(begun).saturating_sub(wait);
        self.figures.stall = self.figures.stall.max(late);
        while let Some((key, happening)) = swarm.next() {
            if matches!(happening, Happening::Ended(_)) {
                // A node's death is told before it dies.
                self.take_notices(clock.now(), bar)?;
            }
            self.on(key, happening, clock.now());
        }
        self.send(swarm, clock.now());
        Ok(())
    }

    fn take_notices(&mut self, now: Duration, bar: &indicatif::ProgressBar) -> anyhow::Result<()> {
        while let Ok(notice) = self.notices.try_recv() {
            let what = match notice {
                Notice::RedisGone => {
                    self.figures.redis_kills += 1;
                    "Redis is killed".to_owned()
                }
                Notice::RedisBack => "Redis is back".to_owned(),
                Notice::RedisCut(kind) => {
                    self.figures.redis_cuts += 1;
                    format!("Redis cuts connections, {kind}")
                }
                Notice::NodeGone(node, counters) => {
                    self.figures.node_kills += 1;
                    self.figures.counters.add(&counters);
                    self.nodes[node].target = None;
                    self.nodes[node].life += 1;
                    format!("node {node} is killed")
                }
                Notice::NodeBack(node, target) => {
                    self.nodes[node].target = Some(*target);
                    format!("node {node} is back")
                }
                Notice::Failed(error) => return Err(error),
            };
            self.tell(bar, now, &what);
        }
        Ok(())
    }

    fn tell(&self, bar: &indicatif::ProgressBar, now: Duration, what: &str) {
        let at = now.saturating_sub(self.start).as_secs_f64();
        bar.set_message(what.to_owned());
        if self.verbose {
            crate::output::say(bar, format_args!("{at:8.3}  {what}"));
        }
    }

    /// Those whose time has come connect: at first where they belong, later to any node that runs, rather to one where their
    /// partner is not.
    fn come_back(&mut self, swarm: &mut Swarm, now: Duration) -> anyhow::Result<()> {
        for n in 0..self.sessions.len() {
            let session = &self.sessions[n];
            if !matches!(session.phase, Phase::Away { until } if until <= now) {
                continue;
            }
            let node = if session.connections == 0 { Some(session.node) } else { self.choose(n) };
            let Some(node) = node else { continue };
            let Some(target) = &self.nodes[node].target else { continue };
            let session = &self.sessions[n];
            let Pair { conversation, users } = self.pairs[session.pair];
            let resumes = session.connections > 0;
            let by_url = resumes && self.rng.next() & 1 == 0;
            let known = session.hearing.known();
            let path = match (session.is_chat, by_url) {
                (true, false) => "/ws/chat/".to_owned(),
                (true, true) => format!("/ws/chat/?since={conversation}:{known}"),
                (false, false) => format!("/ws/conversations/{conversation}/"),
                (false, true) => format!("/ws/conversations/{conversation}/?since={known}"),
            };
            let token = target.signer.token(users[session.side]);
            let upgrade = Upgrade { path, token, is_v1: true };
            let key = swarm.connect(target.address, &target.host, None, &upgrade)?;
            debug_assert_eq!(key.0, self.owners.len());
            self.owners.push(n);
            let life = self.nodes[node].life;
            let session = &mut self.sessions[n];
            (session.node, session.node_life) = (node, life);
            session.key = Some(key);
            session.connections += 1;
            session.phase = Phase::Opening { asks: resumes && !by_url };
            if resumes {
                session.hearing.on_returned();
            } else {
                // A chat socket may be told of what was said just before it was there.
                session.hearing.on_joined(if session.is_chat { known } else { 0 });
            }
        }
        Ok(())
    }

    fn choose(&mut self, n: usize) -> Option<usize> {
        let Session { pair, side, .. } = self.sessions[n];
        let partner = self.sessions.iter().find(|s| s.pair == pair && s.side != side)?.node;
        let mut up: Vec<usize> =
            (0..self.nodes.len()).filter(|node| self.nodes[*node].target.is_some()).collect();
        if up.len() > 1 {
            up.retain(|node| *node != partner);
        }
        (!up.is_empty()).then(|| up[self.rng.below(up.len())])
    }

    /// Those that have something to send do.
    fn send(&mut self, swarm: &mut Swarm, now: Duration) {
        for n in std::mem::take(&mut self.todo).into_iter().collect::<HashSet<_>>() {
            let session = &mut self.sessions[n];
            let Some(key) = session.key else { continue };
            let conversation = self.pairs[session.pair].conversation;
            let named = session.is_chat.then_some(conversation);
            if session.phase == Phase::Asking {
                session.phase = Phase::Resuming;
                swarm.send(key, &wire::resume(named, session.hearing.known()));
            }
            if session.phase != Phase::Live {
                continue;
            }
            if session.pause_until > now {
                self.todo.push(n);
                continue;
            }
            while let Some(number) = session.outbox.pop_front() {
                let client_id = format!("{}-{number}", self.run);
                if number % 4 == 0 && !session.is_chat {
                    swarm.send(key, &wire::typing(true));
                }
                let command =
                    wire::message_to(named, &wire::content(&client_id, BYTES), &client_id);
                session.waiting.insert(number);
                self.messages[number].at.get_or_insert(now);
                if !swarm.send(key, &command) {
                    break;
                }
            }
        }
    }

    fn leave(&mut self, n: usize, now: Duration, cause: Cause) {
        self.figures.reconnects[cause as usize] += 1;
        let pause = self.rng.between(BACK_MS.0, BACK_MS.1) / 1e3;
        let session = &mut self.sessions[n];
        session.key = None;
        session.hearing.on_cut();
        session.phase = Phase::Away { until: now + Duration::from_secs_f64(pause) };
    }

    fn fault(&mut self, n: usize, now: Duration, what: impl fmt::Display) {
        let at = now.saturating_sub(self.start).as_secs_f64();
        self.faults.add(format_args!("{at:.3} s, {}: {what}", self.name(n)));
    }

    /// Which session that is, for people.
    fn name(&self, n: usize) -> String {
        let session = &self.sessions[n];
        let Pair { conversation, users } = self.pairs[session.pair];
        let (user, device, node) = (users[session.side], session.device, session.node);
        let socket = if session.is_chat { "chat socket" } else { "socket" };
        format!("conversation {conversation}, user {user}, {socket} {device} on node {node}")
    }
}
