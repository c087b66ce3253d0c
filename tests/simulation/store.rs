//! The memory store behind a database that fails, and a log of what it committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use fortifun_realtime::model::{ConversationId, Seq, UserId};
use fortifun_realtime::store::memory::MemoryStore;
use fortifun_realtime::store::{
    Failure, Outcome, Reply, Request, Store, StoreError, StoreErrorKind,
};
use fortifun_realtime::time::Timestamp;

use crate::faults::StoreFaults;
use crate::rng::Rng;

/// What a panic of the store says; the only panic that is expected.
pub(crate) const PANIC: &str = "simulated: the store panics";

/// What all stores of one run committed, and how they fail now.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) faults: StoreFaults,
    /// Messages whose commit nobody was told of: nothing of them was published.
    pub(crate) untold: BTreeSet<(ConversationId, Seq)>,
    /// As the last commit set it.
    pub(crate) is_online: BTreeMap<UserId, bool>,
    /// When one of the two blocked the other, as a pair (blocker, blocked), while it holds.
    pub(crate) blocked_at: BTreeMap<(UserId, UserId), Timestamp>,
    /// Everyone in each conversation.
    pub(crate) participants: BTreeMap<i64, BTreeSet<i64>>,
    /// Messages that were stored though one of the two blocks the other.
    pub(crate) spoken_through: u64,
    pub(crate) commits: u64,
}

#[derive(Clone)]
pub(crate) struct FaultyStore {
    inner: MemoryStore,
    log: Arc<Mutex<Log>>,
    rng: Rng,
}

impl FaultyStore {
    pub(crate) fn new(inner: MemoryStore, log: Arc<Mutex<Log>>, rng: Rng) -> Self {
        Self { inner, log, rng }
    }
}

/// The log, though a store may have panicked while it held it.
pub(crate) fn open(log: &Mutex<Log>) -> std::sync::MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(kind: StoreErrorKind) -> StoreError {
    StoreError { kind, detail: "simulated".to_owned() }
}

impl Store for FaultyStore {
    fn commit(&mut self, batch: &[Request], now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        let mut log = open(&self.log);
        let faults = log.faults.clone();
        if self.rng.chance(faults.panics) {
            drop(log);
            panic!("{PANIC}");
        }
        for (chance, kind) in [
            (faults.contended, StoreErrorKind::Contended),
            (faults.unavailable, StoreErrorKind::Unavailable),
            (faults.timed_out, StoreErrorKind::TimedOut),
            (faults.poisoned, StoreErrorKind::Poisoned),
        ] {
            if self.rng.chance(chance) {
                return Err(error(kind));
            }
        }
        let outcomes = self.inner.commit(batch, now)?;
        log.commits += 1;
        let is_lost = self.rng.chance(faults.unknown);
        for (request, outcome) in batch.iter().zip(&outcomes) {
            if let Ok(reply) = outcome {
                note(&mut log, request, reply, now, is_lost);
            }
        }
        if is_lost { Err(error(StoreErrorKind::Unknown)) } else { Ok(outcomes) }
    }

    fn read(&mut self, request: &Request, now: Timestamp) -> Outcome {
        let fails = open(&self.log).faults.read_fails;
        if self.rng.chance(fails) {
            return Err(Failure::Store(error(StoreErrorKind::Unavailable)));
        }
        self.inner.read(request, now)
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        self.inner.ping()
    }
}

fn note(log: &mut Log, request: &Request, reply: &Reply, now: Timestamp, is_lost: bool) {
    if let Request::Unblock { blocker, blocked } = request {
        log.blocked_at.remove(&(*blocker, *blocked));
    }
    let (conversation, members) = match reply {
        Reply::Appended { message, participants, .. } => {
            (Some(message.conversation), participants.clone())
        }
        Reply::Opened(opened) => {
            let members = opened.conversation.participants.iter().map(|card| card.id).collect();
            (Some(opened.conversation.id), members)
        }
        Reply::Liked { made: Some(made), liker, liked } => {
            (Some(made.made.conversation), vec![liker.id, liked.id])
        }
        _ => (None, Vec::new()),
    };
    if let Some(conversation) = conversation {
        let known = log.participants.entry(conversation.0).or_default();
        known.extend(members.iter().map(|user| user.0));
    }
    let told = match reply {
        Reply::Appended { message, duplicate: false, .. } => Some(message),
        Reply::Opened(opened) if !opened.duplicate => Some(&opened.message),
        Reply::Liked { made: Some(made), .. } => made.welcome.as_ref(),
        Reply::Presence { user, is_online, .. } => {
            log.is_online.insert(user.id, *is_online);
            None
        }
        Reply::Blocked { blocker, blocked, .. } => {
            log.blocked_at.entry((*blocker, *blocked)).or_insert(now);
            None
        }
        _ => None,
    };
    if matches!(reply, Reply::Appended { duplicate: false, .. }) {
        let pair = |(a, b): &(UserId, UserId)| members.contains(a) && members.contains(b);
        log.spoken_through += u64::from(log.blocked_at.keys().any(pair));
    }
    if let Some(message) = told.filter(|_| is_lost) {
        log.untold.insert((message.conversation, message.seq));
    }
}
