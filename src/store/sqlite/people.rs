//! Users: added, found, admitted, watched.

use rusqlite::{Connection, Row, params};

use super::access;
use super::{query, rows, values};
use crate::model::{Card, ConversationId, Refused, UserId};
use crate::store::{Admission, Outcome, Reply};
use crate::time::Timestamp;

const TAKEN: &str = "SELECT 1 FROM accounts_user WHERE username = ?1";

/// A password that starts with `!` is Django's "unusable": nobody logs in with it.
const INSERT: &str = "
    INSERT INTO accounts_user
        (password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
         date_joined, is_online)
    VALUES ('!' || lower(hex(randomblob(20))), 0, ?1, ?2, ?3, '', 0, 1, ?4, 0)";

const FIND: &str = concat!(
    "SELECT ",
    card_columns!("u"),
    " FROM accounts_user u WHERE u.username = ?1 AND u.is_active = 1"
);

const WATCH: &str = concat!(
    "SELECT DISTINCT ",
    status_columns!("u"),
    " FROM conversations_conversation_participants mine
      JOIN conversations_conversation c ON c.id = mine.conversation_id AND c.is_active = 1
      CROSS JOIN conversations_conversation_participants theirs
          ON theirs.conversation_id = c.id AND theirs.user_id <> ?1
      JOIN accounts_user u ON u.id = theirs.user_id
      WHERE mine.user_id = ?1
        AND theirs.user_id IN (SELECT asked.value FROM json_each(?2) asked)
        AND NOT EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                        WHERE b.from_user_id = ?1 AND b.to_user_id = theirs.user_id)
        AND NOT EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                        WHERE b.from_user_id = theirs.user_id AND b.to_user_id = ?1)
      ORDER BY u.id"
);

/// Carries out [`crate::store::Request::AddUser`].
pub(super) fn add_user(
    connection: &Connection,
    username: &str,
    first_name: &str,
    last_name: &str,
    now: Timestamp,
) -> Outcome {
    if query::first(connection, TAKEN, [username], |_| Ok(()))?.is_some() {
        return Err(Refused::NameTaken.into());
    }
    query::run(connection, INSERT, params![username, first_name, last_name, now])?;
    let id = UserId(connection.last_insert_rowid());
    Ok(Reply::UserAdded(Card { id, username: username.into(), profile_picture: None }))
}

/// Answers [`crate::store::Request::FindUser`].
pub(super) fn find(connection: &Connection, username: &str) -> Outcome {
    let card = query::first(connection, FIND, [username], |row| rows::card(row, 0))?;
    Ok(Reply::UserAdded(card.ok_or(Refused::UserNotFound)?))
}

/// Answers [`crate::store::Request::Admit`].
pub(super) fn admit(
    connection: &Connection,
    user: UserId,
    conversation: Option<ConversationId>,
) -> Outcome {
    let card = access::active(connection, user)?;
    let Some(id) = conversation else {
        return Ok(Reply::Admitted { user: card, conversation: None });
    };
    let place = access::place(connection, id, user)?;
    place.readable()?;
    let silenced = place.is_silent();
    let last_seq = place.last_seq;
    let others = place.members.into_iter().map(|member| member.status);
    let others = others.filter(|status| status.user.id != user && !silenced).collect();
    let admission = Admission { id, last_seq, silenced, others };
    Ok(Reply::Admitted { user: card, conversation: Some(admission) })
}

/// Answers [`crate::store::Request::Watch`] in one walk over the watcher's own conversations.
pub(super) fn watch(connection: &Connection, user: UserId, users: &[UserId]) -> Outcome {
    let asked = values::json(users.iter().map(|user| user.0));
    let status = |row: &Row<'_>| rows::status(row, 0);
    Ok(Reply::Watched(query::all(connection, WATCH, params![user, asked], status)?))
}
