//! SQLite's migrations: each one SQL file, applied in a transaction of its own.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{Migration, Pending, Progress, current, inside, missing};
use crate::store::sqlite::connection;
use crate::store::{Lane, StoreError};
use crate::time::Timestamp;

/// In order, numbered from 1 without holes.
const SQLITE: &[Migration<&str>] = &[
    Migration {
        id: 1,
        name: "initial",
        what: "makes the tables",
        work: include_str!("../migrations/sqlite/0001_initial.sql"),
    },
    Migration {
        id: 2,
        name: "activity",
        what: "adds active_hour, by whose index a list finds the newest conversations",
        work: include_str!("../migrations/sqlite/0002_activity.sql"),
    },
    Migration {
        id: 3,
        name: "presence",
        what: "makes the tables of who is here on which node",
        work: include_str!("../migrations/sqlite/0003_presence.sql"),
    },
    Migration {
        id: 4,
        name: "revocation",
        what: "makes the table of tokens that are refused",
        work: include_str!("../migrations/sqlite/0004_revocation.sql"),
    },
];

const RECORDS: &str = "CREATE TABLE IF NOT EXISTS fortifun_migration (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT";

/// The migrations that the database lacks, in order; none where it is current.
///
/// # Errors
///
/// [`crate::store::StoreErrorKind::Schema`] where it is newer than this program.
pub fn plan(connection: &Connection) -> Result<Vec<Pending>, StoreError> {
    let has_records = connection
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'fortifun_migration'",
            [],
            |_| Ok(()),
        )
        .optional()?;
    if has_records.is_none() {
        return missing(SQLITE, &[]);
    }
    let mut statement = connection.prepare("SELECT id FROM fortifun_migration ORDER BY id")?;
    let applied = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    missing(SQLITE, &applied)
}

/// What the SQLite database at `path` lacks, and its `journal_mode`; nothing is changed or made. Where there is no file, everything
/// is lacking and the mode is that of a database yet to be made.
///
/// # Errors
///
/// As [`plan`].
pub fn inspect(path: &Path) -> Result<(Vec<Pending>, String), StoreError> {
    if !path.exists() {
        return Ok((missing(SQLITE, &[])?, "wal".to_owned()));
    }
    let connection = connection::open(path, Lane::Read)?;
    let journal_mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    Ok((plan(&connection)?, journal_mode))
}

/// Applies what the SQLite database at `path` lacks, making the file (mode 0600) where there is none, and returns what was applied.
///
/// `progress` hears of each migration before it is applied. Several may migrate at once: each migration is applied by one.
///
/// # Errors
///
/// [`crate::store::StoreErrorKind::Schema`] where the database is newer than this program or holds other tables of these names. The migration
/// that failed left nothing; those before it stand.
pub fn migrate(
    path: &Path,
    now: Timestamp,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Pending>, StoreError> {
    let mut connection = connection::create(path)?;
    let mut applied = Vec::new();
    while let Some(next) = plan(&connection)?.first() {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another migrator may have been faster: what is lacking is asked again under the lock.
        if plan(&transaction)?.first() != Some(next) {
            continue;
        }
        progress(Progress::Applying(*next));
        apply(&transaction, next, now).map_err(|error| inside(next, error))?;
        transaction.commit()?;
        applied.push(*next);
    }
    Ok(applied)
}

/// Refuses a database that is not exactly what this program was built for.
///
/// # Errors
///
/// [`crate::store::StoreErrorKind::Schema`], saying what is lacking or how much newer the database is.
pub fn check(connection: &Connection) -> Result<(), StoreError> {
    current(&plan(connection)?)
}

fn apply(connection: &Connection, next: &Pending, now: Timestamp) -> Result<(), StoreError> {
    let migration = SQLITE.iter().find(|ours| ours.id == next.id).expect("pending ones are ours");
    connection.execute_batch(RECORDS)?;
    connection.execute_batch(migration.work)?;
    connection.execute(
        "INSERT INTO fortifun_migration (id, name, applied_at) VALUES (?1, ?2, ?3)",
        params![migration.id, migration.name, now],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreErrorKind;

    const NOW: Timestamp = Timestamp(1_704_067_200_000_000);

    fn quiet(_: Progress) {}

    #[test]
    fn migrations_are_numbered_from_1_without_holes() {
        for (migration, id) in SQLITE.iter().zip(1..) {
            assert_eq!(migration.id, id);
        }
    }

    #[test]
    fn a_second_migration_finds_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        assert_eq!(inspect(&path).unwrap().0.len(), SQLITE.len());
        assert!(!path.exists(), "looking makes nothing");
        let mut heard = Vec::new();
        let applied = migrate(&path, NOW, &mut |told| heard.push(told)).unwrap();
        assert_eq!(applied.len(), SQLITE.len());
        assert_eq!(heard, applied.iter().copied().map(Progress::Applying).collect::<Vec<_>>());
        assert_eq!(migrate(&path, NOW, &mut quiet), Ok(Vec::new()));
        assert_eq!(inspect(&path), Ok((Vec::new(), "wal".to_owned())));
        check(&Connection::open(&path).unwrap()).unwrap();
    }

    #[test]
    fn what_is_lacking_is_named_before_it_is_applied() {
        let connection = Connection::open_in_memory().unwrap();
        assert_eq!(plan(&connection).unwrap().len(), SQLITE.len());
        let error = check(&connection).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Schema);
        assert!(error.detail.contains("lacks migration 1 (initial)"), "{error}");
    }

    #[test]
    fn a_newer_database_is_refused_by_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        migrate(&path, NOW, &mut quiet).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.execute("INSERT INTO fortifun_migration VALUES (900, 'later', 0)", []).unwrap();
        for refusal in [migrate(&path, NOW, &mut quiet).map(drop), check(&connection)] {
            let error = refusal.unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Schema);
            let ours = format!("up to {}", SQLITE.len());
            assert!(error.detail.contains("900") && error.detail.contains(&ours), "{error}");
        }
    }

    #[test]
    fn of_many_migrators_at_once_one_applies_each_migration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        let applied: usize = std::thread::scope(|scope| {
            let migrators: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| migrate(&path, NOW, &mut quiet).unwrap().len()))
                .collect();
            migrators.into_iter().map(|migrator| migrator.join().unwrap()).sum()
        });
        assert_eq!(applied, SQLITE.len());
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE matching_match (id INTEGER PRIMARY KEY)").unwrap();
        let error = migrate(&path, NOW, &mut quiet).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Schema);
        assert!(error.detail.contains("migration 1 (initial)"), "{error}");
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(tables, 1);
    }
}
