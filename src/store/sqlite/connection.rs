//! How a connection is opened and set up.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::store::{Lane, StoreError, StoreErrorKind};

/// How long a statement waits for another connection's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements that a connection keeps; more than there are.
const STATEMENTS_MAX: usize = 128;

/// `synchronous = FULL` syncs the log at each commit: what was answered survives a power failure. The log is checkpointed
/// by the commit that passes 1,000 pages of it, and shrinks to `journal_size_limit` then. The cache is small, because what it
/// lacks comes from the page cache of the system; what one transaction writes may pass it (`cache_spill`), and is given back after.
/// Nothing is mapped: a disk that fails is an error then, and not the end of the process by SIGBUS, and memory is what it seems.
const WRITER: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA cache_size = -1024;
    PRAGMA cache_spill = OFF;
    PRAGMA temp_store = MEMORY;
    PRAGMA mmap_size = 0;
    PRAGMA wal_autocheckpoint = 1000;
    PRAGMA journal_size_limit = 67108864;
";

/// Readers share the file through the page cache of the system; their own is forgotten with each commit.
const READER: &str = "
    PRAGMA query_only = ON;
    PRAGMA cache_size = -512;
    PRAGMA temp_store = MEMORY;
    PRAGMA mmap_size = 0;
";

/// Opens the file at `path` for a worker of `lane`.
///
/// # Errors
///
/// [`StoreErrorKind::Unavailable`] where there is no such file.
pub(in crate::store) fn open(path: &Path, lane: Lane) -> Result<Connection, StoreError> {
    let (flags, pragmas) = match lane {
        Lane::Write => (OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER),
        Lane::Read => (OpenFlags::SQLITE_OPEN_READ_ONLY, READER),
    };
    // A connection belongs to one thread, so SQLite's own mutex is not needed; and a path is a path, never a URI.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| named(path, error.into()))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(pragmas).map_err(|error| named(path, error.into()))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Without this a statement over a partial index is planned anew each time a parameter of it changes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Opens the file at `path` to write; where there is none, makes it readable for its owner alone (SQLite gives its log the
/// same mode).
pub(in crate::store) fn create(path: &Path) -> Result<Connection, StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            let kind = match error.kind() {
                ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::PermissionDenied => StoreErrorKind::NotWritable,
                _ => StoreErrorKind::Unavailable,
            };
            Err(named(path, StoreError { kind, detail: error.to_string() }))
        }
        _ => open(path, Lane::Write),
    }
}

fn named(path: &Path, StoreError { kind, detail }: StoreError) -> StoreError {
    StoreError { kind, detail: format!("{}: {detail}", path.display()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        let connection = create(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        for name in ["db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm"] {
            let mode = folder.path().join(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_writer_syncs_each_commit_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let connection = create(&folder.path().join("db.sqlite3")).unwrap();
        let text = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0));
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0));
        assert_eq!(text("journal_mode"), Ok("wal".to_owned()));
        assert_eq!(number("synchronous"), Ok(2));
        assert_eq!(number("foreign_keys"), Ok(1));
    }

    #[test]
    fn a_reader_cannot_write_and_no_reader_makes_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        assert_eq!(open(&path, Lane::Read).unwrap_err().kind, StoreErrorKind::Unavailable);
        assert_eq!(open(&path, Lane::Write).unwrap_err().kind, StoreErrorKind::Unavailable);
        assert!(!path.exists());
        create(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let reader = open(&path, Lane::Read).unwrap();
        let error: StoreError = reader.execute("INSERT INTO t VALUES (1)", []).unwrap_err().into();
        assert_eq!(error.kind, StoreErrorKind::NotWritable);
    }

    #[test]
    fn a_folder_that_is_not_there_is_unavailable_and_named() {
        let error = create(Path::new("/nonexistent/db.sqlite3")).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unavailable);
        assert!(error.detail.contains("/nonexistent/db.sqlite3"), "{error}");
    }
}
