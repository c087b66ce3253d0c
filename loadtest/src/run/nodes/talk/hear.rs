//! What comes in on a client's socket, and what is wrong with it.

use std::time::Duration;

use super::{BYTES, Cause, Phase, Talk};
use crate::run::nodes::hearing::Wrong;
use crate::said::Contradiction;
use crate::swarm::{Ending, Happening, Key};
use crate::wire::{self, Failure, Incoming, Message, Resumed};

/// How long one waits that was refused for now and not told how long.
const PAUSE_MS: u64 = 200;
/// The code that tells a client to come back and resume.
const SLOW_CONSUMER: u16 = 4_480;

impl Talk {
    /// Something happened to a session.
    pub(super) fn on(&mut self, Key(key): Key, happening: Happening<'_>, now: Duration) {
        let n = self.owners[key];
        match happening {
            Happening::Opened => {}
            Happening::Ended(ending) => self.on_ended(n, &ending, now),
            Happening::Text(text) => match wire::read(text) {
                Err(error) => self.fault(n, now, format_args!("{error}: {text}")),
                Ok(Incoming::Hello(_)) => self.on_hello(n, now),
                Ok(Incoming::Message(message, is_duplicate)) => {
                    self.on_message(n, &message, is_duplicate, now);
                }
                Ok(Incoming::NewMessage(message)) if self.sessions[n].is_chat => {
                    self.on_heard(n, &message, false, now);
                }
                Ok(Incoming::NewMessage(_)) => {
                    self.fault(n, now, "new_message on a conversation's socket");
                }
                Ok(Incoming::Resumed(resumed)) => self.on_resumed(n, resumed, now),
                Ok(Incoming::Error(failure)) => self.on_failure(n, &failure, now),
                Ok(Incoming::Other) => {}
            },
        }
    }

    fn on_hello(&mut self, n: usize, now: Duration) {
        let session = &mut self.sessions[n];
        session.phase = match session.phase {
            Phase::Opening { asks: true } => Phase::Asking,
            Phase::Opening { .. } if session.connections == 1 => Phase::Live,
            Phase::Opening { .. } => Phase::Resuming,
            _ => return self.fault(n, now, "a hello out of place"),
        };
        self.todo.push(n);
    }

    fn on_resumed(&mut self, n: usize, resumed: Resumed, now: Duration) {
        let session = &mut self.sessions[n];
        if resumed.conversation_id != self.pairs[session.pair].conversation {
            return self.fault(n, now, format_args!("{resumed:?} of another conversation"));
        }
        if let Some(wrong) = session.hearing.on_resumed(resumed) {
            self.wrong(n, now, &wrong);
        }
        let session = &mut self.sessions[n];
        if resumed.complete {
            session.phase = Phase::Live;
            // What is not known to be stored is sent again, before what is new.
            let again = std::mem::take(&mut session.waiting);
            self.figures.sent_again += again.len() as u64;
            again.into_iter().rev().for_each(|number| session.outbox.push_front(number));
        } else {
            session.phase = Phase::Asking;
        }
        self.todo.push(n);
    }

    fn on_message(&mut self, n: usize, message: &Message<'_>, is_duplicate: bool, now: Duration) {
        if is_duplicate {
            self.figures.duplicates += 1;
            self.note(n, message, now);
            self.on_committed(n, message);
        } else {
            self.on_heard(n, message, self.sessions[n].is_chat, now);
        }
    }

    fn on_heard(&mut self, n: usize, message: &Message<'_>, is_echo: bool, now: Duration) {
        self.note(n, message, now);
        let session = &mut self.sessions[n];
        let before = session.hearing.counts.live;
        if let Some(wrong) = session.hearing.on_message(message.seq, is_echo) {
            self.wrong(n, now, &wrong);
        }
        let session = &self.sessions[n];
        let is_theirs = message.sender.id != self.pairs[session.pair].users[session.side];
        if is_theirs
            && session.hearing.counts.live > before
            && let Some(number) = self.number(message)
            && let Some(at) = self.messages[number].at
        {
            let took = now.saturating_sub(at).as_micros() as u64;
            self.figures.delivery.saturating_record(took);
        }
        self.on_committed(n, message);
    }

    /// Where the session itself sent it, it knows now that it is stored.
    fn on_committed(&mut self, n: usize, message: &Message<'_>) {
        let Some(number) = self.number(message).filter(|at| self.messages[*at].session == n) else {
            return;
        };
        self.messages[number].is_committed = true;
        let session = &mut self.sessions[n];
        session.waiting.remove(&number);
        session.outbox.retain(|at| *at != number);
    }

    /// What anybody hears has to be what others heard, and what was said.
    fn note(&mut self, n: usize, message: &Message<'_>, now: Duration) {
        let pair = self.sessions[n].pair;
        if message.conversation_id != self.pairs[pair].conversation {
            let other = message.conversation_id;
            return self.fault(n, now, format_args!("heard of conversation {other}"));
        }
        if let Some(client_id) = &message.client_id {
            let said = self.number(message).map(|number| self.messages[number].session);
            let user = said.map(|session| {
                let session = &self.sessions[session];
                self.pairs[session.pair].users[session.side]
            });
            if user != Some(message.sender.id) || message.content != wire::content(client_id, BYTES)
            {
                self.fault(n, now, format_args!("{client_id} is not what was said"));
            }
        }
        let seq = message.seq;
        for found in self.said[pair].note(message) {
            match found {
                Contradiction::Differs => {
                    self.fault(n, now, format_args!("seq {seq} is not what others heard"));
                }
                Contradiction::StoredTwice { client_id, first } => {
                    let what = format!("client_id {client_id} has seq {first} and {seq}");
                    self.fault(n, now, what);
                }
            }
        }
    }

    /// The number of a message of this run.
    fn number(&self, message: &Message<'_>) -> Option<usize> {
        let client_id = message.client_id.as_deref()?;
        let number = client_id.strip_prefix(&*self.run)?.strip_prefix('-')?.parse().ok()?;
        (number < self.messages.len()).then_some(number)
    }

    fn on_failure(&mut self, n: usize, failure: &Failure<'_>, now: Duration) {
        let prefix = format!("{}-", self.run);
        let number = failure.client_id.as_deref().and_then(|id| id.strip_prefix(&*prefix));
        if !failure.temporary {
            return self.fault(n, now, format_args!("error {}", failure.code));
        }
        self.figures.refused += 1;
        let session = &mut self.sessions[n];
        let pause = Duration::from_millis(failure.retry_after_ms.unwrap_or(PAUSE_MS));
        session.pause_until = session.pause_until.max(now + pause);
        if let Some(number) = number.and_then(|number| number.parse().ok())
            && session.waiting.remove(&number)
        {
            session.outbox.push_front(number);
            self.todo.push(n);
        }
    }

    fn on_ended(&mut self, n: usize, ending: &Ending, now: Duration) {
        let session = &self.sessions[n];
        let is_killed = self.nodes[session.node].life != session.node_life;
        match ending {
            Ending::Lost(_) if is_killed => self.leave(n, now, Cause::NodeKilled),
            Ending::Closed(SLOW_CONSUMER, _) => self.leave(n, now, Cause::Told),
            _ => {
                self.fault(n, now, ending);
                self.leave(n, now, Cause::Told);
            }
        }
    }

    fn wrong(&mut self, n: usize, now: Duration, wrong: &Wrong) {
        self.fault(n, now, wrong);
    }
}
