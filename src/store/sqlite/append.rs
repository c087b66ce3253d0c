//! How a message comes into a conversation.

use rusqlite::{Connection, params};

use super::access;
use super::{query, rows};
use crate::model::{Card, ConversationId, Message, MessageId, UserId};
use crate::store::{Failure, Outcome, Reply};
use crate::time::Timestamp;

const KNOWN: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM conversations_message m
      JOIN accounts_user sender ON sender.id = m.sender_id
      WHERE m.conversation_id = ?1 AND m.sender_id = ?2 AND m.client_id = ?3"
);

/// The conversation's row is what gives places out, so that they have no holes.
const NEXT: &str = "
    UPDATE conversations_conversation SET last_seq = last_seq + 1, updated_at = ?2
    WHERE id = ?1
    RETURNING last_seq";

const INSERT: &str = "
    INSERT INTO conversations_message
        (content, created_at, is_read, attachment, conversation_id, sender_id, seq, client_id)
    VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7)";

const UNREAD: &str = "
    UPDATE conversations_conversation_participants SET unread = unread + 1
    WHERE conversation_id = ?1 AND user_id <> ?2";

/// A message on its way into a conversation.
pub(super) struct Said<'a> {
    pub(super) conversation: ConversationId,
    pub(super) content: &'a str,
    pub(super) attachment: Option<&'a str>,
    pub(super) client_id: Option<&'a str>,
}

/// Carries out [`crate::store::Request::Append`].
pub(super) fn append(
    connection: &Connection,
    sender: UserId,
    said: &Said<'_>,
    now: Timestamp,
) -> Outcome {
    let place = access::place(connection, said.conversation, sender)?;
    // A repeat is told what was stored even where its sender may not speak any more: it was.
    let stored = known(connection, sender, said)?;
    let duplicate = stored.is_some();
    let message = match stored {
        Some(message) => message,
        None => store(connection, place.speakable()?.status.user.clone(), said, now)?,
    };
    Ok(Reply::Appended { message, participants: place.participants(), duplicate })
}

/// The stored message that the sender's `client_id` names.
pub(super) fn known(
    connection: &Connection,
    sender: UserId,
    said: &Said<'_>,
) -> Result<Option<Message>, Failure> {
    let Some(client_id) = said.client_id else {
        return Ok(None);
    };
    let key = params![said.conversation, sender, client_id];
    Ok(query::first(connection, KNOWN, key, |row| rows::message(row, 0))?)
}

/// Stores a message in a conversation that its sender may speak in.
pub(super) fn store(
    connection: &Connection,
    sender: Card,
    said: &Said<'_>,
    now: Timestamp,
) -> Result<Message, Failure> {
    let Said { conversation, content, client_id, .. } = *said;
    let attachment = said.attachment.filter(|key| !key.is_empty());
    let seq = query::one(connection, NEXT, params![conversation, now], |row| row.get(0))?;
    query::run(
        connection,
        INSERT,
        params![content, now, attachment, conversation, sender.id, seq, client_id],
    )?;
    let id = MessageId(connection.last_insert_rowid());
    query::run(connection, UNREAD, params![conversation, sender.id])?;
    Ok(Message {
        id,
        conversation,
        seq,
        sender,
        content: content.to_owned(),
        created_at: now,
        is_read: false,
        attachment: attachment.map(str::to_owned),
        client_id: client_id.map(str::to_owned),
    })
}
