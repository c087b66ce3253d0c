//! A thread with a database connection: it commits, publishes in the order of its commits, and answers.
//!
//! The worker that committed a batch publishes its events, because it is the one that knows their order. It knows no shard: an
//! answer leaves through a closure.

pub mod batch;
pub mod commits;
pub mod queue;
mod settle;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::channel::ChannelLayer;
use crate::chat;
use crate::gate;
use crate::ids::{ConnRef, UserId};
use crate::limits::{COMMIT_TRIES_MAX, READ_QUEUE_MAX, WRITE_QUEUE_MAX};
use crate::metrics::{Block, Counter, Histogram, StoreKind};
use crate::rest;
use crate::store::{Failure, Lane, Outcome, Reply, Request, Store, StoreError, StoreErrorKind};
use crate::time::{Now, Timestamp};
use crate::wire::Encoder;

use batch::{BatchLimits, Gather};
use commits::Writer;
use queue::{Nothing, Receiver, Rejected, Sender, bounded};
use settle::Unsettled;

/// A request, who asked it, and what they meant to do with the answer.
#[derive(Debug)]
pub struct Job {
    /// What is asked.
    pub request: Request,
    /// Whom to answer; `None` where nobody waits.
    pub from: Option<ConnRef>,
    /// What the asker meant to do with the answer.
    pub ticket: Ticket,
}

/// What an asker meant to do with an answer. It travels with the request, so that no table of waiting requests is kept.
#[derive(Debug)]
pub enum Ticket {
    /// Of a session's command.
    Chat(chat::effect::Then),
    /// Of a REST request.
    Rest(rest::Then),
    /// Of a handshake.
    Gate(Box<gate::Knock>),
    /// Of `readyz`: what else is wrong with the node.
    Ready(Vec<(rest::Part, String)>),
    /// Of a shard's own: it compares what the store was told with what holds by then.
    Presence {
        /// Of whom.
        user: UserId,
        /// What was told.
        is_online: bool,
    },
    /// Of shard 0: whether the node's lease is renewed.
    Lease,
    /// Of shard 0: which tokens were revoked.
    Revocations,
    /// Nobody waits.
    Nobody,
}

/// An outcome on its way to whoever asked.
#[derive(Debug)]
pub struct Answered {
    /// Who asked.
    pub to: ConnRef,
    /// What they meant to do with it.
    pub ticket: Ticket,
    /// What became of the request.
    pub outcome: Outcome,
    /// The `message` frame of a stored message, as its conversation got it.
    pub echo: Option<Bytes>,
}

impl Answered {
    /// True exactly when it changes nothing for whoever asked.
    pub fn says_nothing(&self) -> bool {
        match &self.ticket {
            Ticket::Chat(then) => then.is_settled_by(&self.outcome),
            _ => false,
        }
    }
}

/// The queues to the workers of a node; every shard has its copy.
#[derive(Clone, Debug)]
pub struct Queues {
    write: Vec<Sender<Job>>,
    read: Sender<Job>,
}

/// The receiving ends of [`Queues`].
#[derive(Debug)]
pub struct Workload {
    /// One for each write worker.
    pub write: Vec<Receiver<Job>>,
    /// Shared by the read workers.
    pub read: Receiver<Job>,
}

/// Queues for `write_workers` write workers and any number of read workers.
pub fn queues(write_workers: usize) -> (Queues, Workload) {
    queues_of(write_workers, WRITE_QUEUE_MAX, READ_QUEUE_MAX)
}

/// The same with other bounds, for the simulation.
pub fn queues_of(write_workers: usize, write_max: usize, read_max: usize) -> (Queues, Workload) {
    let (write, write_ends) = (0..write_workers).map(|_| bounded(write_max)).unzip();
    let (read, read_end) = bounded(read_max);
    (Queues { write, read }, Workload { write: write_ends, read: read_end })
}

/// Why a job was not queued; it comes back.
#[derive(Debug)]
pub enum NotQueued {
    /// The queue is full.
    Full(Job),
    /// The workers are gone: the node is stopping.
    Stopped(Job),
}

impl Queues {
    /// Queues `job` for the worker that its request belongs to. Never waits. Workers that sleep hear of it by [`Queues::ring`].
    pub fn submit(&self, job: Job) -> Result<(), Box<NotQueued>> {
        let queue = match job.request.lane() {
            Lane::Read => &self.read,
            Lane::Write => &self.write[self.writer_of(&job.request)],
        };
        queue.try_send(job).map_err(|error| {
            Box::new(match error {
                Rejected::Full(job) => NotQueued::Full(job),
                Rejected::Closed(job) => NotQueued::Stopped(job),
            })
        })
    }

    /// Wakes workers for what was queued since the last ring: to be called before the caller sleeps.
    pub fn ring(&self) {
        self.write.iter().for_each(Sender::ring);
        self.read.ring();
    }

    /// The write worker that a request belongs to, by number.
    pub fn writer_of(&self, request: &Request) -> usize {
        (request.order_key() % self.write.len() as u64) as usize
    }

    /// Requests that wait, of writes and of reads.
    pub fn depths(&self) -> (usize, usize) {
        (self.write.iter().map(Sender::len).sum(), self.read.len())
    }
}

/// See [`Surroundings::report`].
pub type Report = Box<dyn FnMut(Option<&StoreError>) + Send>;

/// What a worker needs besides its store.
pub struct Surroundings {
    /// Where events go.
    pub channel: Arc<dyn ChannelLayer>,
    /// How they are written.
    pub encoder: Encoder,
    /// Where answers go.
    pub answer: Box<dyn FnMut(Answered) + Send>,
    /// Called when all of a batch is published and answered: shards that sleep are to hear of it.
    pub ring: Box<dyn FnMut() + Send>,
    /// Told of the store's condition: `None` when it works.
    pub report: Report,
    /// Both clocks.
    pub clock: Box<dyn FnMut() -> Now + Send>,
    /// Waits this many milliseconds, more or less, before a retry.
    pub pause: Box<dyn FnMut(u64) + Send>,
    /// This thread's counters.
    pub metrics: Arc<Block>,
}

/// See the module.
pub struct Worker {
    store: Box<dyn Store>,
    batch: BatchLimits,
    around: Surroundings,
    /// Where others see that a batch is under way, if they look.
    commits: Option<Writer>,
    /// The batch that is gathered, and beside each request its asker.
    requests: Vec<Request>,
    askers: Vec<Asker>,
    /// The messages of a batch of which nobody knows whether it was stored; nothing is committed before that is known.
    unsettled: Option<Unsettled>,
    /// The time of the newest batch.
    last_at: Timestamp,
}

type Asker = (Option<ConnRef>, Ticket);

impl Worker {
    /// A worker that owns `store`.
    pub fn new(store: Box<dyn Store>, batch: BatchLimits, around: Surroundings) -> Self {
        let (requests, askers) = (Vec::new(), Vec::new());
        let last_at = Timestamp(i64::MIN);
        Self { store, batch, around, commits: None, requests, askers, unsettled: None, last_at }
    }

    /// The same, seen by those who publish from the store as well.
    #[must_use]
    pub fn seen_by(self, commits: Writer) -> Self {
        Self { commits: Some(commits), ..self }
    }

    /// The life of a write worker: until every sender of `queue` is gone and the queue is empty.
    pub fn run_writes(mut self, queue: &Receiver<Job>) {
        while let Some(first) = self.first(queue) {
            self.gather(first);
            let start = (self.around.clock)();
            loop {
                let elapsed_ms = if self.batch.age_ms == 0 {
                    0
                } else {
                    (self.around.clock)().mono.since(start.mono)
                };
                match self.batch.next(self.requests.len(), elapsed_ms, queue.is_empty()) {
                    Gather::Commit => break,
                    Gather::Take => queue.try_recv().into_iter().for_each(|job| self.gather(job)),
                    Gather::Wait(ms) => match queue.recv_within(Duration::from_millis(ms)) {
                        Ok(job) => self.gather(job),
                        Err(Nothing::Yet) => {}
                        Err(Nothing::More) => break,
                    },
                }
            }
            self.commit();
        }
        self.settle_patiently();
    }

    /// The life of a read worker.
    pub fn run_reads(mut self, queue: &Receiver<Job>) {
        while let Some(job) = queue.recv() {
            self.read(job);
        }
    }

    /// Gathers at most `max` of what waits and commits it, or reads one: a step of the simulation. False when nothing waited and
    /// nothing was left to settle.
    pub fn step(&mut self, queue: &Receiver<Job>, lane: Lane, max: usize) -> bool {
        match lane {
            Lane::Read => queue.try_recv().map(|job| self.read(job)).is_some(),
            Lane::Write => {
                std::iter::from_fn(|| queue.try_recv())
                    .take(max.max(1))
                    .for_each(|job| self.gather(job));
                match (self.requests.is_empty(), self.is_unsettled()) {
                    (true, false) => return false,
                    (true, true) => drop(self.settle_kept()),
                    (false, _) => self.commit(),
                }
                true
            }
        }
    }

    /// Answers one request that changes nothing.
    fn read(&mut self, job: Job) {
        let now = (self.around.clock)();
        let outcome = shielded(|| Ok(self.store.read(&job.request, now.wall)))
            .unwrap_or_else(|error| Err(error.into()));
        match &outcome {
            Err(Failure::Store(error)) => self.failed(error, std::slice::from_ref(&job.request)),
            _ => (self.around.report)(None),
        }
        self.answer((job.from, job.ticket), outcome, None);
        (self.around.ring)();
    }

    fn gather(&mut self, job: Job) {
        self.requests.push(job.request);
        self.askers.push((job.from, job.ticket));
    }

    /// Commits what was gathered, publishes and answers, in order. A poisoned batch is carried out one by one, so that the poison
    /// fails alone.
    fn commit(&mut self) {
        let requests = std::mem::take(&mut self.requests);
        let mut askers = std::mem::take(&mut self.askers);
        self.around.metrics.observe(Histogram::BatchRequests, requests.len() as u64);
        self.commits.iter().for_each(Writer::begin);
        match self.transact(&requests) {
            Err(error) if error.kind == StoreErrorKind::Poisoned && requests.len() > 1 => {
                for (request, asker) in requests.chunks(1).zip(askers.drain(..)) {
                    let alone = self.transact(request);
                    self.tell(alone, std::iter::once(asker));
                }
            }
            outcomes => self.tell(outcomes, askers.drain(..)),
        }
        self.commits.iter().for_each(Writer::end);
        // Both keep their room for the next batch.
        self.requests = requests;
        self.requests.clear();
        self.askers = askers;
    }

    /// One transaction, after what came before it is known; where its own end is not told, what was stored is found out.
    fn transact(&mut self, requests: &[Request]) -> Result<Vec<Outcome>, StoreError> {
        self.settle_kept()?;
        let at = self.next_at();
        match self.try_commit(requests, at) {
            Err(error) if error.kind == StoreErrorKind::Unknown => self.settle(requests, at, error),
            result => result,
        }
    }

    /// The time of the next batch: by the clock, and no batch has that of another, so that a batch can be known by it.
    fn next_at(&mut self) -> Timestamp {
        let now = (self.around.clock)().wall;
        self.last_at = now.max(Timestamp(self.last_at.0.saturating_add(1)));
        self.last_at
    }

    /// One commit, tried again while the database says that others were in its way.
    fn try_commit(
        &mut self,
        requests: &[Request],
        at: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut tries = 1;
        loop {
            let start = (self.around.clock)().wall;
            match shielded(|| self.store.commit(requests, at)) {
                Ok(outcomes) => {
                    debug_assert_eq!(outcomes.len(), requests.len(), "one outcome a request");
                    let took = (self.around.clock)().wall.0 - start.0;
                    self.around.metrics.observe(Histogram::Commit, took.max(0) as u64);
                    (self.around.report)(None);
                    return Ok(outcomes);
                }
                Err(error)
                    if error.kind == StoreErrorKind::Contended && tries < COMMIT_TRIES_MAX =>
                {
                    (self.around.pause)(1 << tries);
                    tries += 1;
                }
                Err(error) => {
                    self.failed(&error, requests);
                    return Err(error);
                }
            }
        }
    }

    /// Publishes and answers what became of a transaction, in order.
    fn tell(
        &mut self,
        outcomes: Result<Vec<Outcome>, StoreError>,
        askers: impl ExactSizeIterator<Item = Asker>,
    ) {
        let outcomes =
            outcomes.unwrap_or_else(|error| vec![Err(Failure::Store(error)); askers.len()]);
        let now = (self.around.clock)().wall;
        for (asker, outcome) in askers.zip(outcomes) {
            let echo = outcome.as_ref().ok().and_then(|reply| self.publish(reply, asker.0, now));
            self.answer(asker, outcome, echo);
        }
        (self.around.ring)();
    }

    fn publish(
        &mut self,
        reply: &Reply,
        from: Option<ConnRef>,
        committed_at: Timestamp,
    ) -> Option<Bytes> {
        if let Reply::Appended { duplicate: false, .. } = reply {
            self.around.metrics.add(Counter::MessagesCommitted, 1);
        }
        let channel = &self.around.channel;
        chat::publication(reply, from, &self.around.encoder, &mut |mut delivery| {
            delivery.committed_at = Some(committed_at);
            channel.publish(delivery, true);
        })
    }

    fn answer(&mut self, (from, ticket): Asker, outcome: Outcome, echo: Option<Bytes>) {
        if let Some(to) = from {
            (self.around.answer)(Answered { to, ticket, outcome, echo });
        }
    }

    /// Counts and reports an error, unless a database is away for what the node asks by itself, again and again: whoever needs it
    /// says so.
    fn failed(&mut self, error: &StoreError, asked: &[Request]) {
        let is_routine =
            |request| matches!(request, &Request::Lease { .. } | &Request::Revocations { .. });
        if error.kind == StoreErrorKind::Unavailable && asked.iter().all(is_routine) {
            return;
        }
        if let Some(kind) = StoreKind::named(error.kind.name()) {
            self.around.metrics.add(Counter::StoreErrors(kind), 1);
        }
        (self.around.report)(Some(error));
    }
}

/// A panic in a store ends one batch, not the thread that a thousand senders wait for.
fn shielded<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        let detail = "the store panicked; the message is on standard error".into();
        Err(StoreError { kind: StoreErrorKind::Internal, detail })
    })
}

#[cfg(test)]
mod tests;
