//! How messages come into conversations: all of a set in one statement, or one by one where another request brings one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;
use postgres::Row;

use super::rows;
use super::session::Session;
use crate::model::{Card, ConversationId, Message, MessageId, Refused, Seq, UserId};
use crate::store::{Outcome, Reply, Request, StoreError, StoreErrorKind};
use crate::time::Timestamp;

/// Judges and stores messages: $1 conversations, $2 senders, $3 contents, $4 attachments, $5 `client_id`s, $6 now.
///
/// The conversations' rows are locked first, by id: they give the places out, so that there are no holes and nodes cannot
/// deadlock. Where another transaction held one, its row is read as that one left it, but everything else as it was when the
/// statement began; a `client_id` that was stored meanwhile then breaks its unique index, and the next try finds it.
///
/// Each look-up stands in a subquery of its own that is bounded to what an index finds: there is no other way to plan it. And
/// `p.user_id + 0` keeps away from the index of all that a user takes part in. How a request ends is told by [`verdict`].
const APPEND: &str = "
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
        WITH ORDINALITY AS asked (conversation, sender, content, attachment, client_id, place)
), locked AS MATERIALIZED (
    SELECT c.id, c.is_active, c.last_seq FROM conversations_conversation c
    WHERE c.id = ANY ($1) ORDER BY c.id FOR NO KEY UPDATE
), talk AS MATERIALIZED (
    SELECT locked.*,
           ARRAY(SELECT p.user_id FROM conversations_conversation_participants p
                 WHERE p.conversation_id = locked.id ORDER BY p.user_id) AS users
    FROM locked
), judged AS MATERIALIZED (
    SELECT asked.*, talk.last_seq, talk.users, u.username, u.profile_picture, known.*,
           CASE
               WHEN talk.id IS NULL OR talk.users = '{}' THEN 1
               WHEN known.id IS NOT NULL THEN 0
               WHEN NOT talk.is_active THEN 1
               WHEN asked.sender <> ALL (talk.users) THEN 2
               WHEN NOT u.is_active THEN 3
               WHEN EXISTS (SELECT FROM accounts_user_blocked_users b
                            WHERE b.from_user_id = asked.sender AND b.to_user_id = ANY (talk.users))
                 OR EXISTS (SELECT FROM accounts_user_blocked_users b
                            WHERE b.from_user_id = ANY (talk.users) AND b.to_user_id = asked.sender)
                   THEN 4
               ELSE 5
           END AS verdict
    FROM asked
    LEFT JOIN talk ON talk.id = asked.conversation
    LEFT JOIN LATERAL (
        SELECT u.username, NULLIF(u.profile_picture, '') AS profile_picture, u.is_active
        FROM accounts_user u WHERE u.id = asked.sender LIMIT 1
    ) u ON true
    LEFT JOIN LATERAL (
        SELECT m.id, m.seq, m.content AS known_content, m.created_at, m.is_read,
               NULLIF(m.attachment, '') AS known_attachment
        FROM conversations_message m
        WHERE m.conversation_id = asked.conversation AND m.sender_id = asked.sender
          AND m.client_id = asked.client_id
        LIMIT 1
    ) known ON true
), fresh AS MATERIALIZED (
    SELECT j.place, j.conversation, j.sender, j.content, j.attachment, j.client_id, j.users,
           j.last_seq + row_number() OVER (PARTITION BY j.conversation ORDER BY j.place) AS seq
    FROM judged j WHERE j.verdict > 4
), moved AS (
    UPDATE conversations_conversation c SET last_seq = newest.seq, updated_at = $6
    FROM (SELECT conversation, max(seq) AS seq FROM fresh GROUP BY conversation) newest
    WHERE c.id = newest.conversation
), told AS (
    UPDATE conversations_conversation_participants p SET unread = p.unread + added.messages
    FROM (SELECT fresh.conversation, other.id, count(*) AS messages
          FROM fresh CROSS JOIN unnest(fresh.users) AS other (id)
          WHERE other.id <> fresh.sender
          GROUP BY fresh.conversation, other.id) added
    WHERE p.conversation_id = added.conversation AND p.user_id + 0 = added.id
), stored AS (
    INSERT INTO conversations_message
        (content, created_at, is_read, attachment, conversation_id, sender_id, seq, client_id)
    SELECT content, $6, false, attachment, conversation, sender, seq, client_id
    FROM fresh ORDER BY place
    RETURNING id, conversation_id, seq
)
SELECT verdict, place, conversation, coalesce(seq, last_seq), id, username, profile_picture, users,
       known_content, created_at, is_read, known_attachment
FROM judged
UNION ALL
SELECT 6, 0, conversation_id, seq, id, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM stored";

/// As [`APPEND`], for one message ($1 conversation, $2 sender, $3 content, $4 attachment, $5 `client_id`, $6 now) that is most likely
/// fit and new: a third of the work goes. No row where it is not: then [`APPEND`] says why.
const APPEND_ONE: &str = "
WITH talk AS MATERIALIZED (
    SELECT ARRAY(SELECT p.user_id FROM conversations_conversation_participants p
                 WHERE p.conversation_id = $1 ORDER BY p.user_id) AS users
), sender AS MATERIALIZED (
    SELECT u.username, NULLIF(u.profile_picture, '') AS profile_picture
    FROM accounts_user u WHERE u.id = $2 AND u.is_active
), moved AS (
    UPDATE conversations_conversation c SET last_seq = c.last_seq + 1, updated_at = $6
    WHERE c.id = $1 AND c.is_active
      AND EXISTS (
          SELECT FROM talk
          WHERE $2 = ANY (talk.users)
            AND NOT EXISTS (SELECT FROM accounts_user_blocked_users b
                            WHERE b.from_user_id = $2 AND b.to_user_id = ANY (talk.users))
            AND NOT EXISTS (SELECT FROM accounts_user_blocked_users b
                            WHERE b.from_user_id = ANY (talk.users) AND b.to_user_id = $2))
      AND EXISTS (SELECT FROM sender)
      AND NOT EXISTS (SELECT FROM conversations_message m
                      WHERE m.conversation_id = $1 AND m.sender_id = $2 AND m.client_id = $5)
    RETURNING c.last_seq
), told AS (
    UPDATE conversations_conversation_participants p SET unread = p.unread + 1
    FROM moved
    WHERE p.conversation_id = $1 AND p.user_id <> $2
), stored AS (
    INSERT INTO conversations_message
        (content, created_at, is_read, attachment, conversation_id, sender_id, seq, client_id)
    SELECT $3, $6, false, $4, $1, $2, moved.last_seq, $5
    FROM moved
    RETURNING id, seq
)
SELECT stored.id, stored.seq, sender.username, sender.profile_picture, talk.users
FROM stored, sender, talk";

/// What `verdict` is in [`APPEND`].
mod verdict {
    /// Stored before: the row tells the stored message.
    pub(super) const KNOWN: i32 = 0;
    /// To be stored: the row tells the conversation's newest place before this batch.
    pub(super) const FRESH: i32 = 5;
    /// No judgement, but a message that was stored.
    pub(super) const STORED: i32 = 6;
}

const KNOWN: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM conversations_message m
      JOIN accounts_user sender ON sender.id = m.sender_id
      WHERE m.conversation_id = $1 AND m.sender_id = $2 AND m.client_id = $3"
);

/// As [`APPEND`], for one message that was judged before.
const STORE: &str = "
    WITH moved AS (
        UPDATE conversations_conversation SET last_seq = last_seq + 1, updated_at = $2
        WHERE id = $1
        RETURNING last_seq
    ), told AS (
        UPDATE conversations_conversation_participants p SET unread = p.unread + 1
        FROM moved
        WHERE p.conversation_id = $1 AND p.user_id <> $3
    )
    INSERT INTO conversations_message
        (content, created_at, is_read, attachment, conversation_id, sender_id, seq, client_id)
    SELECT $4, $2, false, $5, $1, $3, moved.last_seq, $6
    FROM moved
    RETURNING id, seq";

/// A message on its way into a conversation.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) conversation: ConversationId,
    pub(super) content: &'a str,
    pub(super) attachment: Option<&'a str>,
    pub(super) client_id: Option<&'a str>,
}

/// Carries out the [`Request::Append`]s of `batch` at `places`, in order, in one round trip; in two where a single one does not
/// go through.
pub(super) fn append(
    session: &mut Session,
    batch: &[Request],
    places: &[usize],
    now: Timestamp,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), StoreError> {
    let set = Set::of(batch, places);
    if let [place] = set.places[..]
        && let Some(reply) = append_one(session, set.senders[0], &set.said(0), now)?
    {
        outcomes[place] = Some(Ok(reply));
        set.repeat(outcomes);
        return Ok(());
    }
    let rows = session.write(
        APPEND,
        &[&set.conversations, &set.senders, &set.contents, &set.attachments, &set.client_ids, &now],
        |row| row,
    )?;
    set.answer(&rows, now, outcomes)?;
    set.repeat(outcomes);
    Ok(())
}

/// Stores one message that is fit and new; `None` where it is not, and nothing was done.
fn append_one(
    session: &mut Session,
    sender: UserId,
    said: &Said<'_>,
    now: Timestamp,
) -> Result<Option<Reply>, StoreError> {
    let Said { conversation, content, attachment, client_id } = said;
    let stored = session.write(
        APPEND_ONE,
        &[conversation, &sender, content, attachment, client_id, &now],
        |row| Reply::Appended {
            message: said.stored(row.get(0), row.get(1), card(sender, &row, 2), now),
            participants: row.get(4),
            duplicate: false,
        },
    )?;
    Ok(stored.into_iter().next())
}

/// The sender's name and picture, from column `at` on.
fn card(id: UserId, row: &Row, at: usize) -> Card {
    Card {
        id,
        username: row.get::<_, &str>(at).into(),
        profile_picture: row.get::<_, Option<&str>>(at + 1).map(Into::into),
    }
}

/// The stored message that the sender's `client_id` names; `None` where there is none, or no `client_id`.
pub(super) fn known(
    session: &mut Session,
    conversation: ConversationId,
    sender: UserId,
    client_id: Option<&str>,
) -> Result<Option<Message>, StoreError> {
    let Some(client_id) = client_id else {
        return Ok(None);
    };
    session.first(KNOWN, &[&conversation, &sender, &client_id], |row| rows::message(&row, 0))
}

/// Stores a message in a conversation that its sender may speak in, in one round trip. The caller holds the conversation's row.
pub(super) fn store(
    session: &mut Session,
    sender: Card,
    said: &Said<'_>,
    now: Timestamp,
) -> Result<Message, StoreError> {
    let said = Said { attachment: said.attachment.filter(|key| !key.is_empty()), ..*said };
    let Said { conversation, content, attachment, client_id } = said;
    let (id, seq) = session.one(
        STORE,
        &[&conversation, &now, &sender.id, &content, &attachment, &client_id],
        |row| (row.get(0), row.get(1)),
    )?;
    Ok(said.stored(id, seq, sender, now))
}

impl Said<'_> {
    fn stored(&self, id: MessageId, seq: Seq, sender: Card, now: Timestamp) -> Message {
        Message {
            id,
            conversation: self.conversation,
            seq,
            sender,
            content: self.content.to_owned(),
            created_at: now,
            is_read: false,
            attachment: self.attachment.map(str::to_owned),
            client_id: self.client_id.map(str::to_owned),
        }
    }
}

/// Messages as columns, those left out that say again what an earlier one says.
#[derive(Default)]
struct Set<'a> {
    conversations: Vec<ConversationId>,
    senders: Vec<UserId>,
    contents: Vec<&'a str>,
    attachments: Vec<Option<&'a str>>,
    client_ids: Vec<Option<&'a str>>,
    /// Of each message its place in the batch.
    places: Vec<usize>,
    /// Of each repeat its place in the batch and that of what it repeats, in order.
    repeats: Vec<(usize, usize)>,
}

impl<'a> Set<'a> {
    fn of(batch: &'a [Request], places: &[usize]) -> Self {
        let mut set = Self::default();
        let mut first: HashMap<_, usize, RandomState> = HashMap::default();
        for &place in places {
            let Request::Append { conversation, sender, content, attachment, client_id } =
                &batch[place]
            else {
                unreachable!("the plan gathers by kind");
            };
            if let Some(client_id) = client_id {
                match first.entry((*conversation, *sender, client_id)) {
                    Entry::Occupied(earlier) => {
                        set.repeats.push((place, *earlier.get()));
                        continue;
                    }
                    Entry::Vacant(free) => {
                        free.insert(place);
                    }
                }
            }
            set.conversations.push(*conversation);
            set.senders.push(*sender);
            set.contents.push(content);
            set.attachments.push(attachment.as_deref().filter(|key| !key.is_empty()));
            set.client_ids.push(client_id.as_deref());
            set.places.push(place);
        }
        set
    }

    fn said(&self, nth: usize) -> Said<'a> {
        Said {
            conversation: self.conversations[nth],
            content: self.contents[nth],
            attachment: self.attachments[nth],
            client_id: self.client_ids[nth],
        }
    }

    /// Reads what [`APPEND`] says.
    fn answer(
        &self,
        rows: &[Row],
        now: Timestamp,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), StoreError> {
        let ids: HashMap<(ConversationId, Seq), MessageId, RandomState> = rows
            .iter()
            .filter(|row| row.get::<_, i32>(0) == verdict::STORED)
            .map(|row| ((row.get(2), row.get(3)), row.get(4)))
            .collect();
        let mut newest: HashMap<ConversationId, Seq, RandomState> = HashMap::default();
        // Judgements come as they were asked for: `judged` is read once, from its start.
        for row in rows {
            let outcome = match row.get(0) {
                verdict::STORED => continue,
                1 => Err(Refused::ConversationNotFound.into()),
                2 => Err(Refused::NotParticipant.into()),
                3 => Err(Refused::UserNotFound.into()),
                4 => Err(Refused::Silenced.into()),
                ending => {
                    let nth = row.get::<_, i64>(1) as usize - 1;
                    let (said, sender) = (self.said(nth), card(self.senders[nth], row, 5));
                    let duplicate = ending == verdict::KNOWN;
                    let message = if duplicate {
                        Message {
                            content: row.get(8),
                            is_read: row.get(10),
                            attachment: row.get(11),
                            ..said.stored(row.get(4), row.get(3), sender, row.get(9))
                        }
                    } else {
                        debug_assert_eq!(ending, verdict::FRESH);
                        let seq = newest.entry(said.conversation).or_insert_with(|| row.get(3));
                        seq.0 += 1;
                        let id = ids.get(&(said.conversation, *seq)).ok_or_else(unheard)?;
                        said.stored(*id, *seq, sender, now)
                    };
                    Ok(Reply::Appended { message, participants: row.get(7), duplicate })
                }
            };
            let nth = row.get::<_, i64>(1) as usize - 1;
            outcomes[self.places[nth]] = Some(outcome);
        }
        Ok(())
    }

    /// Answers what was said before in the same set.
    fn repeat(&self, outcomes: &mut [Option<Outcome>]) {
        for &(place, earlier) in &self.repeats {
            let mut outcome = outcomes[earlier].clone();
            if let Some(Ok(Reply::Appended { duplicate, .. })) = &mut outcome {
                *duplicate = true;
            }
            outcomes[place] = outcome;
        }
    }
}

fn unheard() -> StoreError {
    StoreError {
        kind: StoreErrorKind::Internal,
        detail: "a message that was judged fit was not stored".to_owned(),
    }
}
