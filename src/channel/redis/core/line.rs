//! The connection to one host, whatever becomes of it.

use std::sync::Arc;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use crate::channel::redis::link::{Backoff, Endpoint, Fault, Link};
use crate::channel::redis::{Clock, Hub};
use crate::limits::BUS_IDLE_MS;
use crate::time::Mono;

/// What the server calls the connection.
const NAME: &str = "fortifun-out";

/// See the module.
pub(super) struct Line {
    hub: Arc<Hub>,
    clock: Clock,
    endpoint: Endpoint,
    state: State,
    backoff: Backoff,
}

enum State {
    /// To be tried again then.
    Down(Mono),
    /// A thread of its own tries, so that a host that does not answer keeps nobody from the others.
    Dialing(Receiver<Result<Link, Fault>>),
    Up(Link),
}

impl Line {
    /// To `endpoint`; nothing is connected yet.
    pub(super) fn new(hub: &Arc<Hub>, clock: &Clock, endpoint: Endpoint) -> Self {
        Self {
            hub: Arc::clone(hub),
            clock: Arc::clone(clock),
            endpoint,
            state: State::Down(Mono::default()),
            backoff: Backoff::default(),
        }
    }

    /// The connection, where there is one.
    pub(super) const fn link(&mut self) -> Option<&mut Link> {
        if let State::Up(link) = &mut self.state { Some(link) } else { None }
    }

    /// True exactly when there is a connection.
    pub(super) const fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Sees to the connection. True exactly when it is new.
    ///
    /// # Errors
    /// Says why there is none, after each try.
    pub(super) fn advance(&mut self, now: Mono) -> Result<bool, Fault> {
        match &self.state {
            State::Down(at) if now >= *at => self.dial()?,
            State::Up(_) | State::Down(_) => {}
            State::Dialing(dialed) => match dialed.try_recv() {
                Ok(Ok(link)) => {
                    self.state = State::Up(link);
                    return Ok(true);
                }
                Ok(Err(fault)) => return Err(fault),
                Err(TryRecvError::Disconnected) => {
                    return Err(Fault::Unreachable("the try ended".to_owned()));
                }
                Err(TryRecvError::Empty) => {}
            },
        }
        Ok(false)
    }

    /// When [`Self::advance`] has something to do at the latest; before that, the end of a try nudges the outbox.
    pub(super) const fn next_at(&self, now: Mono) -> Mono {
        match &self.state {
            State::Down(at) => *at,
            State::Up(_) | State::Dialing(_) => now.plus(BUS_IDLE_MS),
        }
    }

    /// The connection does what it is for.
    pub(super) fn on_answered(&mut self) {
        self.backoff.on_success();
    }

    /// There is no connection, or it is of no use.
    pub(super) fn on_fault(&mut self) {
        let pause_ms = self.backoff.on_failure(self.hub.random());
        self.state = State::Down((self.clock)().mono.plus(pause_ms));
    }

    fn dial(&mut self) -> Result<(), Fault> {
        let (sender, dialed) = bounded(1);
        let (hub, clock) = (Arc::clone(&self.hub), Arc::clone(&self.clock));
        let endpoint = self.endpoint.clone();
        let dial = move || {
            // The line may be gone: then nobody waits.
            drop(sender.send(Link::open(&endpoint, NAME, &clock)));
            hub.outbox().nudge();
        };
        let dialing = std::thread::Builder::new().name("bus-dial".to_owned()).spawn(dial);
        dialing.map_err(|error| Fault::Unreachable(error.to_string()))?;
        self.state = State::Dialing(dialed);
        Ok(())
    }
}
