//! Which database, and in which state.

use std::path::Path;

use crate::config::{Config, Database};
use crate::shard::mio_io::Clock;
use crate::store::sqlite::SqliteStore;
use crate::store::{Lane, Store, StoreError, schema};

/// What `doctor` asks of a database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreReport {
    /// Migrations that are not applied, by name, in order.
    pub pending: Vec<String>,
    /// SQLite's `journal_mode`: `wal`.
    pub journal_mode: String,
}

/// Opens one more connection to the configured database, which is migrated already.
pub fn open_store(config: &Config, lane: Lane) -> Result<Box<dyn Store>, StoreError> {
    Ok(Box::new(SqliteStore::open(path(config), lane)?))
}

/// Applies the migrations that are not applied, or with `plan_only` none of them, and returns their names in order.
pub fn migrate(config: &Config, plan_only: bool) -> Result<Vec<String>, StoreError> {
    if plan_only {
        return Ok(inspect_store(config)?.pending);
    }
    let now = Clock::start().now().wall;
    let applied = schema::migrate(path(config), now, &mut |_| {})?;
    Ok(applied.iter().map(|migration| migration.name.to_owned()).collect())
}

/// Looks at the configured database without changing it.
pub fn inspect_store(config: &Config) -> Result<StoreReport, StoreError> {
    let (pending, journal_mode) = schema::inspect(path(config))?;
    let pending = pending.iter().map(|migration| migration.name.to_owned()).collect();
    Ok(StoreReport { pending, journal_mode })
}

/// Brings an embedded database up to date. Nobody is here yet: a process that was killed could not say so.
pub(super) fn prepare(config: &Config) -> Result<(), StoreError> {
    let applied = migrate(config, false)?;
    if !applied.is_empty() {
        tracing::info!(migrations = applied.join(", "), "database migrated");
    }
    SqliteStore::open(path(config), Lane::Write)?.reset_presence()
}

fn path(config: &Config) -> &Path {
    match &config.store.database {
        Database::Sqlite(path) => path,
    }
}
