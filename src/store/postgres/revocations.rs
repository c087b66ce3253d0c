//! Which tokens are refused.

use postgres::Row;

use super::session::Session;
use super::values;
use crate::limits::REVOCATIONS_PAGE;
use crate::model::{Refused, Revocation, Revoked, UserId};
use crate::store::{Outcome, Reply};
use crate::time::Timestamp;

const EXISTS: &str = "SELECT 1 FROM accounts_user WHERE id = $1";

/// Whoever adds one is alone until the commit: so numbers are seen in their order, and a reader that has seen one has seen all
/// before it.
const LOCK: &str = "LOCK TABLE fortifun_revocation IN SHARE ROW EXCLUSIVE MODE";

const FORGET: &str = "DELETE FROM fortifun_revocation WHERE until <= $1";

const INSERT: &str = "
    INSERT INTO fortifun_revocation (user_id, jti, at, until) VALUES ($1, $2, $3, $4)";

const AFTER: &str = "
    SELECT id, user_id, jti, at, until FROM fortifun_revocation
    WHERE id > $1 AND until > $2
    ORDER BY id LIMIT $3";

/// Carries out [`crate::store::Request::Revoke`], in a transaction.
pub(super) fn revoke(
    session: &mut Session,
    revoked: &Revoked,
    until: Timestamp,
    now: Timestamp,
) -> Outcome {
    let (user, jti) = match revoked {
        Revoked::User(user) => (Some(*user), None),
        Revoked::Token(jti) => (None, Some(&**jti)),
    };
    if let Some(user) = user
        && session.first(EXISTS, &[&user], |_| ())?.is_none()
    {
        return Err(Refused::UserNotFound.into());
    }
    session.script(LOCK)?;
    session.run(FORGET, &[&now])?;
    session.run(INSERT, &[&user, &jti, &now, &until])?;
    Ok(Reply::Done)
}

/// Answers [`crate::store::Request::Revocations`].
pub(super) fn after(session: &mut Session, after: i64, now: Timestamp) -> Outcome {
    let read = |row: Row| {
        let revoked = match row.get::<_, Option<UserId>>(1) {
            Some(user) => Revoked::User(user),
            None => Revoked::Token(row.get::<_, &str>(2).into()),
        };
        Revocation { id: row.get(0), revoked, at: row.get(3), until: row.get(4) }
    };
    let limit = values::limit(REVOCATIONS_PAGE);
    Ok(Reply::Revocations(session.all(AFTER, &[&after, &now, &limit], read)?))
}
