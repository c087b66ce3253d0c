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
    /// First messages of conversations whose commit nobody was told of: nothing of them was published.
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

pub(crate) struct FaultyStore {
    inner: MemoryStore,
    log: Arc<Mutex<Log>>,
    rng: Rng,
    /// So many calls fail yet.
    away: u32,
    /// A batch that the database still works on, though the connection that it came by is lost; with a worker that dies it is
    /// given up.
    late: Option<(Vec<Request>, Timestamp)>,
}

impl FaultyStore {
    pub(crate) fn new(inner: MemoryStore, log: Arc<Mutex<Log>>, rng: Rng) -> Self {
        Self { inner, log, rng, away: 0, late: None }
    }

    /// True exactly when this call fails.
    fn is_away(&mut self, faults: &StoreFaults) -> bool {
        let is_away = faults.away > 0 && self.away > 0;
        self.away -= u32::from(is_away);
        is_away
    }

    /// The database is done with what it still worked on.
    fn end_late(&mut self, log: &mut Log) {
        if let Some((batch, at)) = self.late.take() {
            self.carry_out(log, &batch, at, true).expect("it is as wide as it was");
        }
    }

    fn carry_out(
        &mut self,
        log: &mut Log,
        batch: &[Request],
        now: Timestamp,
        is_lost: bool,
    ) -> Result<Vec<Outcome>, StoreError> {
        let outcomes = self.inner.commit(batch, now)?;
        log.commits += 1;
        for (request, outcome) in batch.iter().zip(&outcomes) {
            if let Ok(reply) = outcome {
                note(log, request, reply, now, is_lost);
            }
        }
        Ok(outcomes)
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
        let shared = Arc::clone(&self.log);
        let mut log = open(&shared);
        let faults = log.faults.clone();
        if self.is_away(&faults) {
            return Err(error(StoreErrorKind::Unavailable));
        }
        // It holds locks that are waited for.
        self.end_late(&mut log);
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
        if !self.rng.chance(faults.unknown) {
            return self.carry_out(&mut log, batch, now, false);
        }
        self.away = self.rng.below(u64::from(faults.away) + 1) as u32;
        match self.rng.below(4) {
            0 => {}
            1 => self.late = Some((batch.to_vec(), now)),
            _ => drop(self.carry_out(&mut log, batch, now, true)?),
        }
        Err(error(StoreErrorKind::Unknown))
    }

    fn settle(
        &mut self,
        batch: &[Request],
        at: Timestamp,
    ) -> Result<Vec<Option<Reply>>, StoreError> {
        let shared = Arc::clone(&self.log);
        let mut log = open(&shared);
        let faults = log.faults.clone();
        if self.is_away(&faults) {
            if self.rng.chance(200) {
                self.end_late(&mut log);
            }
            return Err(error(StoreErrorKind::Unavailable));
        }
        for (chance, kind) in [
            (faults.contended, StoreErrorKind::Contended),
            (faults.timed_out, StoreErrorKind::TimedOut),
        ] {
            if self.rng.chance(chance) {
                return Err(error(kind));
            }
        }
        // Whoever is still at work on it is waited for.
        self.end_late(&mut log);
        self.inner.settle(batch, at)
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
        // Where the answer was lost, the worker asks what was stored.
        Reply::Opened(opened) if !opened.duplicate => Some(&opened.message),
        Reply::Liked { made: Some(made), .. } => made.welcome.as_ref(),
        Reply::Presence { user, is_online, .. } => {
            log.is_online.insert(user.id, *is_online);
            None
        }
        Reply::Lease { offline, .. } => {
            log.is_online.extend(offline.iter().map(|gone| (gone.user.id, false)));
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
