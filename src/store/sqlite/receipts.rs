//! What a reader has read.

use rusqlite::{Connection, params};

use super::access;
use super::query;
use crate::model::{ConversationId, MessageId, Refused, Seq, UserId};
use crate::store::{Outcome, Reply};
use crate::time::Timestamp;

const SEQ: &str = "SELECT seq FROM conversations_message WHERE id = ?1 AND conversation_id = ?2";

const INSERT: &str = "
    INSERT INTO conversations_messageread (read_at, message_id, user_id)
    SELECT ?5, m.id, ?2 FROM conversations_message m
    WHERE m.conversation_id = ?1 AND m.seq > ?3 AND m.seq <= ?4 AND m.sender_id <> ?2
    ORDER BY m.seq";

const MARK: &str = "
    UPDATE conversations_message SET is_read = 1
    WHERE conversation_id = ?1 AND seq > ?3 AND seq <= ?4 AND sender_id <> ?2";

const ADVANCE: &str = "
    UPDATE conversations_conversation_participants
    SET last_read_seq = ?3, unread = unread - ?4
    WHERE conversation_id = ?1 AND user_id = ?2";

/// Carries out [`crate::store::Request::MarkRead`]; costs as much as there is to mark, however long the history.
pub(super) fn mark_read(
    connection: &Connection,
    conversation: ConversationId,
    reader: UserId,
    message: MessageId,
    now: Timestamp,
) -> Outcome {
    let place = access::place(connection, conversation, reader)?;
    let own = place.readable()?;
    let up_to: Option<Seq> =
        query::first(connection, SEQ, params![message, conversation], |row| row.get(0))?;
    let up_to = up_to.ok_or(Refused::MessageNotFound)?;
    let mut newly = 0;
    if up_to > own.last_read_seq {
        let range = params![conversation, reader, own.last_read_seq, up_to];
        newly = query::run(
            connection,
            INSERT,
            params![conversation, reader, own.last_read_seq, up_to, now],
        )?;
        query::run(connection, MARK, range)?;
        query::run(connection, ADVANCE, params![conversation, reader, up_to, newly as i64])?;
    }
    Ok(Reply::MarkedRead {
        conversation,
        message,
        reader: own.status.user.clone(),
        newly: newly as u64,
        at: now,
        participants: place.participants(),
    })
}
