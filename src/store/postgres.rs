//! The store beside Django: Postgres, in the tables that Django made, with a synchronous connection a worker.
//!
//! A batch is one transaction. What phones send most (messages, read receipts, presence) is carried out set by set, one
//! statement for all of a kind; the rest one by one. Every statement is prepared once a connection and goes through `session`.
//!
//! Whoever locks rows locks conversations first, by id, then their participants, then users by id: so nodes do not deadlock.

#[macro_use]
mod rows;

mod access;
mod append;
mod backoff;
mod batch;
mod client;
mod commit;
pub(in crate::store) mod connection;
mod conversations;
mod error;
mod history;
mod leases;
mod likes;
mod locks;
mod matches;
mod missed;
mod people;
mod presence;
mod receipts;
mod requests;
mod revocations;
mod session;
mod settle;
mod tls;
mod values;

use backoff::Backoff;
use session::{Backend, Session};

use super::{Failure, Lane, Outcome, Reply, Request, Store, StoreError, StoreErrorKind, schema};
use crate::config::PostgresSettings;
use crate::time::Timestamp;

/// One connection to a Postgres server; made again when it is lost.
pub struct PostgresStore {
    /// None where it was lost, or while a batch is carried out: a panic takes it along.
    session: Option<Session>,
    settings: PostgresSettings,
    lane: Lane,
    backoff: Backoff,
    /// The server's side of the last connection that was lost.
    lost: Option<Backend>,
}

impl PostgresStore {
    /// A store that connects when it is first asked something; on [`Lane::Read`] so that nothing can be written.
    pub fn new(settings: &PostgresSettings, lane: Lane) -> Self {
        Self {
            session: None,
            settings: settings.clone(),
            lane,
            backoff: Backoff::default(),
            lost: None,
        }
    }

    /// Refuses a database that lacks a migration or is newer than this program. The connection counts as no node's.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] where it cannot be reached, [`StoreErrorKind::Denied`] where it does not let this program in;
    /// [`StoreErrorKind::Schema`] where its tables are not this program's.
    pub fn check(settings: &PostgresSettings) -> Result<(), StoreError> {
        let mut session = connection::open_aside(settings)?;
        let applied = match session.first(schema::postgres::HAS_RECORDS, &[], |row| row.get(0))? {
            Some(true) => session.all(schema::postgres::APPLIED, &[], |row| row.get(0))?,
            _ => Vec::new(),
        };
        schema::postgres::check(&applied)
    }

    /// Takes every user offline, as after the death of all nodes; true exactly when it did. While a node is alive, which is
    /// while it holds any connection, it has its own users online and nothing is done: so this comes before the first
    /// connection of a node.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub fn reset_presence(settings: &PostgresSettings) -> Result<bool, StoreError> {
        presence::reset(settings)
    }

    /// Carries out `work` in the session, which is opened where there is none; a session that is of no use after an error is
    /// dropped.
    fn with_session<T>(
        &mut self,
        now: Option<Timestamp>,
        work: impl FnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.reopened(now)?,
        };
        let result = work(&mut session);
        if result.is_ok() || session.recover() {
            self.session = Some(session);
        } else {
            self.lost = Some(session.backend().clone());
        }
        result
    }

    /// A new session, unless the last failure was a moment before `now`: then it fails without a try.
    fn reopened(&mut self, now: Option<Timestamp>) -> Result<Session, StoreError> {
        if let Some(ms) = now.and_then(|now| self.backoff.wait_ms(now)) {
            let detail = format!("not connected; the next try is in {ms} ms");
            return Err(StoreError { kind: StoreErrorKind::Unavailable, detail });
        }
        let opened = connection::open(&self.settings, self.lane);
        match (&opened, now) {
            (Ok(_), _) => self.backoff.on_success(),
            (Err(_), Some(now)) => {
                self.backoff.on_failure(now, getrandom::u64().unwrap_or(u64::MAX));
            }
            (Err(_), None) => {}
        }
        opened
    }
}

impl Store for PostgresStore {
    fn commit(&mut self, batch: &[Request], now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        self.with_session(Some(now), |session| commit::commit(session, batch, now))
    }

    fn read(&mut self, request: &Request, now: Timestamp) -> Outcome {
        let ask = |store: &mut Self| {
            store.with_session(Some(now), |session| match requests::answer(session, request, now) {
                Err(Failure::Store(error)) => Err(error),
                outcome => Ok(outcome),
            })
        };
        let was_open = self.session.is_some();
        let outcome = match ask(self) {
            // A connection that ended while nobody used it is found so by the next who does, when the server may long be back.
            Err(_) if was_open && self.session.is_none() => ask(self),
            outcome => outcome,
        };
        outcome.unwrap_or_else(|error| Err(error.into()))
    }

    fn settle(
        &mut self,
        batch: &[Request],
        at: Timestamp,
    ) -> Result<Vec<Option<Reply>>, StoreError> {
        let lost = self.lost.clone();
        self.with_session(None, |session| settle::settle(session, batch, at, lost.as_ref()))
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        self.with_session(None, |session| session.script("SELECT 1"))
    }
}

#[cfg(test)]
mod tests;
