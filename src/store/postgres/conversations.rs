//! Conversations: opened, left, and as their participants see them.

use std::collections::BTreeMap;

use postgres::Row;

use super::access::{self, Pair};
use super::append::{self, Said};
use super::session::{Params, Session};
use super::{rows, values};
use crate::model::{Card, Conversation, ConversationId, MessageId, Refused, UserId};
use crate::store::{Failure, Opened, Outcome, Reply, StoreError};
use crate::time::Timestamp;

/// What two share, active ones first.
macro_rules! shared {
    ($lock:literal) => {
        concat!(
            "SELECT c.id, c.is_active FROM (",
            shared_by!("$1", "$2"),
            ") shared
             JOIN conversations_conversation c ON c.id = shared.conversation_id
             ORDER BY c.is_active DESC, c.id ",
            $lock
        )
    };
}

const SHARED: &str = shared!("");

/// The batch has locked it already, unless Django made it a moment ago.
const BEST: &str = shared!("LIMIT 1 FOR NO KEY UPDATE OF c");

const REOPEN: &str =
    "UPDATE conversations_conversation SET is_active = true, updated_at = $2 WHERE id = $1";

const BEGIN: &str = "
    WITH begun AS (
        INSERT INTO conversations_conversation (created_at, updated_at, is_active, last_seq)
        VALUES ($3, $3, true, 0)
        RETURNING id)
    INSERT INTO conversations_conversation_participants
        (conversation_id, user_id, last_read_seq, unread, active_hour)
    SELECT begun.id, joining.id, 0, 0, fortifun_hour($3) FROM begun, (VALUES ($1::bigint), ($2)) joining (id)
    RETURNING conversation_id";

const LEAVE: &str = "UPDATE conversations_conversation SET is_active = false WHERE id = $1";

/// A view's own columns, of the conversations and the viewer's `unread` that `$page` chooses, and its newest message. Once the
/// page is chosen, each row costs the same few look-ups, however many the planner expects.
macro_rules! view {
    ($page:literal) => {
        concat!(
            "SELECT page.id, page.created_at, page.updated_at, page.is_active, page.last_seq, page.unread, ",
            message_columns!(),
            " FROM (", $page, ") page
              LEFT JOIN LATERAL (
                  SELECT * FROM conversations_message m
                  WHERE m.conversation_id = page.id AND m.seq = page.last_seq OFFSET 0) m ON true
              LEFT ", join_sender!(), "
              ORDER BY page.updated_at DESC, page.id DESC"
        )
    };
}

/// How many columns of a view stand before its message.
const VIEW_COLUMNS: usize = 6;

/// `updated_at` changes with each message and is in no index, or each message would be written there too; but the hour that it
/// lies in is. So the index is walked from the newest hour on until there are enough, and to the end of that hour: the newest
/// are among them, whatever the user has besides. Those that were left do not count, nor what blockers share with the user, which
/// is found once.
const LIST: &str = view!(
    "SELECT near.* FROM (
         SELECT c.*, mine.unread
         FROM conversations_conversation_participants mine
         JOIN LATERAL (
             SELECT * FROM conversations_conversation c
             WHERE c.id = mine.conversation_id OFFSET 0) c ON c.is_active
         WHERE mine.user_id = $1
           AND mine.conversation_id NOT IN (
               SELECT theirs.conversation_id FROM accounts_user_blocked_users b
               JOIN conversations_conversation_participants theirs ON theirs.user_id = b.from_user_id
               WHERE b.to_user_id = $1)
         ORDER BY mine.active_hour DESC FETCH FIRST $2 ROWS WITH TIES) near
     ORDER BY near.updated_at DESC, near.id DESC LIMIT $2"
);

const ONE: &str = view!(
    "SELECT c.*, own.unread
     FROM conversations_conversation c
     JOIN LATERAL (
         SELECT p.unread FROM conversations_conversation_participants p
         WHERE p.conversation_id = c.id AND p.user_id = $1 OFFSET 0) own ON true
     WHERE c.id = $2"
);

/// The others; the viewer `$2` is known.
const PARTICIPANTS: &str = concat!(
    "SELECT p.conversation_id, ",
    card_columns!("u"),
    " FROM unnest($1::bigint[]) asked (id)
      JOIN conversations_conversation_participants p
          ON p.conversation_id = asked.id AND p.user_id <> $2
      JOIN accounts_user u ON u.id = p.user_id"
);

/// What two users shared before they were brought together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: the conversation is new.
    Nothing,
    /// One that was left, now active again.
    Inactive,
    /// One that is active.
    Active,
}

/// The conversation of the two, new or active again where need be, and what was found.
pub(super) fn bring_together(
    session: &mut Session,
    a: UserId,
    b: UserId,
    now: Timestamp,
) -> Result<(ConversationId, Found), StoreError> {
    let shared = session.first(BEST, &[&a, &b], |row| (row.get(0), row.get(1)))?;
    match shared {
        Some((id, true)) => Ok((id, Found::Active)),
        Some((id, false)) => {
            session.run(REOPEN, &[&id, &now])?;
            Ok((id, Found::Inactive))
        }
        None => {
            let row: Params<'_> = &[&a, &b, &now];
            let begun = session.all(BEGIN, row, |row| row.get(0))?;
            Ok((begun[0], Found::Nothing))
        }
    }
}

/// The conversations of which both are participants, active or not, by id.
pub(super) fn shared(
    session: &mut Session,
    a: UserId,
    b: UserId,
) -> Result<Vec<ConversationId>, StoreError> {
    let mut ids: Vec<ConversationId> = session.all(SHARED, &[&a, &b], |row| row.get(0))?;
    ids.sort_unstable();
    Ok(ids)
}

/// Carries out [`crate::store::Request::Open`]. The pair is locked (see `locks`).
pub(super) fn open(
    session: &mut Session,
    (creator, participant): (UserId, UserId),
    content: &str,
    client_id: Option<&str>,
    now: Timestamp,
) -> Outcome {
    let pair = Pair::of(session, creator, participant)?;
    pair.unblocked()?;
    let (conversation, found) = bring_together(session, creator, participant, now)?;
    let stored = append::known(session, conversation, creator, client_id)?;
    let duplicate = stored.is_some();
    let message = if let Some(message) = stored {
        message
    } else {
        let said = Said { conversation, content, attachment: None, client_id };
        append::store(session, pair.asker.card.clone(), &said, now)?
    };
    let for_participant = match found {
        Found::Active => None,
        Found::Nothing | Found::Inactive => Some(view(session, &pair.other.card, conversation)?),
    };
    Ok(Reply::Opened(Box::new(Opened {
        conversation: view(session, &pair.asker.card, conversation)?,
        for_participant,
        message,
        duplicate,
    })))
}

/// Carries out [`crate::store::Request::Leave`].
pub(super) fn leave(session: &mut Session, conversation: ConversationId, user: UserId) -> Outcome {
    access::place(session, conversation, user)?.readable()?;
    session.run(LEAVE, &[&conversation])?;
    Ok(Reply::Left { conversation })
}

/// Answers [`crate::store::Request::Conversations`] in three statements, however many there are.
pub(super) fn list(session: &mut Session, user: UserId, limit: usize) -> Outcome {
    let viewer = access::active(session, user)?;
    let mut views = session.all(LIST, &[&user, &values::limit(limit)], |row| conversation(&row))?;
    seat(session, &viewer, &mut views)?;
    Ok(Reply::Conversations(views))
}

/// Answers [`crate::store::Request::Conversation`].
pub(super) fn one(session: &mut Session, user: UserId, id: ConversationId) -> Outcome {
    let place = access::place(session, id, user)?;
    let viewer = &place.readable()?.status.user;
    Ok(Reply::Conversations(vec![view(session, viewer, id)?]))
}

/// A conversation as its participant `viewer` sees it.
fn view(session: &mut Session, viewer: &Card, id: ConversationId) -> Result<Conversation, Failure> {
    let mut views = session.all(ONE, &[&viewer.id, &id], |row| conversation(&row))?;
    seat(session, viewer, &mut views)?;
    Ok(views.pop().ok_or(Refused::ConversationNotFound)?)
}

/// Fills in the participants of all `views`.
fn seat(
    session: &mut Session,
    viewer: &Card,
    views: &mut [Conversation],
) -> Result<(), StoreError> {
    let ids: Vec<ConversationId> = views.iter().map(|view| view.id).collect();
    let read = |row: Row| (row.get(0), rows::card(&row, 1));
    let mut others: BTreeMap<ConversationId, Vec<Card>> = BTreeMap::new();
    for (conversation, card) in session.all(PARTICIPANTS, &[&ids, &viewer.id], read)? {
        others.entry(conversation).or_default().push(card);
    }
    for view in views {
        view.participants = others.remove(&view.id).unwrap_or_default();
        view.participants.push(viewer.clone());
        view.participants.sort_unstable_by_key(|card| card.id);
    }
    Ok(())
}

/// A view whose participants are still to be filled in.
fn conversation(row: &Row) -> Conversation {
    let newest: Option<MessageId> = row.get(VIEW_COLUMNS);
    Conversation {
        id: row.get(0),
        participants: Vec::new(),
        created_at: row.get(1),
        updated_at: row.get(2),
        is_active: row.get(3),
        last_message: newest.map(|_| rows::message(row, VIEW_COLUMNS)),
        last_seq: row.get(4),
        unread_count: row.get::<_, i64>(5) as u64,
    }
}
