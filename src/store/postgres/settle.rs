//! What became of messages whose commit ended without an answer.

use std::collections::HashMap;

use super::session::{Backend, Session};
use super::{locks, rows};
use crate::model::{ConversationId, Message, UserId};
use crate::store::settle::{conversations, pair};
use crate::store::{Reply, Request, StoreError, StoreErrorKind};
use crate::time::Timestamp;

/// How long the server may take to end what it was doing, ms.
const PATIENCE_MS: i64 = 2_000;

/// How many columns a message is.
const MESSAGE_COLUMNS: usize = 11;

/// Ends the server's side of a connection that was lost: it may not have read yet what was sent to it, and would carry it out
/// after we looked. No row where it has ended by itself, or was another server's.
const END: &str = "
    SELECT pg_terminate_backend(a.pid, $3) FROM pg_stat_activity a
    WHERE a.pid = $1 AND a.backend_start::text = $2";

/// The messages of $1 conversations that were stored at $2, in order, among the newest of each; others may have come since, but
/// not that many.
const STORED: &str = concat!(
    "SELECT ",
    message_columns!(),
    ",
        ARRAY(SELECT p.user_id FROM conversations_conversation_participants p
              WHERE p.conversation_id = m.conversation_id ORDER BY p.user_id)
     FROM unnest($1::bigint[]) AS asked (id)
     CROSS JOIN LATERAL (
         SELECT * FROM conversations_message m
         WHERE m.conversation_id = asked.id ORDER BY m.seq DESC LIMIT 4096
     ) m
     ",
    join_sender!(),
    "
     WHERE m.created_at = $2
     ORDER BY m.conversation_id, m.seq"
);

/// Carries out [`crate::store::Store::settle`]; `lost` is the connection that the commit was sent on. The conversations are
/// locked before anything is looked at: nobody is in the middle of storing into them.
pub(super) fn settle(
    session: &mut Session,
    batch: &[Request],
    at: Timestamp,
    lost: Option<&Backend>,
) -> Result<Vec<Option<Reply>>, StoreError> {
    if let Some(Backend { pid, started }) = lost {
        let ended = session.first(END, &[pid, started, &PATIENCE_MS], |row| row.get(0))?;
        if ended == Some(false) {
            let detail = "the server still works on the commit".to_owned();
            return Err(StoreError { kind: StoreErrorKind::Contended, detail });
        }
    }
    let conversations = conversations(batch);
    let ids = conversations.iter().map(|id| id.0);
    session.begin(&locks::statement("conversations_conversation", ids))?;
    let found = session.all(STORED, &[&conversations, &at], |row| {
        (rows::message(&row, 0), row.get::<_, Vec<UserId>>(MESSAGE_COLUMNS))
    })?;
    session.commit()?;
    let seats: HashMap<ConversationId, Vec<UserId>> =
        found.iter().map(|(message, users)| (message.conversation, users.clone())).collect();
    let stored = found.into_iter().map(|(message, _)| message).collect();
    let appended = |(message, duplicate): (Message, bool)| Reply::Appended {
        participants: seats[&message.conversation].clone(),
        message,
        duplicate,
    };
    Ok(pair(batch, stored).into_iter().map(|found| found.map(appended)).collect())
}
