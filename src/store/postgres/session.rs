//! One connection's session: statements prepared once, by their text.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use postgres::types::ToSql;
use postgres::{Row, Statement};

use super::client::{Client, Fault};
use super::error;
use crate::store::{StoreError, StoreErrorKind};

/// What a statement takes.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The server's side of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Backend {
    /// Its process.
    pub(super) pid: i32,
    /// When that began, in the server's words: process numbers come again.
    pub(super) started: String,
}

/// An open connection and what it has prepared.
pub(super) struct Session {
    client: Client,
    statements: HashMap<&'static str, Statement, RandomState>,
    is_in_transaction: bool,
    is_fit: bool,
    backend: Backend,
}

impl Session {
    /// A session that has prepared nothing yet.
    pub(super) fn new(client: Client, backend: Backend) -> Self {
        let statements = HashMap::default();
        Self { client, statements, is_in_transaction: false, is_fit: true, backend }
    }

    /// The server's side.
    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// All rows of `sql`, in order.
    pub(super) fn all<T>(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
        map: impl FnMut(Row) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let statement = self.prepared(sql)?;
        let rows = self.client.query(&statement, params);
        Ok(self.noted(rows)?.into_iter().map(map).collect())
    }

    /// All rows of a statement that writes. Outside a transaction it commits by itself, and then a connection that is lost
    /// meanwhile leaves its end [`StoreErrorKind::Unknown`].
    pub(super) fn write<T>(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
        map: impl FnMut(Row) -> T,
    ) -> Result<Vec<T>, StoreError> {
        if self.is_in_transaction {
            return self.all(sql, params, map);
        }
        let statement = self.prepared(sql)?;
        let rows = self.client.query(&statement, params);
        Ok(self.noted_as(rows, error::at_commit)?.into_iter().map(map).collect())
    }

    /// The first row of `sql`; `None` where it has none.
    pub(super) fn first<T>(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
        map: impl FnOnce(Row) -> T,
    ) -> Result<Option<T>, StoreError> {
        let statement = self.prepared(sql)?;
        let rows = self.client.query(&statement, params);
        Ok(self.noted(rows)?.into_iter().next().map(map))
    }

    /// The one row of `sql`.
    pub(super) fn one<T>(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
        map: impl FnOnce(Row) -> T,
    ) -> Result<T, StoreError> {
        self.first(sql, params, map)?.ok_or_else(|| StoreError {
            kind: StoreErrorKind::Internal,
            detail: "a statement that has one row had none".to_owned(),
        })
    }

    /// Runs `sql` and counts the rows it changed.
    pub(super) fn run(&mut self, sql: &'static str, params: Params<'_>) -> Result<u64, StoreError> {
        let statement = self.prepared(sql)?;
        let changed = self.client.execute(&statement, params);
        self.noted(changed)
    }

    /// Runs statements without parameters, in one round trip.
    pub(super) fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        let done = self.client.batch_execute(sql);
        self.noted(done)
    }

    /// Begins a transaction and runs `first` in it (empty, or statements without parameters), in one round trip.
    pub(super) fn begin(&mut self, first: &str) -> Result<(), StoreError> {
        debug_assert!(!self.is_in_transaction, "one transaction at a time");
        self.is_in_transaction = true;
        self.script(&format!("BEGIN; {first}"))
    }

    /// Commits. A connection that is lost meanwhile leaves the end [`StoreErrorKind::Unknown`].
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        let done = self.client.batch_execute("COMMIT");
        self.noted_as(done, error::at_commit)?;
        self.is_in_transaction = false;
        Ok(())
    }

    /// Undoes the transaction that an error left, if there is one; true exactly when the session can be used again.
    pub(super) fn recover(&mut self) -> bool {
        if self.is_fit && self.is_in_transaction {
            self.is_fit = self.script("ROLLBACK").is_ok();
            self.is_in_transaction = false;
        }
        self.is_fit
    }

    fn prepared(&mut self, sql: &'static str) -> Result<Statement, StoreError> {
        #[cfg(test)]
        seen::note(sql);
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql);
        let statement = self.noted(statement)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    fn noted<T>(&mut self, result: Result<T, Fault>) -> Result<T, StoreError> {
        self.noted_as(result, StoreError::from)
    }

    fn noted_as<T>(
        &mut self,
        result: Result<T, Fault>,
        tell: fn(Fault) -> StoreError,
    ) -> Result<T, StoreError> {
        result.map_err(|error| {
            self.is_fit &= !error::ends_session(&error);
            tell(error)
        })
    }
}

/// Every statement that was prepared, for the test that explains them all.
#[cfg(test)]
pub(super) mod seen {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        static SEEN: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn note(sql: &'static str) {
        SEEN.with_borrow_mut(|seen| seen.insert(sql));
    }

    /// What this thread prepared so far.
    pub(in crate::store::postgres) fn statements() -> BTreeSet<&'static str> {
        SEEN.with_borrow(BTreeSet::clone)
    }
}
