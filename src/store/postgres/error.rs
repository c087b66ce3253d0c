//! What Postgres says, in the port's words.
//!
//! The detail holds the SQLSTATE, the server's sentence and the constraint: never its `DETAIL`, which quotes rows.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;

use postgres::Error;
use postgres::error::{DbError, Severity};

use super::client::Fault;
use crate::store::{StoreError, StoreErrorKind};

/// The unique indexes in which another node can be faster: the next try sees what it stored.
const RACED: [&str; 2] = ["conversations_message_client_id", "conversations_message_seq"];

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error.as_db_error() {
            Some(said) => Self { kind: kind_of(said), detail: sentence(said) },
            None => Self { kind: kind_without_word(&error), detail: chain(&error) },
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        let detail = match fault {
            Fault::Told(error) => return error.into(),
            Fault::Late(patience) => format!("no answer within {} ms", patience.as_millis()),
            Fault::Runtime(error) => error.to_string(),
        };
        Self { kind: StoreErrorKind::Unavailable, detail }
    }
}

/// An error of a statement that commits: where the connection went with it, the server may have committed all the same.
pub(super) fn at_commit(fault: Fault) -> StoreError {
    let is_lost = match &fault {
        Fault::Told(error) => error.as_db_error().is_none_or(is_fatal),
        Fault::Late(_) | Fault::Runtime(_) => true,
    };
    let error = StoreError::from(fault);
    match error.kind {
        StoreErrorKind::Unavailable if is_lost => {
            StoreError { kind: StoreErrorKind::Unknown, ..error }
        }
        _ => error,
    }
}

/// True exactly when a session is of no use after `error`: the connection is gone, what it prepared does not hold any more, or
/// the server has become one that is only read.
pub(super) fn ends_session(fault: &Fault) -> bool {
    let Fault::Told(error) = fault else { return true };
    match error.as_db_error() {
        Some(said) => is_fatal(said) || matches!(said.code().code(), "0A000" | "26000" | "25006"),
        None => true,
    }
}

/// An error of opening a connection: it may be gone at the next try, unless the two do not know or believe each other.
pub(super) fn at_connect(fault: impl Into<Fault>) -> StoreError {
    let fault = fault.into();
    let is_denial = matches!(&fault, Fault::Told(error) if is_denial(error));
    let kind = if is_denial { StoreErrorKind::Denied } else { StoreErrorKind::Unavailable };
    StoreError { kind, ..fault.into() }
}

/// True exactly when somebody has to mend a setting, here or there: a password, a right, a name, a certificate.
fn is_denial(error: &Error) -> bool {
    if let Some(said) = error.as_db_error() {
        let state = said.code().code();
        return state.starts_with("28") || ["3D000", "42501"].contains(&state);
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        // A password that the server asks for, and nobody set.
        if error.to_string() == "password missing" {
            return true;
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if matches!(inner, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What the server said.
fn kind_of(said: &DbError) -> StoreErrorKind {
    // The connection is gone with the sentence, whatever the sentence is.
    if is_fatal(said) {
        return StoreErrorKind::Unavailable;
    }
    kind_of_state(said.code().code(), said.constraint())
}

fn is_fatal(said: &DbError) -> bool {
    matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// By SQLSTATE (PostgreSQL manual, appendix A).
fn kind_of_state(state: &str, constraint: Option<&str>) -> StoreErrorKind {
    match state {
        // Out of memory, connections or locks; a read that failed: may be better in a moment.
        "53200" | "53300" | "53400" | "58000" | "58030" | "57P01" | "57P02" | "57P03" | "57P04"
        | "57P05" | "25P03" => StoreErrorKind::Unavailable,
        "53000" | "53100" | "25006" | "42501" => StoreErrorKind::NotWritable,
        // A statement that was prepared before a migration, or that a proxy has forgotten, is prepared anew.
        "40001" | "40P01" | "40003" | "55P03" | "55006" | "0A000" | "26000" => {
            StoreErrorKind::Contended
        }
        "57014" => StoreErrorKind::TimedOut,
        "3F000" | "42P01" | "42P10" | "42703" | "42704" | "42804" | "42883" => {
            StoreErrorKind::Schema
        }
        "23505" if constraint.is_some_and(|name| RACED.contains(&name)) => {
            StoreErrorKind::Contended
        }
        _ => match state.get(..2).unwrap_or_default() {
            "08" => StoreErrorKind::Unavailable,
            // A value that does not fit, a constraint, a row too wide for an index, a trigger's refusal.
            "22" | "23" | "54" | "P0" => StoreErrorKind::Poisoned,
            _ => StoreErrorKind::Internal,
        },
    }
}

/// Where the server said nothing.
fn kind_without_word(error: &Error) -> StoreErrorKind {
    let is_io =
        |error: &Error| error.source().is_some_and(<dyn std::error::Error>::is::<io::Error>);
    if error.is_closed() || is_io(error) {
        StoreErrorKind::Unavailable
    } else {
        StoreErrorKind::Internal
    }
}

fn sentence(said: &DbError) -> String {
    let mut sentence = format!("{} {}", said.code().code(), said.message());
    if let Some(constraint) = said.constraint() {
        let _ = write!(sentence, " ({constraint})");
    }
    sentence
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use fortifun_fixtures::Postgres;

    use super::*;

    #[test]
    fn every_state_has_its_kind() {
        use StoreErrorKind::{
            Contended, Internal, NotWritable, Poisoned, Schema, TimedOut, Unavailable,
        };
        for (state, expect) in [
            ("08006", Unavailable),
            ("53200", Unavailable),
            ("53300", Unavailable),
            ("57P01", Unavailable),
            ("57P03", Unavailable),
            ("58030", Unavailable),
            ("53100", NotWritable),
            ("25006", NotWritable),
            ("42501", NotWritable),
            ("40001", Contended),
            ("40P01", Contended),
            ("55P03", Contended),
            ("0A000", Contended),
            ("26000", Contended),
            ("57014", TimedOut),
            ("3F000", Schema),
            ("42P01", Schema),
            ("42703", Schema),
            ("42883", Schema),
            ("22001", Poisoned),
            ("22021", Poisoned),
            ("23502", Poisoned),
            ("23503", Poisoned),
            ("23505", Poisoned),
            ("23514", Poisoned),
            ("54000", Poisoned),
            ("P0001", Poisoned),
            ("42601", Internal),
            ("XX000", Internal),
            ("XX001", Internal),
            ("", Internal),
        ] {
            assert_eq!(kind_of_state(state, Some("some_constraint")), expect, "{state}");
        }
        for index in RACED {
            assert_eq!(kind_of_state("23505", Some(index)), Contended, "{index}");
            assert_eq!(kind_of_state("23503", Some(index)), Poisoned, "{index}");
        }
    }

    #[test]
    fn what_the_server_says_is_told_without_the_rows_it_quotes() {
        let database = Postgres::shared().database();
        let mut client = database.connect();
        client.batch_execute("CREATE TABLE t (n text CONSTRAINT once UNIQUE)").unwrap();
        let mut fails = |sql: &str| {
            let error = client.batch_execute(sql).unwrap_err();
            let fault = Fault::from(error);
            (ends_session(&fault), StoreError::from(fault))
        };
        let (ended, error) = fails("INSERT INTO t VALUES ('secret'), ('secret')");
        assert_eq!((ended, error.kind), (false, StoreErrorKind::Poisoned));
        assert!(error.detail.starts_with("23505 ") && error.detail.ends_with(" (once)"), "{error}");
        assert!(!error.detail.contains("secret"), "{error}");
        let (ended, error) = fails("SELECT 1 FROM nowhere");
        assert_eq!((ended, error.kind), (false, StoreErrorKind::Schema));
        let (ended, error) = fails("SET statement_timeout = 10; SELECT pg_sleep(60)");
        assert_eq!((ended, error.kind), (false, StoreErrorKind::TimedOut));
        let (ended, error) = fails("BEGIN READ ONLY; INSERT INTO t VALUES ('x')");
        assert_eq!((ended, error.kind), (true, StoreErrorKind::NotWritable));
    }

    #[test]
    fn an_end_is_unknown_only_where_the_connection_was_lost_with_the_commit() {
        let database = Postgres::shared().database();
        let lose = "SELECT pg_terminate_backend(pg_backend_pid())";
        let lost = || Fault::from(database.connect().batch_execute(lose).unwrap_err());
        assert!(ends_session(&lost()));
        assert_eq!(StoreError::from(lost()).kind, StoreErrorKind::Unavailable);
        assert_eq!(at_commit(lost()).kind, StoreErrorKind::Unknown);
        let mut client = database.connect();
        let gone = client.batch_execute(lose).and_then(|()| client.batch_execute("SELECT 1"));
        assert!(gone.is_err());
        let closed = client.batch_execute("SELECT 1").unwrap_err();
        assert_eq!(at_commit(closed.into()).kind, StoreErrorKind::Unknown);
        let refused = database.connect().batch_execute("SELECT 1 FROM nowhere").unwrap_err();
        assert_eq!(at_commit(refused.into()).kind, StoreErrorKind::Schema);
    }
}
