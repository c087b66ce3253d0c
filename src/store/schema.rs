//! The numbered migrations, and which of them a database lacks.
//!
//! Each is built in, applied in order and recorded in `fortifun_migration`. A database that records a migration this program does
//! not know was written by a newer one and is refused. How they are applied is each database's own: `sqlite`, `postgres`.

pub mod postgres;
pub mod sqlite;

use super::{StoreError, StoreErrorKind};

/// A migration as it is built in.
struct Migration<Work> {
    /// Its number: 1, 2, 3 …
    id: i64,
    /// Its file's or module's name without the number.
    name: &'static str,
    /// What it does, for people; a sentence without its end.
    what: &'static str,
    /// What it does.
    work: Work,
}

/// A migration that a database lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Its number.
    pub id: i64,
    /// Its name, without the number.
    pub name: &'static str,
    /// What it does, for people; a sentence without its end.
    pub what: &'static str,
}

/// A migration that would be applied, and how much there is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Which.
    pub pending: Pending,
    /// What was found that bears on it: rows to number, indexes to make; empty where there is nothing to add.
    pub found: String,
}

/// What is heard of a migration under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Another process migrates this database: it is waited for.
    Waiting,
    /// This one comes next.
    Applying(Pending),
    /// Others' transactions hold what the migration needs: it lets go and tries again, so that nobody queues behind it.
    Busy,
    /// An index is made, beside the writers.
    Indexing(&'static str),
    /// Messages are given their places.
    Numbering {
        /// Those that have theirs.
        done: u64,
        /// Those there were when this run began to number; others may have come since.
        total: u64,
    },
    /// Participants are told in which hour their conversation was last active.
    Filling {
        /// Those that were.
        done: u64,
        /// Those there were when this run began to fill in.
        total: u64,
    },
}

impl<Work> Migration<Work> {
    fn pending(&self) -> Pending {
        Pending { id: self.id, name: self.name, what: self.what }
    }
}

/// Refuses a database that lacks something.
fn current(pending: &[Pending]) -> Result<(), StoreError> {
    match pending.first() {
        None => Ok(()),
        Some(Pending { id, name, .. }) => Err(StoreError {
            kind: StoreErrorKind::Schema,
            detail: format!("the database lacks migration {id} ({name}): run `fortifun migrate`"),
        }),
    }
}

/// An error that says in which migration; what a statement of it broke is the schema's.
fn inside(pending: &Pending, StoreError { kind, detail }: StoreError) -> StoreError {
    let kind = match kind {
        StoreErrorKind::Internal | StoreErrorKind::Poisoned => StoreErrorKind::Schema,
        kind => kind,
    };
    let detail = format!("migration {} ({}): {detail}", pending.id, pending.name);
    StoreError { kind, detail }
}

/// Which of `ours` are not in `applied`, in order.
fn missing<Work>(ours: &[Migration<Work>], applied: &[i64]) -> Result<Vec<Pending>, StoreError> {
    let newest = ours.last().map_or(0, |migration| migration.id);
    if let Some(theirs) = applied.iter().find(|id| **id > newest) {
        return Err(StoreError {
            kind: StoreErrorKind::Schema,
            detail: format!(
                "the database has migration {theirs}, this program knows migrations up to {newest}: \
                 it was written by a newer version"
            ),
        });
    }
    let lacks = |migration: &&Migration<Work>| !applied.contains(&migration.id);
    Ok(ours.iter().filter(lacks).map(Migration::pending).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &[Migration<()>] = &[
        Migration { id: 1, name: "one", what: "does one thing", work: () },
        Migration { id: 2, name: "two", what: "does another", work: () },
    ];

    #[test]
    fn what_is_missing_is_told_in_order_and_what_is_newer_is_refused_by_both_numbers() {
        let ids = |applied: &[i64]| {
            missing(OURS, applied).map(|pending| pending.iter().map(|p| p.id).collect())
        };
        assert_eq!(ids(&[]), Ok(vec![1, 2]));
        assert_eq!(ids(&[1]), Ok(vec![2]));
        assert_eq!(ids(&[2, 1]), Ok(vec![]));
        let error = ids(&[1, 2, 900]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Schema);
        assert!(error.detail.contains("900") && error.detail.contains("up to 2"), "{error}");
    }

    #[test]
    fn a_database_that_lacks_something_is_refused_with_the_command() {
        assert_eq!(current(&[]), Ok(()));
        let error = current(&missing(OURS, &[1]).unwrap()).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Schema);
        assert!(error.detail.contains("2 (two)") && error.detail.contains("fortifun migrate"));
    }
}
