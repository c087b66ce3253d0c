//! What a node asks that may have missed something of what the others published.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::{query, rows, values};
use crate::model::{ConversationId, Message, MessageId, Seq, Standing, UserId};
use crate::store::{Outcome, Reply};
use crate::time::Timestamp;

const STANDINGS: &str = "
    SELECT c.id, c.last_seq, c.is_active
    FROM json_each(?1) asked CROSS JOIN conversations_conversation c ON c.id = asked.value";

const BLOCKS: &str = "
    SELECT asked.value, b.from_user_id, b.to_user_id
    FROM json_each(?1) asked
    CROSS JOIN conversations_conversation_participants blocker
        ON blocker.conversation_id = asked.value
    CROSS JOIN conversations_conversation_participants blocked
        ON blocked.conversation_id = asked.value
    CROSS JOIN accounts_user_blocked_users b
        ON b.from_user_id = blocker.user_id AND b.to_user_id = blocked.user_id
    ORDER BY b.from_user_id, b.to_user_id";

/// What somebody of `?1` may read and was changed at `?2` or later, from the conversation `?3` on.
const HEARD: &str = "
    SELECT DISTINCT c.id
    FROM json_each(?1) asked
    CROSS JOIN accounts_user u ON u.id = asked.value AND u.is_active = 1
    CROSS JOIN conversations_conversation_participants p
        ON p.user_id = u.id AND p.active_hour >= ?2 / 3600000000
    CROSS JOIN conversations_conversation c
        ON c.id = p.conversation_id AND c.is_active = 1 AND c.updated_at >= ?2
    WHERE c.id >= ?3
      AND NOT EXISTS (
          SELECT 1 FROM conversations_conversation_participants other
          CROSS JOIN accounts_user_blocked_users b
              ON b.from_user_id = other.user_id AND b.to_user_id = u.id
          WHERE other.conversation_id = c.id)
    ORDER BY c.id";

/// Walks back from the newest as far as the first that is older than `?2`.
const SAID: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM conversations_message m
      JOIN accounts_user sender ON sender.id = m.sender_id
      WHERE m.conversation_id = ?1
        AND m.seq > max(?3, coalesce((
            SELECT older.seq FROM conversations_message older
            WHERE older.conversation_id = ?1 AND older.created_at < ?2
            ORDER BY older.seq DESC LIMIT 1), 0))
      ORDER BY m.seq LIMIT ?4"
);

const PARTICIPANTS: &str = "
    SELECT user_id FROM conversations_conversation_participants
    WHERE conversation_id = ?1 ORDER BY user_id";

const PLACES: &str = "
    SELECT m.id, m.conversation_id, m.seq
    FROM json_each(?1) asked CROSS JOIN conversations_message m ON m.id = asked.value";

/// Answers [`crate::store::Request::Standings`].
pub(super) fn standings(connection: &Connection, conversations: &[ConversationId]) -> Outcome {
    let asked = once(conversations.iter().map(|id| id.0));
    let mut blocks: BTreeMap<ConversationId, Vec<(UserId, UserId)>> = BTreeMap::new();
    let found = query::all(connection, BLOCKS, [&asked], |row| {
        Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
    })?;
    for (conversation, pair) in found {
        blocks.entry(conversation).or_default().push(pair);
    }
    let standings = query::all(connection, STANDINGS, [&asked], |row| {
        let conversation = row.get(0)?;
        Ok(Standing {
            conversation,
            last_seq: row.get(1)?,
            is_active: row.get(2)?,
            blocks: blocks.remove(&conversation).unwrap_or_default(),
        })
    })?;
    Ok(Reply::Standings(standings))
}

/// Answers [`crate::store::Request::Since`], conversation by conversation until the page is full.
pub(super) fn since(
    connection: &Connection,
    users: &[UserId],
    since: Timestamp,
    after: Option<(ConversationId, Seq)>,
    limit: usize,
) -> Outcome {
    let asked = once(users.iter().map(|user| user.0));
    let from = after.map_or(ConversationId(i64::MIN), |(conversation, _)| conversation);
    let heard: Vec<ConversationId> =
        query::all(connection, HEARD, params![asked, since, from], |row| row.get(0))?;
    let mut told: Vec<(Message, Vec<UserId>)> = Vec::new();
    for conversation in heard {
        let room = limit - told.len();
        if room == 0 {
            break;
        }
        let floor = after.filter(|(last, _)| *last == conversation).map_or(Seq(0), |(_, seq)| seq);
        let page = params![conversation, since, floor, values::limit(room)];
        let said = query::all(connection, SAID, page, |row| rows::message(row, 0))?;
        if said.is_empty() {
            continue;
        }
        let participants: Vec<UserId> =
            query::all(connection, PARTICIPANTS, [conversation], |row| row.get(0))?;
        told.extend(said.into_iter().map(|message| (message, participants.clone())));
    }
    Ok(Reply::Since(told))
}

/// Answers [`crate::store::Request::Places`].
pub(super) fn places(connection: &Connection, messages: &[MessageId]) -> Outcome {
    let asked = once(messages.iter().map(|id| id.0));
    let place = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Ok(Reply::Places(query::all(connection, PLACES, [asked], place)?))
}

/// The ids in order, each once, for `json_each`, which keeps the order.
fn once(ids: impl Iterator<Item = i64>) -> String {
    values::json(ids.collect::<BTreeSet<_>>())
}
