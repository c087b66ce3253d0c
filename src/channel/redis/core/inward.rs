//! The thread that empties this node's queue.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::depth::Depth;
use super::{Core, Standing};
use crate::channel::bus::{Address, local_name};
use crate::channel::redis::link::{Backoff, Endpoint, Fault, Link};
use crate::limits::{BUS_ANSWER_MS, BUS_BATCH_MAX, BUS_IDLE_MS, BUS_MARGIN_MS};
use crate::metrics::BusDrop;
use crate::time::{Now, Timestamp};

/// What the server calls the connection.
const NAME: &str = "fortifun-in";
const ANSWER: Duration = Duration::from_millis(BUS_ANSWER_MS);

/// See the module.
pub(super) struct Inward {
    core: Arc<Core>,
    endpoint: Endpoint,
    depth: Depth,
    /// When the queue was last read to the end of what was asked for.
    read: Option<Now>,
}

/// What one look into the queue found.
#[derive(Debug)]
struct Popped {
    /// Oldest first.
    messages: Vec<Vec<u8>>,
    /// How many are left.
    left: usize,
}

impl Inward {
    pub(super) fn new(core: &Arc<Core>, endpoint: Endpoint) -> Self {
        let depth = Depth::new(core.terms.capacity);
        Self { core: Arc::clone(core), endpoint, depth, read: None }
    }

    /// Reads until the node closes, on one connection after another.
    pub(super) fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.core.hub.is_closing() {
            let Err(fault) = self.read_all(&mut backoff) else { break };
            self.core.on_standing(self.core.queue_host, Standing::Unread(&fault));
            let pause = Duration::from_millis(backoff.on_failure(self.core.hub.random()));
            // Nothing is ever sent on it: it ends early when the node closes.
            _ = self.core.stop.recv_timeout(pause);
        }
    }

    /// Reads on one connection until it ends.
    fn read_all(&mut self, backoff: &mut Backoff) -> Result<(), Fault> {
        let core = Arc::clone(&self.core);
        let mut link = Link::open(&self.endpoint, NAME, &core.clock)?;
        let look = look(&core.queue_key);
        let mut is_new = true;
        while !core.hub.is_closing() {
            let popped = popped(link.query(&look.get_packed_pipeline(), look.len(), ANSWER)?)?;
            let now = core.hub.now();
            if std::mem::take(&mut is_new) {
                backoff.on_success();
                core.on_standing(core.queue_host, Standing::Read);
                if let Some(read) = self.read {
                    core.hub.gap(before(read.wall));
                }
            }
            let depth = popped.messages.len() + popped.left;
            for message in &popped.messages {
                self.receive(message, now.wall);
            }
            core.hub.wake();
            self.on_read(depth, now);
        }
        Ok(())
    }

    /// Tells of what may have been dropped or have expired before it was read.
    fn on_read(&mut self, depth: usize, now: Now) {
        let hub = &self.core.hub;
        let last = self.read.replace(now).unwrap_or(now);
        if let Some(since) = self.depth.on_read(depth, last.wall, now.mono) {
            hub.gap(before(since));
        }
        if now.mono.since(last.mono) >= 500 * u64::from(self.core.terms.expiry_s) {
            hub.gap(before(last.wall));
        }
    }

    /// A message of the queue says itself which of this node's channels it is for, and each is named for its group. So the
    /// node's digits in it do not say that it is the node's own; nor is it, since a sender leaves itself out.
    fn receive(&self, message: &[u8], now: Timestamp) {
        let hub = &self.core.hub;
        let opened = match hub.envelope().open(message, now) {
            Ok(opened) => opened,
            Err(flaw) => return hub.flawed(&flaw),
        };
        let names = opened.channels.iter().map(|channel| local_name(channel));
        let mut addresses = names.map(|name| name.and_then(Address::parse)).peekable();
        if addresses.peek().is_none() {
            hub.dropped(BusDrop::UnknownName);
        }
        for address in addresses {
            match address {
                Some(address) => hub.receive(address, opened.fields.clone()),
                None => hub.dropped(BusDrop::UnknownName),
            }
        }
    }
}

/// From when on something may be missing, where `read` is when all had been read.
fn before(read: Timestamp) -> Timestamp {
    read.plus_ms(-BUS_MARGIN_MS)
}

/// Waits for the first message of the queue, takes those behind it, and asks how many are left.
fn look(queue_key: &str) -> redis::Pipeline {
    let mut look = redis::pipe();
    look.cmd("BZPOPMIN").arg(queue_key).arg(BUS_IDLE_MS / 1_000);
    look.cmd("ZPOPMIN").arg(queue_key).arg(BUS_BATCH_MAX - 1);
    look.cmd("ZCARD").arg(queue_key);
    look
}

/// What the answers to [`look`] mean.
fn popped(answers: Vec<Value>) -> Result<Popped, Fault> {
    let [first, more, left] = <[Value; 3]>::try_from(answers)
        .map_err(|answers| Fault::Protocol(format!("{} answers to 3 questions", answers.len())))?;
    let first: Option<(String, Vec<u8>, f64)> = read(first)?;
    let more: Vec<(Vec<u8>, f64)> = read(more)?;
    let mut messages = Vec::with_capacity(1 + more.len());
    messages.extend(first.map(|(_, message, _)| message));
    messages.extend(more.into_iter().map(|(message, _)| message));
    Ok(Popped { messages, left: read(left)? })
}

fn read<T: redis::FromRedisValue>(answer: Value) -> Result<T, Fault> {
    match answer {
        Value::ServerError(error) => Err(Fault::of_server(&error)),
        answer => {
            redis::from_redis_value(answer).map_err(|error| Fault::Protocol(error.to_string()))
        }
    }
}
