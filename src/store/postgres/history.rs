//! A conversation's history, page by page, along the index of (conversation, seq).

use super::access;
use super::session::{Params, Session};
use super::{rows, values};
use crate::model::{ConversationId, Seq, UserId};
use crate::store::{Outcome, Page, Reply};

/// Of the places from `$2` up to and including `$3`, the newest.
const NEWEST: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM (SELECT * FROM conversations_message
            WHERE conversation_id = $1 AND seq >= $2 AND seq <= $3
            ORDER BY seq DESC LIMIT $4) m ",
    join_sender!(),
    " ORDER BY m.seq DESC"
);

/// Of the places from `$2` up to and including `$3`, the oldest.
const OLDEST: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM (SELECT * FROM conversations_message
            WHERE conversation_id = $1 AND seq >= $2 AND seq <= $3
            ORDER BY seq LIMIT $4) m ",
    join_sender!(),
    " ORDER BY m.seq"
);

/// Answers [`crate::store::Request::History`] in two statements: what came after the first saw `last_seq` is not told.
pub(super) fn history(
    session: &mut Session,
    user: UserId,
    conversation: ConversationId,
    page: Page,
    limit: usize,
) -> Outcome {
    let place = access::place(session, conversation, user)?;
    place.readable()?;
    let last_seq = place.last_seq;
    let (sql, from, to) = match page {
        Page::Latest => (NEWEST, Seq(0), last_seq),
        Page::Before(seq) => (NEWEST, Seq(0), last_seq.min(Seq(seq.0.saturating_sub(1)))),
        Page::After(seq) => (OLDEST, Seq(seq.0.saturating_add(1)), last_seq),
    };
    let bounds: Params<'_> = &[&conversation, &from, &to, &values::limit(limit)];
    let mut messages = session.all(sql, bounds, |row| rows::message(&row, 0))?;
    if sql == NEWEST {
        messages.reverse();
    }
    Ok(Reply::History { messages, last_seq })
}
