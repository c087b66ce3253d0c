//! Which database, and in which state.

use std::path::PathBuf;
use std::sync::Arc;

use super::first_answer::{FirstAnswer, Meet};
use crate::auth::Revocations;
use crate::config::{Config, Database, PostgresSettings};
use crate::limits::REVOCATIONS_PAGE;
use crate::shard::mio_io::Clock;
use crate::store::memory::MemoryStore;
use crate::store::postgres::PostgresStore;
use crate::store::schema::postgres::Health;
use crate::store::schema::{Pending, Planned, Progress, postgres, sqlite};
use crate::store::sqlite::SqliteStore;
use crate::store::{Failure, Lane, Reply, Request, Store, StoreError, StoreErrorKind};

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
///
/// # Errors
///
/// It cannot be opened, or is the memory of a server, which is another process than the caller.
pub fn open_store(config: &Config, lane: Lane) -> Result<Box<dyn Store>, StoreError> {
    match &config.store.database {
        Database::Sqlite(path) => Ok(Box::new(SqliteStore::open(path, lane)?)),
        Database::Postgres(settings) => {
            PostgresStore::check(settings)?;
            Ok(Box::new(PostgresStore::new(settings, lane)))
        }
        Database::Memory { .. } => Err(out_of_reach()),
    }
}

/// Opens the connections of workers.
#[derive(Clone)]
pub(super) enum Opener {
    Sqlite(PathBuf),
    /// Not used before the first answer has come.
    Postgres(Box<PostgresSettings>, FirstAnswer),
    /// The one that all share.
    Memory(MemoryStore),
}

impl Opener {
    pub(super) fn of(config: &Config, answer: &FirstAnswer) -> Self {
        match &config.store.database {
            Database::Sqlite(path) => Self::Sqlite(path.clone()),
            Database::Postgres(settings) => Self::Postgres(settings.clone(), answer.clone()),
            Database::Memory { users } => Self::Memory(MemoryStore::with_users(*users)),
        }
    }

    /// The connection of one worker.
    pub(super) fn open(&self, lane: Lane) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Self::Sqlite(path) => Box::new(SqliteStore::open(path, lane)?),
            Self::Postgres(settings, answer) => {
                answer.before(Box::new(PostgresStore::new(settings, lane)))
            }
            Self::Memory(store) => Box::new(store.clone()),
        })
    }
}

/// What commands hear that would look into the memory of another process.
fn out_of_reach() -> StoreError {
    StoreError {
        kind: StoreErrorKind::Unavailable,
        detail: "DATABASE_URL: `memory:` is within a running server, where no command reaches it; its users are those of `memory:?users=N`"
            .to_owned(),
    }
}

/// Which database, for people.
pub(super) fn place(config: &Config) -> String {
    match &config.store.database {
        Database::Sqlite(path) => path.display().to_string(),
        Database::Postgres(settings) => settings.place(),
        Database::Memory { .. } => "memory".to_owned(),
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
        Database::Memory { .. } => Err(out_of_reach()),
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
        Database::Memory { .. } => Err(out_of_reach()),
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
        Database::Memory { .. } => Err(out_of_reach()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_that_the_memory_of_a_server_is_out_of_their_reach() {
        let env = [("DEBUG", "1"), ("ECHO", "1"), ("DATABASE_URL", "memory:")];
        let config = Config::from_pairs(&env).unwrap();
        let told = [
            open_store(&config, Lane::Write).err(),
            migrate(&config, &mut |_| {}).err(),
            plan_migration(&config).err(),
            inspect_store(&config).err(),
        ];
        for error in told {
            assert!(error.unwrap().detail.contains("no command reaches it"));
        }
    }

    #[test]
    fn the_workers_of_a_server_in_memory_share_one_store() {
        let opener = Opener::Memory(MemoryStore::with_users(3));
        let mut writer = opener.open(Lane::Write).unwrap();
        let mut reader = opener.open(Lane::Read).unwrap();
        let now = Clock::start().now().wall;
        let [username, first_name, last_name] = ["fourth", "", ""].map(str::to_owned);
        let request = Request::AddUser { username, first_name, last_name };
        writer.commit(&[request], now).unwrap()[0].as_ref().unwrap();
        let admit = |user| Request::Admit { user: crate::ids::UserId(user), conversation: None };
        assert!(reader.read(&admit(4), now).is_ok());
        assert!(reader.read(&admit(5), now).is_err());
    }
}
