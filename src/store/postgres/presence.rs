//! Who is here: all of a set in one statement.

use std::collections::HashMap;

use super::session::Session;
use super::{connection, rows};
use crate::config::PostgresSettings;
use crate::model::{Card, ConversationId, Refused, UserId};
use crate::store::{Outcome, Reply, Request, StoreError};
use crate::time::Timestamp;

/// Keeps states: $1 users, each once, $2 whether each is online, $3 now. Whoever is told of it: the active conversations without
/// a block either way.
const SET: &str = concat!(
    "
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::boolean[]) AS asked (id, is_online)
), locked AS MATERIALIZED (
    SELECT u.id FROM accounts_user u WHERE u.id = ANY ($1) ORDER BY u.id FOR NO KEY UPDATE
), kept AS (
    UPDATE accounts_user u SET is_online = asked.is_online, last_activity = $3
    FROM locked JOIN asked ON asked.id = locked.id
    WHERE u.id = locked.id
    RETURNING u.*
)
SELECT ",
    card_columns!("kept"),
    ",
    ARRAY(SELECT p.conversation_id
          FROM conversations_conversation_participants p
          WHERE p.user_id = kept.id
            AND EXISTS (SELECT FROM conversations_conversation c
                        WHERE c.id = p.conversation_id AND c.is_active)
            AND NOT EXISTS (SELECT FROM conversations_conversation_participants other
                            WHERE other.conversation_id = p.conversation_id
                              AND other.user_id = ANY (blocks.users))
          ORDER BY p.conversation_id)
FROM kept CROSS JOIN LATERAL (
    SELECT ARRAY(SELECT b.to_user_id FROM accounts_user_blocked_users b WHERE b.from_user_id = kept.id
                 UNION ALL
                 SELECT b.from_user_id FROM accounts_user_blocked_users b WHERE b.to_user_id = kept.id)
           AS users
    OFFSET 0
) blocks"
);

/// How long the reset may take, ms: it reads the whole table of users.
const RESET_MS: u64 = 60_000;

/// Carries out the [`Request::SetPresence`]s of `batch` at `places` in one round trip. Of several states of one user the last is
/// kept, and each request is answered with its own.
pub(super) fn set(
    session: &mut Session,
    batch: &[Request],
    places: &[usize],
    now: Timestamp,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), StoreError> {
    let asked = |&place: &usize| {
        let Request::SetPresence { user, is_online } = &batch[place] else {
            unreachable!("the plan gathers by kind");
        };
        (place, *user, *is_online)
    };
    let last: HashMap<UserId, bool> =
        places.iter().map(asked).map(|(_, user, is_online)| (user, is_online)).collect();
    let (users, states): (Vec<UserId>, Vec<bool>) = last.into_iter().unzip();
    let kept: HashMap<UserId, (Card, Vec<ConversationId>)> = session
        .write(SET, &[&users, &states, &now], |row| {
            (row.get(0), (rows::card(&row, 0), row.get(3)))
        })?
        .into_iter()
        .collect();
    for (place, user, is_online) in places.iter().map(asked) {
        outcomes[place] = Some(match kept.get(&user) {
            Some((card, conversations)) => Ok(Reply::Presence {
                user: card.clone(),
                is_online,
                at: now,
                conversations: conversations.clone(),
            }),
            None => Err(Refused::UserNotFound.into()),
        });
    }
    Ok(())
}

/// Takes every user offline, unless another node is alive and has its own online; true exactly when it did.
///
/// Of nodes that start at once, one does: it holds [`connection::PRESENCE_LOCK`] alone, and the others find it taken.
pub(super) fn reset(settings: &PostgresSettings) -> Result<bool, StoreError> {
    let mut session = connection::open_aside(settings)?;
    session.begin(&format!("SET LOCAL statement_timeout = {RESET_MS}"))?;
    let is_alone = session.one(
        "SELECT pg_try_advisory_xact_lock($1)",
        &[&connection::PRESENCE_LOCK],
        |row| row.get(0),
    )?;
    if is_alone {
        session.run("UPDATE accounts_user SET is_online = false WHERE is_online", &[])?;
    }
    session.commit()?;
    Ok(is_alone)
}
