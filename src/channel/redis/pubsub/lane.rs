//! One host that is published on: its connection, whatever becomes of it, and what waits for it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use redis::Value;

use super::health::Health;
use super::pipeline::{Moved, Pipeline, What};
use super::route::Words;
use crate::channel::redis::link::{Backoff, Endpoint, Fault, Link};
use crate::channel::redis::{Clock, Hub};
use crate::limits::{BUS_ANSWER_MS, BUS_IDLE_MS};
use crate::metrics::BusDrop;
use crate::time::{Mono, Timestamp};

/// What the server calls the connection.
const NAME: &str = "fortifun-out";
/// How long Redis may take to answer what was published.
const ANSWER: Duration = Duration::from_millis(BUS_ANSWER_MS);

/// See the module.
pub(super) struct Lane {
    hub: Arc<Hub>,
    clock: Clock,
    words: &'static Words,
    health: Arc<Health>,
    endpoint: Endpoint,
    state: State,
    backoff: Backoff,
    queue: Pipeline,
    /// What is to go to another host.
    moved: Vec<Moved>,
    /// How many entries wait while the host is away.
    bound: usize,
    /// Since when something for this host was lost.
    lost: Option<Timestamp>,
    /// What was sent is answered by then.
    deadline: Mono,
    /// When it answered last.
    answered_at: Mono,
}

enum State {
    /// To be tried again then.
    Down(Mono),
    /// A thread of its own tries, so that a host that does not answer keeps nobody from the others.
    Dialing(Receiver<Result<Link, Fault>>),
    Up(Link),
}

impl Lane {
    /// The host at `endpoint`, for which at most `bound` messages wait while it is away.
    pub(super) fn new(
        (hub, clock): (&Arc<Hub>, &Clock),
        words: &'static Words,
        health: &Arc<Health>,
        endpoint: Endpoint,
        bound: usize,
    ) -> Self {
        Self {
            hub: Arc::clone(hub),
            clock: Arc::clone(clock),
            words,
            health: Arc::clone(health),
            endpoint,
            state: State::Down(Mono::default()),
            backoff: Backoff::default(),
            queue: Pipeline::default(),
            moved: Vec::new(),
            bound,
            lost: None,
            deadline: Mono::default(),
            answered_at: Mono::default(),
        }
    }

    /// Where it is, for people.
    pub(super) fn who(&self) -> &str {
        self.endpoint.shown()
    }

    /// True exactly when there is a connection.
    pub(super) const fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Commands that are not answered.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// True exactly when there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Since when something for this host was lost; forgets it.
    pub(super) const fn take_lost(&mut self) -> Option<Timestamp> {
        self.lost.take()
    }

    /// Sees to the connection.
    pub(super) fn advance(&mut self, now: Mono) {
        match &mut self.state {
            State::Up(link) => {
                // Behind what is under way its answer would be another's.
                if self.queue.is_empty() && now.since(self.answered_at) >= BUS_IDLE_MS {
                    self.answered_at = now;
                    let ping = redis::cmd("PING").get_packed_command();
                    match link.query(&ping, 1, ANSWER) {
                        Ok(_) => self.backoff.on_success(),
                        Err(fault) => self.on_fault(&fault),
                    }
                }
            }
            State::Down(at) if now >= *at => self.dial(),
            State::Down(_) => {}
            State::Dialing(dialed) => match dialed.try_recv() {
                Ok(Ok(link)) => {
                    self.state = State::Up(link);
                    self.answered_at = now;
                    self.health.is_up(self.endpoint.shown());
                }
                Ok(Err(fault)) => self.on_fault(&fault),
                Err(TryRecvError::Disconnected) => {
                    self.on_fault(&Fault::Unreachable("the try ended".to_owned()));
                }
                Err(TryRecvError::Empty) => {}
            },
        }
    }

    /// When [`Self::advance`] has something to do at the latest; before that, the end of a try nudges the outbox.
    pub(super) const fn next_at(&self, now: Mono) -> Mono {
        match &self.state {
            State::Up(_) => self.answered_at.plus(BUS_IDLE_MS),
            State::Down(at) => *at,
            State::Dialing(_) => now.plus(BUS_IDLE_MS),
        }
    }

    /// Queues `payload` for `channel`, which has `slot` in a cluster. While the host is away, only what may not be shed, and that
    /// up to the bound.
    pub(super) fn push(&mut self, channel: &str, payload: &[u8], slot: u16, what: What) {
        if self.has_room(what) {
            self.queue.push(self.words.publish, channel, payload, slot, what);
        }
    }

    /// Queues what was to go to another host.
    pub(super) fn push_moved(&mut self, moved: &Moved) {
        if self.has_room(moved.what) {
            self.queue.push_moved(moved);
        }
    }

    /// Takes what is to go to another host.
    pub(super) fn take_moved(&mut self) -> Vec<Moved> {
        std::mem::take(&mut self.moved)
    }

    /// Takes all that is not answered: the host is none any more.
    pub(super) fn take_all(&mut self) -> Vec<Moved> {
        self.queue.take_all()
    }

    /// Where there is none for `what`, it is lost.
    fn has_room(&mut self, what: What) -> bool {
        let has_room = self.is_up() || (what != What::Sheddable && self.queue.len() < self.bound);
        if !has_room {
            self.on_refused(what);
            self.hub.dropped(BusDrop::NoRoom);
        }
        has_room
    }

    /// True exactly when there is a connection, and something to be sent on it or answered.
    pub(super) fn is_busy(&self) -> bool {
        self.is_up() && !self.queue.is_empty()
    }

    /// Sends the next part of what waits. What was sent before is answered.
    pub(super) fn send(&mut self) {
        let State::Up(link) = &mut self.state else { return };
        if self.queue.is_empty() {
            return;
        }
        self.deadline = link.deadline(ANSWER);
        if let Err(fault) = link.send(self.queue.next_part()) {
            self.on_fault(&fault);
        }
    }

    /// Reads the answers to what was sent.
    pub(super) fn read_answers(&mut self) {
        if self.queue.under_way() == 0 {
            return;
        }
        let mut refusal = None;
        let mut published = 0;
        while self.queue.under_way() > 0 {
            let State::Up(link) = &mut self.state else { return };
            let answer = match link.answer(self.deadline) {
                Ok(answer) => answer,
                Err(fault) => {
                    self.hub.published(published);
                    return self.on_fault(&fault);
                }
            };
            match answer {
                Value::ServerError(error) if is_elsewhere(&error) => {
                    self.moved.extend(self.queue.on_moved());
                }
                Value::ServerError(error) => {
                    if let Some(what) = self.queue.on_answer() {
                        self.on_refused(what);
                    }
                    self.hub.dropped(BusDrop::Refused);
                    refusal = Some(Fault::of_server(&error));
                }
                _ => {
                    self.queue.on_answer();
                    published += 1;
                }
            }
        }
        self.answered_at = (self.clock)().mono;
        self.backoff.on_success();
        self.hub.published(published);
        match refusal {
            Some(fault) => {
                self.health.is_down(self.endpoint.shown(), &fault.to_string());
            }
            None => self.health.is_up(self.endpoint.shown()),
        }
    }

    /// `what` will not be published.
    fn on_refused(&mut self, what: What) {
        match what {
            What::Sheddable => {}
            What::Message(at) | What::Gap(at) => {
                self.lost = Some(self.lost.map_or(at, |earlier| earlier.min(at)));
            }
        }
    }

    fn on_fault(&mut self, fault: &Fault) {
        for _ in 0..self.queue.on_lost() {
            self.hub.dropped(BusDrop::NoRoom);
        }
        let pause_ms = self.backoff.on_failure(self.hub.random());
        self.state = State::Down((self.clock)().mono.plus(pause_ms));
        self.health.is_down(self.endpoint.shown(), &fault.to_string());
    }

    fn dial(&mut self) {
        let (sender, dialed) = bounded(1);
        let (hub, clock) = (Arc::clone(&self.hub), Arc::clone(&self.clock));
        let endpoint = self.endpoint.clone();
        let dial = move || {
            // The lane may be gone: then nobody waits.
            drop(sender.send(Link::open(&endpoint, NAME, &clock)));
            hub.outbox().nudge();
        };
        match std::thread::Builder::new().name("bus-dial".to_owned()).spawn(dial) {
            Ok(_) => self.state = State::Dialing(dialed),
            Err(error) => self.on_fault(&Fault::Unreachable(error.to_string())),
        }
    }
}

/// True exactly when another master has the channel's slot, or no master now.
fn is_elsewhere(error: &redis::ServerError) -> bool {
    ["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"].contains(&error.code())
}
