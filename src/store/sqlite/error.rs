//! What SQLite says, in the port's words.

use rusqlite::{Error, ErrorCode};

use crate::store::{Failure, StoreError, StoreErrorKind};

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self { kind: kind(&error), detail: error.to_string() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error.into())
    }
}

/// An error of `COMMIT`: where the log could not be written or synced, the next start may find the transaction in it.
pub(super) fn at_commit(error: Error) -> StoreError {
    let error = StoreError::from(error);
    match error.kind {
        StoreErrorKind::Unavailable => StoreError { kind: StoreErrorKind::Unknown, ..error },
        _ => error,
    }
}

fn kind(error: &Error) -> StoreErrorKind {
    let (cause, detail) = match error {
        Error::SqliteFailure(cause, detail) => (cause, detail.as_deref().unwrap_or_default()),
        Error::SqlInputError { error, msg, .. } => (error, msg.as_str()),
        _ => return StoreErrorKind::Internal,
    };
    match cause.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SchemaChanged => {
            StoreErrorKind::Contended
        }
        ErrorCode::OperationInterrupted => StoreErrorKind::TimedOut,
        ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            StoreErrorKind::NotWritable
        }
        ErrorCode::CannotOpen | ErrorCode::SystemIoFailure => StoreErrorKind::Unavailable,
        ErrorCode::ConstraintViolation | ErrorCode::TooBig => StoreErrorKind::Poisoned,
        _ if detail.starts_with("no such table") || detail.starts_with("no such column") => {
            StoreErrorKind::Schema
        }
        _ => StoreErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, ffi};

    use super::*;

    fn failure(code: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn every_code_has_its_kind() {
        for (code, expect) in [
            (ffi::SQLITE_BUSY, StoreErrorKind::Contended),
            (ffi::SQLITE_BUSY_SNAPSHOT, StoreErrorKind::Contended),
            (ffi::SQLITE_LOCKED, StoreErrorKind::Contended),
            (ffi::SQLITE_INTERRUPT, StoreErrorKind::TimedOut),
            (ffi::SQLITE_FULL, StoreErrorKind::NotWritable),
            (ffi::SQLITE_READONLY, StoreErrorKind::NotWritable),
            (ffi::SQLITE_PERM, StoreErrorKind::NotWritable),
            (ffi::SQLITE_CANTOPEN, StoreErrorKind::Unavailable),
            (ffi::SQLITE_IOERR_FSYNC, StoreErrorKind::Unavailable),
            (ffi::SQLITE_CONSTRAINT_CHECK, StoreErrorKind::Poisoned),
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, StoreErrorKind::Poisoned),
            (ffi::SQLITE_TOOBIG, StoreErrorKind::Poisoned),
            (ffi::SQLITE_CORRUPT, StoreErrorKind::Internal),
            (ffi::SQLITE_NOTADB, StoreErrorKind::Internal),
            (ffi::SQLITE_NOMEM, StoreErrorKind::Internal),
        ] {
            assert_eq!(StoreError::from(failure(code)).kind, expect, "{code}");
        }
    }

    #[test]
    fn a_commit_that_could_not_be_synced_may_have_been_stored() {
        assert_eq!(at_commit(failure(ffi::SQLITE_IOERR_FSYNC)).kind, StoreErrorKind::Unknown);
        assert_eq!(at_commit(failure(ffi::SQLITE_FULL)).kind, StoreErrorKind::NotWritable);
        assert_eq!(at_commit(failure(ffi::SQLITE_BUSY)).kind, StoreErrorKind::Contended);
    }

    #[test]
    fn a_table_that_is_not_there_is_the_schemas_fault() {
        let connection = Connection::open_in_memory().unwrap();
        let error = connection.prepare("SELECT 1 FROM nowhere").unwrap_err();
        assert_eq!(StoreError::from(error).kind, StoreErrorKind::Schema);
    }
}
