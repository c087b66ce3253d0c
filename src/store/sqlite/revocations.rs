//! Which tokens are refused.

use rusqlite::{Connection, Row, params};

use super::{query, values};
use crate::limits::REVOCATIONS_PAGE;
use crate::model::{Refused, Revocation, Revoked};
use crate::store::{Outcome, Reply};
use crate::time::Timestamp;

const EXISTS: &str = "SELECT 1 FROM accounts_user WHERE id = ?1";

const FORGET: &str = "DELETE FROM fortifun_revocation WHERE until <= ?1";

const INSERT: &str = "
    INSERT INTO fortifun_revocation (user_id, jti, at, until) VALUES (?1, ?2, ?3, ?4)";

const AFTER: &str = "
    SELECT id, user_id, jti, at, until FROM fortifun_revocation
    WHERE id > ?1 AND until > ?2
    ORDER BY id LIMIT ?3";

/// Carries out [`crate::store::Request::Revoke`].
pub(super) fn revoke(
    connection: &Connection,
    revoked: &Revoked,
    until: Timestamp,
    now: Timestamp,
) -> Outcome {
    let (user, jti) = match revoked {
        Revoked::User(user) => (Some(*user), None),
        Revoked::Token(jti) => (None, Some(&**jti)),
    };
    if user.is_some() && query::first(connection, EXISTS, [user], |_| Ok(()))?.is_none() {
        return Err(Refused::UserNotFound.into());
    }
    query::run(connection, FORGET, [now])?;
    query::run(connection, INSERT, params![user, jti, now, until])?;
    Ok(Reply::Done)
}

/// Answers [`crate::store::Request::Revocations`].
pub(super) fn after(connection: &Connection, after: i64, now: Timestamp) -> Outcome {
    let read = |row: &Row<'_>| {
        let revoked = match row.get::<_, Option<_>>(1)? {
            Some(user) => Revoked::User(user),
            None => Revoked::Token(row.get(2)?),
        };
        Ok(Revocation { id: row.get(0)?, revoked, at: row.get(3)?, until: row.get(4)? })
    };
    let page = params![after, now, values::limit(REVOCATIONS_PAGE)];
    Ok(Reply::Revocations(query::all(connection, AFTER, page, read)?))
}
