//! Why the store has no reply.

use std::fmt;

use crate::model::Refused;

/// Why a request has no reply.
#[derive(Clone, PartialEq, Debug)]
pub enum Failure {
    /// The asker may not, or what is asked for is not there.
    Refused(Refused),
    /// The database could not.
    Store(StoreError),
}

/// What went wrong in the database.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct StoreError {
    /// Which kind, for the outcome and the metrics.
    pub kind: StoreErrorKind,
    /// What the database said, for the log alone.
    pub detail: String,
}

/// The kinds of [`StoreError`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StoreErrorKind {
    /// Not reachable, shutting down or not taking connections; worth a retry.
    Unavailable,
    /// It does not let this program in: a password, a name, a certificate. Whoever set them has to mend it.
    Denied,
    /// The connection was lost while a commit was under way: it may have been stored.
    Unknown,
    /// Locked, deadlocked or not serialisable; worth an immediate retry.
    Contended,
    /// A statement ran past its time.
    TimedOut,
    /// No room, or opened read-only.
    NotWritable,
    /// Newer than this program, or lacks a migration.
    Schema,
    /// One request broke a constraint: the others of its batch are retried without it.
    Poisoned,
    /// Anything else.
    Internal,
}

impl StoreErrorKind {
    /// The label of this kind in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::Unknown => "unknown",
            Self::Contended => "contended",
            Self::TimedOut => "timed_out",
            Self::NotWritable => "not_writable",
            Self::Schema => "schema",
            Self::Poisoned => "poisoned",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
