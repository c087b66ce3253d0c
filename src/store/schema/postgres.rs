//! Postgres's migrations: beside Django, which may write all the while, and resumable after every kind of death.
//!
//! One process migrates at a time, under an advisory lock. A script's transactions are short, give up when a lock is not to be
//! had at once, and are tried again; indexes are made `CONCURRENTLY`; messages get their places in small steps. Each migration is
//! recorded when all of it is done, and what is half done is found so and finished by the next run.

mod activity;
mod adopt;
mod health;
mod indexes;
mod numbering;
mod session;
mod tables;

use postgres::Client;

pub use health::{Health, health};
pub use session::connect;

use super::{Migration, Pending, Planned, Progress, current, inside, missing};
use crate::store::StoreError;
use crate::time::Timestamp;

/// The oldest Postgres that waits for the end of a backend that it was asked to end, as `server_version_num` says it.
pub const VERSION_MIN: i32 = 140_000;

/// How a migration is carried out.
enum Work {
    /// Transactions of their own, which may be run again.
    Script(&'static str),
    /// What SQL alone cannot say; may be run again.
    Code(Code),
}

type Code = fn(&mut Client, &mut dyn FnMut(Progress)) -> Result<(), StoreError>;

/// In order, numbered from 1 without holes.
const POSTGRES: &[Migration<Work>] = &[
    Migration {
        id: 1,
        name: "django",
        what: "makes Django's tables, or looks whether those that are there fit",
        work: Work::Code(adopt::tables),
    },
    Migration {
        id: 2,
        name: "columns",
        what: "adds last_seq, last_read_seq, unread, seq and client_id",
        work: Work::Script(include_str!("../migrations/postgres/0002_columns.sql")),
    },
    Migration {
        id: 3,
        name: "triggers",
        what: "lets what Django writes from now on have its place and be counted",
        work: Work::Script(include_str!("../migrations/postgres/0003_triggers.sql")),
    },
    Migration {
        id: 4,
        name: "numbering_index",
        what: "makes an index of the messages without a place, for the next step",
        work: Work::Code(indexes::for_numbering),
    },
    Migration {
        id: 5,
        name: "numbering",
        what: "gives every message its place and every participant their unread count",
        work: Work::Code(numbering::run),
    },
    Migration {
        id: 6,
        name: "indexes",
        what: "makes the indexes that the server reads by",
        work: Work::Code(indexes::for_serving),
    },
    Migration {
        id: 7,
        name: "not_null",
        what: "says that no conversation and no message is without its place",
        work: Work::Script(include_str!("../migrations/postgres/0007_not_null.sql")),
    },
    Migration {
        id: 8,
        name: "activity",
        what: "adds active_hour, by whose index a list finds the newest conversations",
        work: Work::Code(activity::run),
    },
    Migration {
        id: 9,
        name: "presence",
        what: "makes the tables of who is here on which node",
        work: Work::Script(include_str!("../migrations/postgres/0009_presence.sql")),
    },
    Migration {
        id: 10,
        name: "revocation",
        what: "makes the table of tokens that are refused",
        work: Work::Script(include_str!("../migrations/postgres/0010_revocation.sql")),
    },
];

/// Whether migrations were ever recorded.
pub(in crate::store) const HAS_RECORDS: &str =
    "SELECT to_regclass('fortifun_migration') IS NOT NULL";
/// Those that were, in order.
pub(in crate::store) const APPLIED: &str = "SELECT id FROM fortifun_migration ORDER BY id";

const RECORDS: &str = "CREATE TABLE IF NOT EXISTS fortifun_migration (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL
)";

/// Applies what the database lacks, and returns what was applied. The connection must be the database's own: a pooler that
/// gives it to others between transactions loses the lock. It is left with a migration's settings: nobody else's from then on.
///
/// # Errors
///
/// [`crate::store::StoreErrorKind::Schema`] where the database is newer than this program, is an older Postgres than
/// [`VERSION_MIN`], or holds tables that do not fit, each difference named; [`crate::store::StoreErrorKind::Contended`] where
/// another process migrates for too long or others' transactions hold a table. What was applied stands.
pub fn migrate(
    client: &mut Client,
    now: Timestamp,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Pending>, StoreError> {
    session::prepare(client)?;
    if inspect(client)?.is_empty() {
        return Ok(Vec::new());
    }
    session::lock(client, progress)?;
    let applied = apply_all(client, now, progress);
    session::unlock(client);
    applied
}

/// What the database lacks, in order; none where it is current. Nothing is changed.
///
/// # Errors
///
/// [`crate::store::StoreErrorKind::Schema`] where it is newer than this program.
pub fn inspect(client: &mut Client) -> Result<Vec<Pending>, StoreError> {
    let has_records: bool = client.query_one(HAS_RECORDS, &[])?.get(0);
    if !has_records {
        return missing(POSTGRES, &[]);
    }
    let rows = client.query(APPLIED, &[])?;
    let applied: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    missing(POSTGRES, &applied)
}

/// What [`migrate`] would do. Nothing is changed; messages are counted, which takes a while where there are many.
///
/// # Errors
///
/// As [`migrate`], but for other transactions.
pub fn plan(client: &mut Client) -> Result<Vec<Planned>, StoreError> {
    session::require_version(client)?;
    let pending = inspect(client)?;
    let mut planned = Vec::with_capacity(pending.len());
    for pending in pending {
        let found = match pending.name {
            "django" => adopt::foresee(client)?,
            "numbering_index" => indexes::foresee(client, indexes::NUMBERING)?,
            "numbering" => numbering::foresee(client)?,
            "indexes" => indexes::foresee(client, indexes::SERVING)?,
            "activity" => activity::foresee(client)?,
            _ => String::new(),
        };
        planned.push(Planned { pending, found });
    }
    Ok(planned)
}

/// Refuses a database to which exactly the migrations `applied` were applied, unless it is what this program was built for.
///
/// # Errors
///
/// [`crate::store::StoreErrorKind::Schema`], saying what is lacking or how much newer the database is.
pub fn check(applied: &[i64]) -> Result<(), StoreError> {
    current(&missing(POSTGRES, applied)?)
}

/// Applies what is lacking under the lock: somebody else may have been there first.
fn apply_all(
    client: &mut Client,
    now: Timestamp,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Pending>, StoreError> {
    client.batch_execute(RECORDS)?;
    let pending = inspect(client)?;
    for next in &pending {
        progress(Progress::Applying(*next));
        apply(client, next, progress).map_err(|error| inside(next, error))?;
        client.execute(
            "INSERT INTO fortifun_migration (id, name, applied_at) VALUES ($1, $2, $3)",
            &[&next.id, &next.name, &now],
        )?;
    }
    Ok(pending)
}

fn apply(
    client: &mut Client,
    next: &Pending,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    let migration = POSTGRES.iter().find(|ours| ours.id == next.id).expect("pending ones are ours");
    match migration.work {
        Work::Script(sql) => {
            session::patiently(client, progress, |client| client.batch_execute(sql))
        }
        Work::Code(carry_out) => carry_out(client, progress),
    }
}

#[cfg(test)]
mod tests;
