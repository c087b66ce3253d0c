//! Conversations: opened, left, and as their participants see them.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use super::access;
use super::append::{self, Said};
use super::{query, rows, values};
use crate::model::{Card, Conversation, ConversationId, Refused, UserId};
use crate::store::{Failure, Opened, Outcome, Reply};
use crate::time::Timestamp;

/// What two share, active ones first.
const SHARED: &str = "
    SELECT c.id, c.is_active
    FROM conversations_conversation_participants mine
    CROSS JOIN conversations_conversation_participants theirs
        ON theirs.conversation_id = mine.conversation_id AND theirs.user_id = ?2
    JOIN conversations_conversation c ON c.id = mine.conversation_id
    WHERE mine.user_id = ?1
    ORDER BY c.is_active DESC, c.id";

const REOPEN: &str =
    "UPDATE conversations_conversation SET is_active = 1, updated_at = ?2 WHERE id = ?1";

const INSERT: &str = "
    INSERT INTO conversations_conversation (created_at, updated_at, is_active) VALUES (?1, ?1, 1)";

const JOIN: &str = "
    INSERT INTO conversations_conversation_participants (conversation_id, user_id, active_hour)
    VALUES (?1, ?2, ?3 / 3600000000)";

const LEAVE: &str = "UPDATE conversations_conversation SET is_active = 0 WHERE id = ?1";

/// A view's own columns, of a page of conversations called `page`, and its newest message.
macro_rules! view {
    ($page:expr) => {
        concat!(
            "SELECT page.id, page.created_at, page.updated_at, page.is_active, page.last_seq, page.unread, ",
            message_columns!(),
            " FROM (SELECT c.id, c.created_at, c.updated_at, c.is_active, c.last_seq, p.unread
                    FROM conversations_conversation_participants p
                    CROSS JOIN conversations_conversation c ON c.id = p.conversation_id
                    WHERE p.user_id = ?1 AND ",
            $page,
            ") page
             LEFT JOIN conversations_message m
                 ON m.conversation_id = page.id AND m.seq = page.last_seq
             LEFT JOIN accounts_user sender ON sender.id = m.sender_id
             ORDER BY page.updated_at DESC, page.id DESC"
        )
    };
}

/// How many columns of a view stand before its message.
const VIEW_COLUMNS: usize = 6;

/// True exactly for an active conversation `c` in which nobody blocks the user `?1`.
macro_rules! is_listed {
    () => {
        "c.is_active = 1
         AND NOT EXISTS (
             SELECT 1 FROM conversations_conversation_participants other
             CROSS JOIN accounts_user_blocked_users b
                 ON b.from_user_id = other.user_id AND b.to_user_id = ?1
             WHERE other.conversation_id = c.id)"
    };
}

/// Along the index of the hours that `updated_at` lies in, as far as the hour that the last of the page was active in.
const LIST: &str = view!(concat!(
    is_listed!(),
    " AND p.active_hour >= ifnull((
         SELECT mine.active_hour
         FROM conversations_conversation_participants mine
         CROSS JOIN conversations_conversation c ON c.id = mine.conversation_id
         WHERE mine.user_id = ?1 AND ",
    is_listed!(),
    " ORDER BY mine.active_hour DESC LIMIT 1 OFFSET ?2 - 1), -2147483648)
     ORDER BY c.updated_at DESC, c.id DESC LIMIT ?2"
));

const ONE: &str = view!("c.id = ?2");

const PARTICIPANTS: &str = concat!(
    "SELECT p.conversation_id, ",
    card_columns!("u"),
    " FROM json_each(?1) asked
      CROSS JOIN conversations_conversation_participants p ON p.conversation_id = asked.value
      JOIN accounts_user u ON u.id = p.user_id
      ORDER BY p.user_id"
);

/// What two users shared before they were brought together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: the conversation is new.
    Nothing,
    /// One that was left, now active again.
    Inactive,
    /// One that is active.
    Active,
}

/// The conversation of the two, new or active again where need be, and what was found.
pub(super) fn bring_together(
    connection: &Connection,
    a: UserId,
    b: UserId,
    now: Timestamp,
) -> Result<(ConversationId, Found), Failure> {
    let shared = query::first(connection, SHARED, [a, b], |row| Ok((row.get(0)?, row.get(1)?)))?;
    match shared {
        Some((id, true)) => Ok((id, Found::Active)),
        Some((id, false)) => {
            query::run(connection, REOPEN, params![id, now])?;
            Ok((id, Found::Inactive))
        }
        None => {
            query::run(connection, INSERT, [now])?;
            let id = ConversationId(connection.last_insert_rowid());
            for user in [a, b] {
                query::run(connection, JOIN, params![id, user, now])?;
            }
            Ok((id, Found::Nothing))
        }
    }
}

/// The conversations of which both are participants, active or not, by id.
pub(super) fn shared(
    connection: &Connection,
    a: UserId,
    b: UserId,
) -> Result<Vec<ConversationId>, Failure> {
    let mut ids: Vec<ConversationId> = query::all(connection, SHARED, [a, b], |row| row.get(0))?;
    ids.sort_unstable();
    Ok(ids)
}

/// Carries out [`crate::store::Request::Open`].
pub(super) fn open(
    connection: &Connection,
    (creator, participant): (UserId, UserId),
    content: &str,
    client_id: Option<&str>,
    now: Timestamp,
) -> Outcome {
    let (sender, _) = access::two(connection, creator, participant)?;
    access::unblocked(connection, creator, participant)?;
    let (conversation, found) = bring_together(connection, creator, participant, now)?;
    let said = Said { conversation, content, attachment: None, client_id };
    let stored = append::known(connection, creator, &said)?;
    let duplicate = stored.is_some();
    let message = match stored {
        Some(message) => message,
        None => append::store(connection, sender, &said, now)?,
    };
    let for_participant = match found {
        Found::Active => None,
        Found::Nothing | Found::Inactive => Some(view(connection, participant, conversation)?),
    };
    Ok(Reply::Opened(Box::new(Opened {
        conversation: view(connection, creator, conversation)?,
        for_participant,
        message,
        duplicate,
    })))
}

/// Carries out [`crate::store::Request::Leave`].
pub(super) fn leave(
    connection: &Connection,
    conversation: ConversationId,
    user: UserId,
) -> Outcome {
    access::place(connection, conversation, user)?.readable()?;
    query::run(connection, LEAVE, [conversation])?;
    Ok(Reply::Left { conversation })
}

/// Answers [`crate::store::Request::Conversations`] in three statements, however many there are.
pub(super) fn list(connection: &Connection, user: UserId, limit: usize) -> Outcome {
    access::active(connection, user)?;
    let page = params![user, values::limit(limit)];
    let mut views = query::all(connection, LIST, page, conversation)?;
    seat(connection, &mut views)?;
    Ok(Reply::Conversations(views))
}

/// Answers [`crate::store::Request::Conversation`].
pub(super) fn one(connection: &Connection, user: UserId, id: ConversationId) -> Outcome {
    access::place(connection, id, user)?.readable()?;
    Ok(Reply::Conversations(vec![view(connection, user, id)?]))
}

/// A conversation as its participant `viewer` sees it.
fn view(
    connection: &Connection,
    viewer: UserId,
    id: ConversationId,
) -> Result<Conversation, Failure> {
    let mut views = query::all(connection, ONE, params![viewer, id], conversation)?;
    seat(connection, &mut views)?;
    Ok(views.pop().ok_or(Refused::ConversationNotFound)?)
}

/// Fills in the participants of all `views`.
fn seat(connection: &Connection, views: &mut [Conversation]) -> Result<(), Failure> {
    let ids = values::json(views.iter().map(|view| view.id.0));
    let read = |row: &Row<'_>| Ok((row.get(0)?, rows::card(row, 1)?));
    let mut seats: BTreeMap<ConversationId, Vec<Card>> = BTreeMap::new();
    for (conversation, card) in query::all(connection, PARTICIPANTS, [ids], read)? {
        seats.entry(conversation).or_default().push(card);
    }
    for view in views {
        view.participants = seats.remove(&view.id).unwrap_or_default();
    }
    Ok(())
}

/// A view whose participants are still to be filled in.
fn conversation(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    let has_message = row.get::<_, Option<i64>>(VIEW_COLUMNS)?.is_some();
    Ok(Conversation {
        id: row.get(0)?,
        participants: Vec::new(),
        created_at: row.get(1)?,
        updated_at: row.get(2)?,
        is_active: row.get(3)?,
        last_message: has_message.then(|| rows::message(row, VIEW_COLUMNS)).transpose()?,
        last_seq: row.get(4)?,
        unread_count: row.get::<_, i64>(5)? as u64,
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::store::sqlite::connection::open;
    use crate::store::{Lane, schema};

    /// User 1 and as many others as conversations, two in each hour.
    const TALKS: &str = "
        INSERT INTO accounts_user (id, password, is_superuser, username, first_name, last_name,
            email, is_staff, is_active, date_joined)
        SELECT value, '!', 0, 'user' || value, '', '', '', 0, 1, 0
        FROM user;
        INSERT INTO conversations_conversation (id, created_at, updated_at, is_active)
        SELECT value, 0, value * 1800000000, value % 7 > 0 FROM talk;
        INSERT INTO conversations_conversation_participants (conversation_id, user_id, active_hour)
        SELECT id, 1, updated_at / 3600000000 FROM conversations_conversation
        UNION ALL SELECT id, id + 1, updated_at / 3600000000 FROM conversations_conversation";

    /// How many steps SQLite takes to find the newest 20 of so many.
    fn steps(conversations: u32) -> i32 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        schema::sqlite::migrate(&path, Timestamp(0), &mut |_| ()).unwrap();
        let connection = open(&path, Lane::Write).unwrap();
        for (numbers, end) in [("user", conversations + 1), ("talk", conversations)] {
            let numbers = format!(
                "CREATE TEMP TABLE {numbers} AS
                 WITH RECURSIVE number (value) AS (
                     SELECT 1 UNION ALL SELECT value + 1 FROM number WHERE value < {end})
                 SELECT value FROM number"
            );
            connection.execute_batch(&numbers).unwrap();
        }
        connection.execute_batch(TALKS).unwrap();
        let page = params![UserId(1), 20];
        let list = query::all(&connection, LIST, page, conversation).unwrap();
        assert_eq!(list.len(), 20);
        connection.prepare_cached(LIST).unwrap().get_status(StatementStatus::VmStep)
    }

    #[test]
    fn a_list_costs_what_it_shows_however_many_there_are() {
        let (few, many) = (steps(100), steps(4_000));
        assert!(many < few + few / 4, "{few} steps became {many}");
    }
}
