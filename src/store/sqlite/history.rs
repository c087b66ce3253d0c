//! A conversation's history, page by page, along the index of (conversation, seq).

use rusqlite::{Connection, Row, params};

use super::access;
use super::{query, rows, values};
use crate::model::{ConversationId, Seq, UserId};
use crate::store::{Outcome, Page, Reply};

const BEFORE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM conversations_message m
      JOIN accounts_user sender ON sender.id = m.sender_id
      WHERE m.conversation_id = ?1 AND m.seq < ?2
      ORDER BY m.seq DESC LIMIT ?3"
);

const AFTER: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM conversations_message m
      JOIN accounts_user sender ON sender.id = m.sender_id
      WHERE m.conversation_id = ?1 AND m.seq > ?2
      ORDER BY m.seq LIMIT ?3"
);

/// Answers [`crate::store::Request::History`].
pub(super) fn history(
    connection: &Connection,
    user: UserId,
    conversation: ConversationId,
    page: Page,
    limit: usize,
) -> Outcome {
    let place = access::place(connection, conversation, user)?;
    place.readable()?;
    let (sql, from) = match page {
        Page::Latest => (BEFORE, Seq(i64::MAX)),
        Page::Before(seq) => (BEFORE, seq),
        Page::After(seq) => (AFTER, seq),
    };
    let message = |row: &Row<'_>| rows::message(row, 0);
    let bounds = params![conversation, from, values::limit(limit)];
    let mut messages = query::all(connection, sql, bounds, message)?;
    if sql == BEFORE {
        messages.reverse();
    }
    Ok(Reply::History { messages, last_seq: place.last_seq })
}
