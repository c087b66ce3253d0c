//! Columns that many statements read, and what they become. The macros are seen by all modules of the store.

use rusqlite::{Result, Row};

use crate::model::{Card, Message};
use crate::store::Status;

/// A user's card, three columns of the table called `$user`.
macro_rules! card_columns {
    ($user:literal) => {
        concat!($user, ".id, ", $user, ".username, NULLIF(", $user, ".profile_picture, '')")
    };
}

/// A user's presence, `STATUS_COLUMNS` columns of the table called `$user`.
macro_rules! status_columns {
    ($user:literal) => {
        concat!(card_columns!($user), ", ", $user, ".is_online, ", $user, ".last_activity")
    };
}

/// A message, eleven columns of the tables called `m` and `sender`.
macro_rules! message_columns {
    () => {
        concat!(
            "m.id, m.conversation_id, m.seq, m.content, m.created_at, m.is_read,
             NULLIF(m.attachment, ''), m.client_id, ",
            card_columns!("sender")
        )
    };
}

/// How many columns `status_columns` are.
pub(super) const STATUS_COLUMNS: usize = 5;

/// Reads `card_columns` from column `at` on.
pub(super) fn card(row: &Row<'_>, at: usize) -> Result<Card> {
    Ok(Card { id: row.get(at)?, username: row.get(at + 1)?, profile_picture: row.get(at + 2)? })
}

/// Reads `status_columns` from column `at` on.
pub(super) fn status(row: &Row<'_>, at: usize) -> Result<Status> {
    Ok(Status {
        user: card(row, at)?,
        is_online: row.get::<_, Option<bool>>(at + 3)?.unwrap_or(false),
        last_activity: row.get(at + 4)?,
    })
}

/// Reads `message_columns` from column `at` on.
pub(super) fn message(row: &Row<'_>, at: usize) -> Result<Message> {
    Ok(Message {
        id: row.get(at)?,
        conversation: row.get(at + 1)?,
        seq: row.get(at + 2)?,
        content: row.get(at + 3)?,
        created_at: row.get(at + 4)?,
        is_read: row.get(at + 5)?,
        attachment: row.get(at + 6)?,
        client_id: row.get(at + 7)?,
        sender: card(row, at + 8)?,
    })
}
