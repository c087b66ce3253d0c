//! What a node asks that may have missed something of what the others published. One statement a question.

use postgres::Row;

use super::session::{Params, Session};
use super::{rows, values};
use crate::model::{ConversationId, Message, MessageId, Seq, Standing, UserId};
use crate::store::{Outcome, Reply};
use crate::time::Timestamp;

/// How many columns a message is.
const MESSAGE_COLUMNS: usize = 11;

const STANDINGS: &str = "
    SELECT c.id, c.last_seq, c.is_active, blocks.blockers, blocks.blocked
    FROM conversations_conversation c
    CROSS JOIN LATERAL (
        SELECT array_agg(b.from_user_id ORDER BY b.from_user_id, b.to_user_id) AS blockers,
               array_agg(b.to_user_id ORDER BY b.from_user_id, b.to_user_id) AS blocked
        FROM conversations_conversation_participants blocker
        JOIN conversations_conversation_participants blocked
            ON blocked.conversation_id = blocker.conversation_id
        JOIN accounts_user_blocked_users b
            ON b.from_user_id = blocker.user_id AND b.to_user_id = blocked.user_id
        WHERE blocker.conversation_id = c.id
    ) blocks
    WHERE c.id = ANY ($1)
    ORDER BY c.id";

/// $1 users, $2 since, $3 and $4 where the last page ended, $5 how many messages. Each conversation is walked back from its newest
/// message as far as the first that is older.
const SINCE: &str = concat!(
    "
WITH heard AS MATERIALIZED (
    SELECT DISTINCT c.id, c.last_seq
    FROM unnest($1::bigint[]) AS asked (id)
    JOIN accounts_user u ON u.id = asked.id AND u.is_active
    JOIN conversations_conversation_participants p
        ON p.user_id = u.id AND p.active_hour >= fortifun_hour($2)
    JOIN conversations_conversation c
        ON c.id = p.conversation_id AND c.is_active AND c.updated_at >= $2
    WHERE c.id >= $3
      AND NOT EXISTS (
          SELECT FROM conversations_conversation_participants other
          JOIN accounts_user_blocked_users b
              ON b.from_user_id = other.user_id AND b.to_user_id = u.id
          WHERE other.conversation_id = c.id)
), page AS MATERIALIZED (
    SELECT m.*
    FROM (SELECT * FROM heard ORDER BY heard.id) talk
    CROSS JOIN LATERAL (
        SELECT * FROM conversations_message m
        WHERE m.conversation_id = talk.id
          AND m.seq > greatest(
              CASE WHEN talk.id = $3 THEN $4::bigint END,
              (SELECT older.seq FROM conversations_message older
               WHERE older.conversation_id = talk.id AND older.seq <= talk.last_seq
                 AND older.created_at < $2
               ORDER BY older.seq DESC LIMIT 1),
              0)
          AND m.seq <= talk.last_seq
        ORDER BY m.seq LIMIT $5
    ) m
    ORDER BY talk.id, m.seq LIMIT $5
)
SELECT ",
    message_columns!(),
    ",
       ARRAY(SELECT p.user_id FROM conversations_conversation_participants p
             WHERE p.conversation_id = m.conversation_id ORDER BY p.user_id)
FROM page m ",
    join_sender!(),
    "
ORDER BY m.conversation_id, m.seq"
);

const PLACES: &str = "
    SELECT m.id, m.conversation_id, m.seq FROM conversations_message m
    WHERE m.id = ANY ($1) ORDER BY m.id";

/// Answers [`crate::store::Request::Standings`].
pub(super) fn standings(session: &mut Session, conversations: &[ConversationId]) -> Outcome {
    let standing = |row: Row| {
        let blockers: Vec<UserId> = row.get::<_, Option<_>>(3).unwrap_or_default();
        let blocked: Vec<UserId> = row.get::<_, Option<_>>(4).unwrap_or_default();
        Standing {
            conversation: row.get(0),
            last_seq: row.get(1),
            is_active: row.get(2),
            blocks: blockers.into_iter().zip(blocked).collect(),
        }
    };
    Ok(Reply::Standings(session.all(STANDINGS, &[&conversations], standing)?))
}

/// Answers [`crate::store::Request::Since`].
pub(super) fn since(
    session: &mut Session,
    users: &[UserId],
    since: Timestamp,
    after: Option<(ConversationId, Seq)>,
    limit: usize,
) -> Outcome {
    let (conversation, seq) = after.unwrap_or((ConversationId(i64::MIN), Seq(0)));
    let page: Params<'_> = &[&users, &since, &conversation, &seq, &values::limit(limit)];
    let said =
        |row: Row| -> (Message, Vec<UserId>) { (rows::message(&row, 0), row.get(MESSAGE_COLUMNS)) };
    Ok(Reply::Since(session.all(SINCE, page, said)?))
}

/// Answers [`crate::store::Request::Places`].
pub(super) fn places(session: &mut Session, messages: &[MessageId]) -> Outcome {
    let place = |row: Row| (row.get(0), row.get(1), row.get(2));
    Ok(Reply::Places(session.all(PLACES, &[&messages], place)?))
}
