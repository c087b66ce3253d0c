//! One connection to one Redis, on the thread that owns it. Every wait has an end.
//!
//! Commands are encoded, and answers read, by the `redis` crate in its version 2 of the protocol, which every Redis, and every
//! proxy before one, speaks. Its own connection is not used: after a read that found nothing in time it drops the next message
//! for that answer, its TLS cannot be told whom to trust without a process-wide default, and it hides the confirmations of
//! subscriptions.

mod backoff;
mod endpoint;
mod fault;
mod stream;
mod tls;

use std::io;
use std::time::Duration;

use redis::{ConnectionLike, Parser, RedisError, RedisResult, Value};

pub use backoff::Backoff;
pub use endpoint::Endpoint;
pub use fault::Fault;

use self::stream::Stream;
use super::Clock;
use crate::limits::BUS_ANSWER_MS;
use crate::time::Mono;

/// How long Redis may take to answer, where nothing else is said.
const ANSWER: Duration = Duration::from_millis(BUS_ANSWER_MS);

/// A connection, authenticated and named. After a [`Fault`] it is of no use.
pub struct Link {
    stream: Stream,
    /// Keeps the part of an answer that has come.
    parser: Parser,
    clock: Clock,
    db: i64,
    is_open: bool,
}

impl Link {
    /// Connects to `endpoint`, within [`BUS_ANSWER_MS`] once its name is resolved, and has the server list the connection as
    /// `name`.
    ///
    /// # Errors
    /// Says for people what stands in the way, and never a password.
    pub fn open(endpoint: &Endpoint, name: &str, clock: &Clock) -> Result<Self, Fault> {
        let mut link = Self {
            stream: endpoint.connect(ANSWER)?,
            parser: Parser::new(),
            clock: clock.clone(),
            db: endpoint.db(),
            is_open: true,
        };
        let greeting = endpoint.greeting(name);
        let answers = link.query(&greeting.get_packed_pipeline(), greeting.len(), ANSWER)?;
        endpoint.check(&answers)?;
        Ok(link)
    }

    /// Writes `commands`, encoded, within [`BUS_ANSWER_MS`].
    ///
    /// # Errors
    /// Some, none or all of it has left.
    pub fn send(&mut self, commands: &[u8]) -> Result<(), Fault> {
        if !self.is_open {
            return Err(Fault::Closed("it is closed".to_owned()));
        }
        let deadline = self.deadline(ANSWER);
        let clock = self.clock.clone();
        let written = self.stream.write(commands, ANSWER, || clock().mono >= deadline);
        written.map_err(|error| self.broken(Fault::from(error)))
    }

    /// The next thing that Redis says, within `wait` (more than nothing); `None` where it says nothing, or not all of it, in
    /// that time: the rest is there for the next call. An answer that is an error is a [`Value::ServerError`].
    ///
    /// # Errors
    /// The connection has ended, or what came is not of Redis' protocol.
    pub fn receive(&mut self, wait: Duration) -> Result<Option<Value>, Fault> {
        if !self.is_open {
            return Err(Fault::Closed("it is closed".to_owned()));
        }
        let wait = wait.max(Duration::from_millis(1));
        self.stream.set_read_wait(wait).map_err(|error| self.broken(Fault::from(error)))?;
        match self.parser.parse_value(&mut self.stream) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_timeout() => Ok(None),
            Err(error) => Err(self.broken(Fault::of_redis(&error))),
        }
    }

    /// Writes `commands` and reads as many `answers`, in their order; errors among them are values.
    ///
    /// # Errors
    /// Not all answers came `within` that time, [`Fault::Silent`], or the connection ended: whether Redis did what was asked is
    /// not known.
    pub fn query(
        &mut self,
        commands: &[u8],
        answers: usize,
        within: Duration,
    ) -> Result<Vec<Value>, Fault> {
        self.send(commands)?;
        let deadline = self.deadline(within);
        (0..answers).map(|_| self.answer(deadline)).collect()
    }

    /// The next answer, by `deadline`.
    ///
    /// # Errors
    /// As of [`Self::query`].
    pub fn answer(&mut self, deadline: Mono) -> Result<Value, Fault> {
        loop {
            // Rarely another than last time, so that the socket is rarely told.
            let left_ms = deadline.since((self.clock)().mono).max(1);
            let wait = Duration::from_millis(left_ms.min(BUS_ANSWER_MS / 2));
            if let Some(value) = self.receive(wait)? {
                return Ok(value);
            }
            if (self.clock)().mono >= deadline {
                return Err(self.broken(Fault::Silent));
            }
        }
    }

    /// When `within` from now has passed.
    pub fn deadline(&self, within: Duration) -> Mono {
        (self.clock)().mono.plus(within.as_millis() as u64)
    }

    fn broken(&mut self, fault: Fault) -> Fault {
        self.is_open = false;
        fault
    }
}

/// So that the crate's commands, pipelines and scripts run on it; each answer within [`BUS_ANSWER_MS`].
impl ConnectionLike for Link {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        let answers = self.query(command, 1, ANSWER).map_err(into_redis)?;
        Ok(answers.into_iter().next().unwrap_or_default())
    }

    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut answers = self.query(commands, offset + count, ANSWER).map_err(into_redis)?;
        let wanted = answers.split_off(offset);
        match answers.into_iter().find(|answer| matches!(answer, Value::ServerError(_))) {
            // A command of a transaction that Redis did not take: none of it was done.
            Some(Value::ServerError(error)) => Err(error.into()),
            _ => Ok(wanted),
        }
    }

    fn get_db(&self) -> i64 {
        self.db
    }

    fn check_connection(&mut self) -> bool {
        self.req_command(&redis::cmd("PING")).is_ok()
    }

    fn is_open(&self) -> bool {
        self.is_open
    }
}

fn into_redis(fault: Fault) -> RedisError {
    let kind = match fault {
        Fault::Silent => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, fault).into()
}

#[cfg(test)]
mod tests;
