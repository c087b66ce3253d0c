//! What was stored of a batch whose commit was not answered.

use rusqlite::{Connection, params};

use super::{query, rows};
use crate::model::{Message, UserId};
use crate::store::settle::{conversations, pair};
use crate::store::{Reply, Request, StoreError};
use crate::time::Timestamp;

/// Walks the whole conversation: it is asked only where the disk failed, and an index on the time would cost every message.
const STORED: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM conversations_message m
      JOIN accounts_user sender ON sender.id = m.sender_id
      WHERE m.conversation_id = ?1 AND m.created_at = ?2
      ORDER BY m.seq"
);

const PARTICIPANTS: &str = "
    SELECT user_id FROM conversations_conversation_participants
    WHERE conversation_id = ?1 ORDER BY user_id";

/// Carries out [`crate::store::Store::settle`].
pub(super) fn settle(
    connection: &Connection,
    batch: &[Request],
    at: Timestamp,
) -> Result<Vec<Option<Reply>>, StoreError> {
    let mut stored = Vec::new();
    for conversation in conversations(batch) {
        let of_batch = params![conversation, at];
        stored.extend(query::all(connection, STORED, of_batch, |row| rows::message(row, 0))?);
    }
    let appended = |(message, duplicate): (Message, bool)| {
        let participants: Vec<UserId> =
            query::all(connection, PARTICIPANTS, [message.conversation], |row| row.get(0))?;
        Ok(Reply::Appended { message, participants, duplicate })
    };
    pair(batch, stored).into_iter().map(|found| found.map(appended).transpose()).collect()
}
