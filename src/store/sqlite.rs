//! The embedded store: SQLite in WAL mode, durable at each commit, in Django's tables.
//!
//! One connection a worker: writers take turns on the file's one write lock, readers read beside them. A batch is one transaction
//! (group commit). Every statement is prepared once a connection and goes through `query`. Migrations are `schema`'s.

#[macro_use]
mod rows;

mod access;
mod append;
pub(super) mod connection;
mod conversations;
mod error;
mod history;
mod likes;
mod matches;
mod missed;
mod people;
mod presence;
mod query;
mod receipts;
mod revocations;
mod settle;
mod values;

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{Failure, Lane, Outcome, Reply, Request, Store, StoreError, StoreErrorKind, schema};
use crate::time::Timestamp;

/// One connection to an SQLite file.
pub struct SqliteStore {
    connection: Connection,
    lane: Lane,
}

impl SqliteStore {
    /// Opens the migrated database at `path`; on [`Lane::Read`] so that nothing can be written.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] where there is no such file; [`StoreErrorKind::Schema`] where it lacks a migration or is
    /// newer than this program.
    pub fn open(path: &Path, lane: Lane) -> Result<Self, StoreError> {
        let connection = connection::open(path, lane)?;
        schema::sqlite::check(&connection)?;
        Ok(Self { connection, lane })
    }

    /// Takes every user offline, as after the death of the one process that had them online.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub fn reset_presence(&mut self) -> Result<(), StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(
            "UPDATE accounts_user SET is_online = 0 WHERE is_online = 1;
             DELETE FROM fortifun_presence;
             DELETE FROM fortifun_node",
        )?;
        Ok(transaction.commit()?)
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, batch: &[Request], now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for request in batch {
            match carry_out(&transaction, request, now) {
                Err(Failure::Store(error)) => return Err(error),
                outcome => outcomes.push(outcome),
            }
        }
        transaction.commit().map_err(error::at_commit)?;
        Ok(outcomes)
    }

    fn settle(
        &mut self,
        batch: &[Request],
        at: Timestamp,
    ) -> Result<Vec<Option<Reply>>, StoreError> {
        // Whoever is still committing is waited for.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        settle::settle(&transaction, batch, at)
    }

    fn read(&mut self, request: &Request, now: Timestamp) -> Outcome {
        // One snapshot for all statements of the answer.
        let transaction = self.connection.transaction().map_err(StoreError::from)?;
        answer(&transaction, request, now)
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        if self.lane == Lane::Write && self.connection.is_readonly("main")? {
            return Err(StoreError {
                kind: StoreErrorKind::NotWritable,
                detail: "the file is read-only".to_owned(),
            });
        }
        query::one(&self.connection, "SELECT max(id) FROM fortifun_migration", [], |_| Ok(()))?;
        Ok(())
    }
}

/// Carries out one request of a batch. A refusal wrote nothing: all checks come before the first write.
fn carry_out(connection: &Connection, request: &Request, now: Timestamp) -> Outcome {
    match request {
        Request::Append { conversation, sender, content, attachment, client_id } => {
            let said = append::Said {
                conversation: *conversation,
                content,
                attachment: attachment.as_deref(),
                client_id: client_id.as_deref(),
            };
            append::append(connection, *sender, &said, now)
        }
        Request::MarkRead { conversation, reader, message } => {
            receipts::mark_read(connection, *conversation, *reader, *message, now)
        }
        Request::Like { liker, liked, welcome } => {
            likes::like(connection, *liker, *liked, welcome, now)
        }
        Request::Unlike { liker, liked } => likes::unlike(connection, *liker, *liked),
        Request::Block { blocker, blocked } => likes::block(connection, *blocker, *blocked),
        Request::Unblock { blocker, blocked } => likes::unblock(connection, *blocker, *blocked),
        Request::Open { creator, participant, content, client_id } => conversations::open(
            connection,
            (*creator, *participant),
            content,
            client_id.as_deref(),
            now,
        ),
        Request::Leave { conversation, user } => {
            conversations::leave(connection, *conversation, *user)
        }
        Request::SetPresence { user, is_online, node } => {
            presence::set(connection, *user, *is_online, *node, now)
        }
        Request::Lease { node, lease_s, reap } => {
            presence::lease(connection, *node, *lease_s, *reap, now)
        }
        Request::Revoke { revoked, until } => revocations::revoke(connection, revoked, *until, now),
        Request::AddUser { username, first_name, last_name } => {
            people::add_user(connection, username, first_name, last_name, now)
        }
        read => answer(connection, read, now),
    }
}

/// Answers one request of [`Lane::Read`].
fn answer(connection: &Connection, request: &Request, now: Timestamp) -> Outcome {
    match request {
        Request::Admit { user, conversation } => people::admit(connection, *user, *conversation),
        Request::MaySpeak { user, conversation } => {
            let place = access::place(connection, *conversation, *user)?;
            place.speakable()?;
            Ok(Reply::MaySpeak(place.participants()))
        }
        Request::Watch { user, users } => people::watch(connection, *user, users),
        Request::History { user, conversation, page, limit } => {
            history::history(connection, *user, *conversation, *page, *limit)
        }
        Request::Conversations { user, limit } => conversations::list(connection, *user, *limit),
        Request::Conversation { user, conversation } => {
            conversations::one(connection, *user, *conversation)
        }
        Request::RecentMatches { user, since, limit } => {
            matches::recent(connection, *user, *since, *limit)
        }
        Request::Matches { user, offset, limit } => {
            matches::page(connection, *user, *offset, *limit)
        }
        Request::Ping => Ok(Reply::Done),
        Request::FindUser { username } => people::find(connection, username),
        Request::Revocations { after } => revocations::after(connection, *after, now),
        Request::Standings { conversations } => missed::standings(connection, conversations),
        Request::Since { users, since, after, limit } => {
            missed::since(connection, users, *since, *after, *limit)
        }
        Request::Places { messages } => missed::places(connection, messages),
        Request::Append { .. }
        | Request::MarkRead { .. }
        | Request::Like { .. }
        | Request::Unlike { .. }
        | Request::Block { .. }
        | Request::Unblock { .. }
        | Request::Open { .. }
        | Request::Leave { .. }
        | Request::SetPresence { .. }
        | Request::AddUser { .. }
        | Request::Lease { .. }
        | Request::Revoke { .. } => Err(Failure::Store(StoreError {
            kind: StoreErrorKind::Internal,
            detail: "a write was asked of a reader".to_owned(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        let now = Timestamp(0);
        schema::sqlite::migrate(&path, now, &mut |_| ()).unwrap();
        let add = |name: &str| {
            let mut store = SqliteStore::open(&path, Lane::Write).unwrap();
            for n in 0..100 {
                let request = Request::AddUser {
                    username: format!("{name}{n}"),
                    first_name: String::new(),
                    last_name: String::new(),
                };
                let outcomes = store.commit(&[request], now).unwrap();
                assert!(outcomes[0].is_ok(), "{outcomes:?}");
            }
        };
        std::thread::scope(|scope| {
            let add = &add;
            for name in ["a", "b", "c"] {
                scope.spawn(move || add(name));
            }
        });
    }

    #[test]
    fn a_database_that_was_not_migrated_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        drop(connection::create(&path).unwrap());
        let error = SqliteStore::open(&path, Lane::Write).err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Schema);
    }
}
