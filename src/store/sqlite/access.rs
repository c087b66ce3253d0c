//! Who somebody is, and whether they may: what requests ask before they do anything.

use rusqlite::{Connection, Row, params};

use super::query;
use super::rows::{self, STATUS_COLUMNS};
use crate::model::{Card, ConversationId, Refused, Seq, UserId};
use crate::store::Failure;
use crate::store::place::{Member, Place};

const PLACE: &str = concat!(
    "SELECT ",
    status_columns!("u"),
    ", p.last_read_seq, c.is_active, c.last_seq, u.is_active,
         EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                 WHERE b.from_user_id = ?2 AND b.to_user_id = p.user_id),
         EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                 WHERE b.from_user_id = p.user_id AND b.to_user_id = ?2)
     FROM conversations_conversation c
     JOIN conversations_conversation_participants p ON p.conversation_id = c.id
     JOIN accounts_user u ON u.id = p.user_id
     WHERE c.id = ?1
     ORDER BY p.user_id"
);

const ACTIVE: &str = concat!(
    "SELECT ",
    card_columns!("u"),
    " FROM accounts_user u WHERE u.id = ?1 AND u.is_active = 1"
);

const IS_BLOCKED: &str = "
    SELECT EXISTS (SELECT 1 FROM accounts_user_blocked_users
                   WHERE from_user_id = ?1 AND to_user_id = ?2)";

/// Looks without judging: see [`Place::readable`] and [`Place::speakable`].
///
/// # Errors
///
/// Refused as `ConversationNotFound` where there is none.
pub(super) fn place(
    connection: &Connection,
    conversation: ConversationId,
    asker: UserId,
) -> Result<Place, Failure> {
    let read = |row: &Row<'_>| {
        let is_active: bool = row.get(STATUS_COLUMNS + 1)?;
        let last_seq: Seq = row.get(STATUS_COLUMNS + 2)?;
        let member = Member {
            status: rows::status(row, 0)?,
            last_read_seq: row.get(STATUS_COLUMNS)?,
            is_active: row.get(STATUS_COLUMNS + 3)?,
            is_blocked_by_asker: row.get(STATUS_COLUMNS + 4)?,
            blocks_asker: row.get(STATUS_COLUMNS + 5)?,
        };
        Ok((is_active, last_seq, member))
    };
    let found = query::all(connection, PLACE, params![conversation, asker], read)?;
    let Some(&(is_active, last_seq, _)) = found.first() else {
        return Err(Refused::ConversationNotFound.into());
    };
    let members = found.into_iter().map(|(_, _, member)| member).collect();
    Ok(Place { last_seq, members, asker, is_active })
}

/// The card of an active user.
pub(super) fn active(connection: &Connection, user: UserId) -> Result<Card, Failure> {
    let card = query::first(connection, ACTIVE, [user], |row| rows::card(row, 0))?;
    Ok(card.ok_or(Refused::UserNotFound)?)
}

/// The cards of two different, active users.
pub(super) fn two(connection: &Connection, a: UserId, b: UserId) -> Result<(Card, Card), Failure> {
    if a == b {
        return Err(Refused::Oneself.into());
    }
    Ok((active(connection, a)?, active(connection, b)?))
}

/// True exactly when `blocker` blocks `blocked`.
pub(super) fn is_blocked(
    connection: &Connection,
    blocker: UserId,
    blocked: UserId,
) -> Result<bool, Failure> {
    Ok(query::one(connection, IS_BLOCKED, [blocker, blocked], |row| row.get(0))?)
}

/// Refuses two of whom one blocks the other.
pub(super) fn unblocked(connection: &Connection, a: UserId, b: UserId) -> Result<(), Failure> {
    if is_blocked(connection, a, b)? || is_blocked(connection, b, a)? {
        return Err(Refused::UserBlocked.into());
    }
    Ok(())
}
