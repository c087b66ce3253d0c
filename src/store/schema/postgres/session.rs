//! The session of a migration: its settings, the lock that lets one process migrate at a time, and patience with others' locks.

use postgres::error::SqlState;
use postgres::{Client, Error};

use super::tables::TABLES;
use super::{Progress, VERSION_MIN};
use crate::config::PostgresSettings;
use crate::store::postgres::connection;
use crate::store::{StoreError, StoreErrorKind};

/// Waiting for a lock is given up long before Postgres looks for deadlocks (`deadlock_timeout`, 1 s), so that it is the
/// migration which tries again and nobody else's transaction that dies; and whoever queued behind it goes on.
pub(super) const LOCK_TIMEOUT: &str = "SET lock_timeout = '300ms'";

const SETTINGS: &str = "
    SET client_min_messages = warning;
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_read_only = off;
    SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = '60s';
    SET timezone = 'UTC';
    SET fortifun.writer = 'on'";

/// Whatever statistics say of a table that was just changed, every row is found by an index.
pub(super) const BY_INDEX: &str = "
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";
/// Ends what [`BY_INDEX`] began.
pub(super) const AS_USUAL: &str = "
    RESET enable_seqscan; RESET enable_bitmapscan; RESET enable_sort;
    RESET enable_hashjoin; RESET enable_mergejoin; RESET jit";

/// Passes in a row, with a [`pause`] between them, in which others hold everything that is left.
pub(super) const IDLE_PASSES_MAX: u32 = 2_400;

/// The advisory lock's key, in ASCII.
const LOCK: i64 = i64::from_be_bytes(*b"ftf-migr");
/// How often another process is looked after. Between two looks no snapshot is held: CREATE INDEX CONCURRENTLY would wait for it.
const LOCK_TRIES_MAX: u32 = 6_000;
/// How often a step is tried while others hold what it needs.
const TRIES_MAX: u32 = 600;
/// Of how many tries one waits for a vacuum.
const OUTLAST_EVERY: u32 = 5;
/// One look every 100 ms, less what a lock's wait takes.
const PAUSE: &str = "SELECT pg_sleep(0.1)";

/// A connection of its own for one who migrates or looks.
///
/// # Errors
///
/// [`StoreErrorKind::Unavailable`] or [`StoreErrorKind::Denied`], saying why.
pub fn connect(settings: &PostgresSettings) -> Result<Client, StoreError> {
    connection::connect(settings, "migrate")
}

/// Sets a connection up to migrate.
///
/// # Errors
///
/// As [`require_version`].
pub(super) fn prepare(client: &mut Client) -> Result<(), StoreError> {
    require_version(client)?;
    client.batch_execute(SETTINGS)?;
    Ok(client.batch_execute(LOCK_TIMEOUT)?)
}

/// Refuses a Postgres older than [`VERSION_MIN`].
pub(super) fn require_version(client: &mut Client) -> Result<(), StoreError> {
    let row = client.query_one("SELECT current_setting('server_version_num')::int", &[])?;
    let version: i32 = row.get(0);
    if version >= VERSION_MIN {
        return Ok(());
    }
    Err(StoreError {
        kind: StoreErrorKind::Schema,
        detail: format!(
            "Postgres {} is too old: version {} or later is needed",
            version / 10_000,
            VERSION_MIN / 10_000
        ),
    })
}

/// Takes the lock of the one who migrates; waits ten minutes for another process.
///
/// # Errors
///
/// [`StoreErrorKind::Contended`], naming who holds it.
pub(super) fn lock(
    client: &mut Client,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    for tries in 0..LOCK_TRIES_MAX {
        if client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])?.get(0) {
            return Ok(());
        }
        if tries == 0 {
            progress(Progress::Waiting);
        }
        client.batch_execute(PAUSE)?;
    }
    let holder = client.query_opt(
        "SELECT pid FROM pg_locks
         WHERE locktype = 'advisory' AND granted AND objsubid = 1
           AND (classid::bigint << 32) | objid::bigint = $1
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        &[&LOCK],
    )?;
    let holder: i32 = holder.map_or(0, |row| row.get(0));
    Err(StoreError {
        kind: StoreErrorKind::Contended,
        detail: format!("another process migrates this database (its connection is pid {holder})"),
    })
}

/// Gives the lock back, whatever became of the migration.
pub(super) fn unlock(client: &mut Client) {
    // A connection that is lost has lost its lock as well.
    let _ = client.batch_execute("ROLLBACK");
    let _ = client.query("SELECT pg_advisory_unlock($1)", &[&LOCK]);
}

/// Carries `step` out, again and again while others hold what it needs; it must leave nothing when it fails.
///
/// # Errors
///
/// [`StoreErrorKind::Contended`] after about four minutes, naming the oldest transaction in the way.
pub(super) fn patiently<T>(
    client: &mut Client,
    progress: &mut dyn FnMut(Progress),
    mut step: impl FnMut(&mut Client) -> Result<T, Error>,
) -> Result<T, StoreError> {
    for tries in 0..TRIES_MAX {
        match step(client) {
            Ok(done) => {
                client.batch_execute(LOCK_TIMEOUT)?;
                return Ok(done);
            }
            Err(error) if is_contended(&error) => {
                client.batch_execute("ROLLBACK")?;
                if tries == 0 {
                    progress(Progress::Busy);
                }
                client.batch_execute(PAUSE)?;
                client.batch_execute(LOCK_TIMEOUT)?;
                if tries % OUTLAST_EVERY == 0 {
                    outlast_vacuum(client)?;
                }
            }
            Err(error) => {
                // The first error is the one to tell.
                let _ = client.batch_execute("ROLLBACK");
                return Err(error.into());
            }
        }
    }
    Err(StoreError { kind: StoreErrorKind::Contended, detail: in_the_way(client)? })
}

/// Carries out what takes only locks that stand in no writer's way: they may be waited for as long as it takes.
pub(super) fn unhurried<T>(
    client: &mut Client,
    work: impl FnOnce(&mut Client) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    client.batch_execute("SET lock_timeout = 0")?;
    let done = work(client)?;
    client.batch_execute(LOCK_TIMEOUT)?;
    Ok(done)
}

/// Where one of the tables is being vacuumed, the next try waits a little longer than `deadlock_timeout`: by then Postgres has
/// ended an autovacuum that stands in somebody's way.
fn outlast_vacuum(client: &mut Client) -> Result<(), StoreError> {
    const IS_VACUUMED: &str = "
        SELECT EXISTS (
            SELECT FROM pg_locks l JOIN unnest($1::text[]) AS name ON l.relation = to_regclass(name)
            WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid())";
    const OUTLAST: &str = "
        SELECT set_config('lock_timeout', (setting::int + 500)::text, false)
        FROM pg_settings WHERE name = 'deadlock_timeout'";
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    if client.query_one(IS_VACUUMED, &[&names])?.get(0) {
        client.batch_execute(OUTLAST)?;
    }
    Ok(())
}

/// Lets others finish.
pub(super) fn pause(client: &mut Client) -> Result<(), Error> {
    client.batch_execute(PAUSE)
}

/// True exactly when another transaction stood in the way and a try later may do.
pub(super) fn is_contended(error: &Error) -> bool {
    [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ]
    .iter()
    .any(|state| error.code() == Some(state))
}

/// Who is likely to hold what a migration waits for.
pub(super) fn in_the_way(client: &mut Client) -> Result<String, StoreError> {
    let oldest = client.query_opt(
        "SELECT pid, application_name, extract(epoch FROM now() - xact_start)::bigint
         FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
         ORDER BY xact_start LIMIT 1",
        &[],
    )?;
    Ok(match oldest {
        Some(row) => {
            let (pid, name, age): (i32, String, i64) = (row.get(0), row.get(1), row.get(2));
            format!(
                "other transactions hold the tables; the oldest is {age} s old (pid {pid}, \
                 application `{name}`): SELECT pg_terminate_backend({pid})"
            )
        }
        None => "other transactions held the tables".to_owned(),
    })
}
