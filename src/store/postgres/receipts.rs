//! What readers have read: all receipts of a set in one statement.

use std::collections::HashMap;

use super::rows;
use super::session::Session;
use crate::model::{ConversationId, MessageId, Refused, Seq, UserId};
use crate::store::{Outcome, Reply, Request, StoreError};
use crate::time::Timestamp;

/// Judges and keeps receipts: $1 conversations, $2 readers, $3 messages, $4 now. Costs as much as there is to mark, however long
/// the history. Locks and look-ups are those of `append`. Django may have rows of its own in `conversations_messageread`: what
/// is counted is what was really inserted.
const MARK_READ: &str = concat!(
    "
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
        WITH ORDINALITY AS asked (conversation, reader, message, place)
), locked AS MATERIALIZED (
    SELECT c.id, c.is_active FROM conversations_conversation c
    WHERE c.id = ANY ($1) ORDER BY c.id FOR NO KEY UPDATE
), talk AS MATERIALIZED (
    SELECT locked.*,
           ARRAY(SELECT p.user_id FROM conversations_conversation_participants p
                 WHERE p.conversation_id = locked.id ORDER BY p.user_id) AS users
    FROM locked
), judged AS MATERIALIZED (
    SELECT asked.*, talk.users, own.last_read_seq, named.seq,
           CASE
               WHEN talk.id IS NULL OR talk.users = '{}' OR NOT talk.is_active THEN 1
               WHEN asked.reader <> ALL (talk.users) THEN 2
               WHEN NOT EXISTS (SELECT FROM accounts_user u
                                WHERE u.id = asked.reader AND u.is_active) THEN 3
               WHEN EXISTS (SELECT FROM accounts_user_blocked_users b
                            WHERE b.from_user_id = ANY (talk.users) AND b.to_user_id = asked.reader)
                   THEN 2
               WHEN named.seq IS NULL THEN 4
               ELSE 5
           END AS verdict
    FROM asked
    LEFT JOIN talk ON talk.id = asked.conversation
    LEFT JOIN LATERAL (
        SELECT p.last_read_seq FROM conversations_conversation_participants p
        WHERE p.conversation_id = asked.conversation AND p.user_id = asked.reader LIMIT 1
    ) own ON true
    LEFT JOIN LATERAL (
        SELECT m.seq FROM conversations_message m
        WHERE m.id = asked.message AND m.conversation_id = asked.conversation LIMIT 1
    ) named ON true
), due AS MATERIALIZED (
    SELECT judged.reader, m.id, m.is_read
    FROM judged CROSS JOIN LATERAL (
        SELECT m.id, m.is_read FROM conversations_message m
        WHERE m.conversation_id = judged.conversation
          AND m.seq > judged.last_read_seq AND m.seq <= judged.seq
          AND m.sender_id <> judged.reader
        ORDER BY m.seq
    ) m
    WHERE judged.verdict > 4
), marked AS (
    UPDATE conversations_message m SET is_read = true
    WHERE m.id = ANY (ARRAY(SELECT due.id FROM due WHERE NOT due.is_read))
), inserted AS (
    INSERT INTO conversations_messageread (read_at, message_id, user_id)
    SELECT $4, due.id, due.reader FROM due
    ON CONFLICT DO NOTHING
    RETURNING message_id, user_id
), counted AS MATERIALIZED (
    SELECT m.conversation_id, inserted.user_id, count(*) AS newly
    FROM inserted CROSS JOIN LATERAL (
        SELECT m.conversation_id FROM conversations_message m WHERE m.id = inserted.message_id LIMIT 1
    ) m
    GROUP BY m.conversation_id, inserted.user_id
), told AS MATERIALIZED (
    SELECT judged.*, coalesce(counted.newly, 0) AS newly
    FROM judged
    LEFT JOIN counted
        ON counted.conversation_id = judged.conversation AND counted.user_id = judged.reader
), advanced AS (
    UPDATE conversations_conversation_participants p
    SET last_read_seq = greatest(p.last_read_seq, told.seq),
        unread = greatest(p.unread - told.newly, 0)
    FROM told
    WHERE told.verdict > 4 AND told.seq > told.last_read_seq
      AND p.conversation_id = told.conversation AND p.user_id = told.reader
)
SELECT told.verdict, told.place, told.seq, told.newly, told.users, ",
    card_columns!("u"),
    "
FROM told LEFT JOIN LATERAL (
    SELECT * FROM accounts_user u WHERE u.id = told.reader LIMIT 1
) u ON true"
);

/// Carries out the [`Request::MarkRead`]s of `batch` at `places`, none twice of the same reader in the same conversation, in one
/// round trip. What their segment's messages are was told before, in `outcomes`: see [`super::batch::Step::Receipts`].
pub(super) fn mark_read(
    session: &mut Session,
    batch: &[Request],
    places: &[usize],
    now: Timestamp,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), StoreError> {
    let stored_at = stored_at(outcomes);
    let mut conversations = Vec::with_capacity(places.len());
    let mut readers = Vec::with_capacity(places.len());
    let mut messages = Vec::with_capacity(places.len());
    for &place in places {
        let Request::MarkRead { conversation, reader, message } = &batch[place] else {
            unreachable!("the plan gathers by kind");
        };
        // What the batch stores only after this request is not there yet.
        let is_there = stored_at.get(message).is_none_or(|&stored| stored < place);
        conversations.push(*conversation);
        readers.push(*reader);
        messages.push(is_there.then_some(*message));
    }
    let rows = session.write(MARK_READ, &[&conversations, &readers, &messages, &now], |row| row)?;
    let mut marks = Vec::new();
    for row in rows {
        let nth = row.get::<_, i64>(1) as usize - 1;
        let place = places[nth];
        let refused = match row.get(0) {
            1 => Refused::ConversationNotFound,
            2 => Refused::NotParticipant,
            3 => Refused::UserNotFound,
            4 => Refused::MessageNotFound,
            _ => {
                let (conversation, reader) = (conversations[nth], readers[nth]);
                marks.push(Mark { place, conversation, reader, up_to: row.get(2) });
                outcomes[place] = Some(Ok(Reply::MarkedRead {
                    conversation,
                    message: messages[nth].expect("an absent message is refused"),
                    reader: rows::card(&row, 5),
                    newly: row.get::<_, i64>(3) as u64,
                    at: now,
                    participants: row.get(4),
                }));
                continue;
            }
        };
        outcomes[place] = Some(Err(refused.into()));
    }
    tell_repeats(&marks, outcomes);
    Ok(())
}

/// A receipt that was kept.
struct Mark {
    place: usize,
    conversation: ConversationId,
    reader: UserId,
    up_to: Seq,
}

/// At which place of the batch each of its messages was stored.
fn stored_at(outcomes: &[Option<Outcome>]) -> HashMap<MessageId, usize> {
    let stored = |(place, outcome): (usize, &Option<Outcome>)| match outcome {
        Some(Ok(Reply::Appended { message, duplicate: false, .. })) => Some((message.id, place)),
        _ => None,
    };
    outcomes.iter().enumerate().filter_map(stored).collect()
}

/// A repeat tells the message as it is at the repeat's place in the batch: read, where a receipt before it said so.
fn tell_repeats(marks: &[Mark], outcomes: &mut [Option<Outcome>]) {
    for (place, outcome) in outcomes.iter_mut().enumerate() {
        if let Some(Ok(Reply::Appended { message, duplicate: true, .. })) = outcome {
            message.is_read |= marks.iter().any(|mark| {
                mark.place < place
                    && mark.conversation == message.conversation
                    && mark.reader != message.sender.id
                    && mark.up_to >= message.seq
            });
        }
    }
}
