//! Which database, and in which state.

use std::sync::Arc;

use super::first_answer::{FirstAnswer, Meet};
use crate::auth::Revocations;
use crate::config::{Config, Database};
use crate::limits::REVOCATIONS_PAGE;
use crate::shard::mio_io::Clock;
use crate::store::postgres::PostgresStore;
use crate::store::schema::postgres::Health;
use crate::store::schema::{Pending, Planned, Progress, postgres, sqlite};
use crate::store::sqlite::SqliteStore;
use crate::store::{Failure, Lane, Reply, Request, Store, StoreError};

/// What `doctor` asks of a database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreReport {
    /// Migrations that are not applied, in order.
    pub pending: Vec<Pending>,
    /// What it says of itself.
    pub engine: Engine,
}

/// What a database says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Engine {
    /// SQLite.
    Sqlite {
        /// Its `journal_mode`: `wal`.
        journal_mode: String,
    },
    /// A Postgres server.
    Postgres(Health),
}

/// Opens one more connection to the configured database, which must be migrated already.
pub fn open_store(config: &Config, lane: Lane) -> Result<Box<dyn Store>, StoreError> {
    match &config.store.database {
        Database::Sqlite(path) => Ok(Box::new(SqliteStore::open(path, lane)?)),
        Database::Postgres(settings) => {
            PostgresStore::check(settings)?;
            Ok(Box::new(PostgresStore::new(settings, lane)))
        }
    }
}

/// The connection of one worker. To a database that is a server, it is made when the first answer has come.
pub(super) fn open_for_worker(
    config: &Config,
    lane: Lane,
    answer: &FirstAnswer,
) -> Result<Box<dyn Store>, StoreError> {
    match &config.store.database {
        Database::Sqlite(_) => open_store(config, lane),
        Database::Postgres(settings) => {
            Ok(answer.before(Box::new(PostgresStore::new(settings, lane))))
        }
    }
}

/// Which database, for people.
pub(super) fn place(config: &Config) -> String {
    match &config.store.database {
        Database::Sqlite(path) => path.display().to_string(),
        Database::Postgres(settings) => settings.place(),
    }
}

/// Applies the migrations that are not applied, and returns them in order. `progress` hears how far it is.
pub fn migrate(
    config: &Config,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Pending>, StoreError> {
    let now = Clock::start().now().wall;
    match &config.store.database {
        Database::Sqlite(path) => sqlite::migrate(path, now, progress),
        Database::Postgres(settings) => {
            postgres::migrate(&mut postgres::connect(settings)?, now, progress)
        }
    }
}

/// What [`migrate`] would do. Nothing is changed.
pub fn plan_migration(config: &Config) -> Result<Vec<Planned>, StoreError> {
    match &config.store.database {
        Database::Sqlite(path) => {
            let planned = |pending| Planned { pending, found: String::new() };
            Ok(sqlite::inspect(path)?.0.into_iter().map(planned).collect())
        }
        Database::Postgres(settings) => postgres::plan(&mut postgres::connect(settings)?),
    }
}

/// Looks at the configured database without changing it.
pub fn inspect_store(config: &Config) -> Result<StoreReport, StoreError> {
    match &config.store.database {
        Database::Sqlite(path) => {
            let (pending, journal_mode) = sqlite::inspect(path)?;
            Ok(StoreReport { pending, engine: Engine::Sqlite { journal_mode } })
        }
        Database::Postgres(settings) => {
            let mut client = postgres::connect(settings)?;
            let pending = postgres::inspect(&mut client)?;
            let engine = Engine::Postgres(postgres::health(&mut client)?);
            Ok(StoreReport { pending, engine })
        }
    }
}

/// Brings an embedded database up to date. One that is a server is left as it is: that is for `fortifun migrate`, once for all
/// nodes, and whatever else uses it.
pub(super) fn prepare(config: &Config, revocations: &Revocations) -> Result<(), StoreError> {
    let Database::Sqlite(path) = &config.store.database else { return Ok(()) };
    let applied = migrate(config, &mut |_| {})?;
    if !applied.is_empty() {
        let names: Vec<&str> = applied.iter().map(|migration| migration.name).collect();
        tracing::info!(migrations = names.join(", "), "database migrated");
    }
    // Nobody is here yet: a process that was killed could not say so.
    SqliteStore::open(path, Lane::Write)?.reset_presence()?;
    load(&mut SqliteStore::open(path, Lane::Read)?, revocations)
}

/// What a database that is a server is asked before it is used; `None` for an embedded one, which [`prepare`] has prepared.
pub(super) fn meet(config: &Config, revocations: &Arc<Revocations>) -> Option<Meet> {
    let Database::Postgres(settings) = &config.store.database else { return None };
    let (settings, revocations) = (settings.clone(), Arc::clone(revocations));
    Some(Box::new(move || {
        PostgresStore::check(&settings)?;
        PostgresStore::reset_presence(&settings)?;
        load(&mut PostgresStore::new(&settings, Lane::Read), &revocations)
    }))
}

/// Reads which tokens are revoked, before anybody is let in.
fn load(store: &mut dyn Store, revocations: &Revocations) -> Result<(), StoreError> {
    loop {
        let now = Clock::start().now().wall;
        let found = match store.read(&Request::Revocations { after: revocations.newest() }, now) {
            Ok(Reply::Revocations(found)) => found,
            Err(Failure::Store(error)) => return Err(error),
            outcome => unreachable!("Revocations is answered by Revocations: {outcome:?}"),
        };
        revocations.add(&found, now);
        if found.len() < REVOCATIONS_PAGE {
            return Ok(());
        }
    }
}
