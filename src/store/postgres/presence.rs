//! Who is here, and where: all of a set in one statement.
//!
//! A user is here while some node has them whose lease lasts. Whether they are elsewhere is looked up under the lock of their
//! row, by a statement that begins after it was taken: so two nodes that let a user go at once agree, and the last one knows.

use std::collections::HashMap;

use super::session::Session;
use super::{connection, rows};
use crate::config::PostgresSettings;
use crate::limits::LEASE_FIRST_S;
use crate::model::{Card, ConversationId, NodeId, Refused, UserId};
use crate::store::{Outcome, Reply, Request, StoreError};
use crate::time::Timestamp;

/// Keeps states: $1 users, each once, $2 whether each is here, $3 on which node, $4 now, $5 the first lease of a node, seconds.
/// Those who leave must be locked before: whether they are elsewhere is seen as it was when this began.
const SET: &str = concat!(
    "
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::boolean[], $3::uuid[]) AS asked (id, is_here, node)
), locked AS MATERIALIZED (
    SELECT u.id, coalesce(u.is_online, false) AS was_online
    FROM accounts_user u WHERE u.id = ANY ($1) ORDER BY u.id FOR NO KEY UPDATE
), first AS (
    INSERT INTO fortifun_node (id, is_held, expires_at)
    SELECT DISTINCT asked.node, false, now() + $5::bigint * interval '1 second'
    FROM asked JOIN locked ON locked.id = asked.id WHERE asked.is_here
    ON CONFLICT DO NOTHING
), come AS (
    INSERT INTO fortifun_presence (user_id, node)
    SELECT asked.id, asked.node FROM asked JOIN locked ON locked.id = asked.id WHERE asked.is_here
    ON CONFLICT DO NOTHING
), went AS (
    DELETE FROM fortifun_presence p USING asked
    WHERE p.user_id = asked.id AND p.node = asked.node AND NOT asked.is_here
), judged AS MATERIALIZED (
    SELECT locked.*, asked.is_here OR EXISTS (
               SELECT FROM fortifun_presence p JOIN fortifun_node n ON n.id = p.node
               WHERE p.user_id = asked.id AND p.node <> asked.node AND n.expires_at > now()
           ) AS is_here
    FROM locked JOIN asked ON asked.id = locked.id
), kept AS (
    UPDATE accounts_user u SET is_online = judged.is_here, last_activity = $4
    FROM judged WHERE u.id = judged.id
    RETURNING u.*, judged.was_online
)
",
    told!("kept", ", kept.is_online, kept.was_online")
);

/// How long the reset may take, ms: it reads the whole table of users.
const RESET_MS: u64 = 60_000;

/// What is kept of a user, and who is to hear of it.
struct Kept {
    card: Card,
    conversations: Vec<ConversationId>,
    is_online: bool,
    was_online: bool,
}

/// True exactly when whoever leaves by the [`Request::SetPresence`]s of `batch` at `places` must be locked before [`set`].
pub(super) fn needs_locks(batch: &[Request], places: &[usize]) -> bool {
    let leaves =
        |place: &usize| matches!(batch[*place], Request::SetPresence { is_online: false, .. });
    places.iter().any(leaves)
}

/// Carries out the [`Request::SetPresence`]s of `batch` at `places`, no user twice, in one round trip. Those who leave are locked
/// already (see [`needs_locks`]).
pub(super) fn set(
    session: &mut Session,
    batch: &[Request],
    places: &[usize],
    now: Timestamp,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), StoreError> {
    let asked = |&place: &usize| {
        let Request::SetPresence { user, is_online, node } = &batch[place] else {
            unreachable!("the plan gathers by kind");
        };
        (place, *user, *is_online, *node)
    };
    let mut users: Vec<UserId> = Vec::new();
    let mut states: Vec<bool> = Vec::new();
    let mut nodes: Vec<NodeId> = Vec::new();
    for (_, user, is_here, node) in places.iter().map(asked) {
        users.push(user);
        states.push(is_here);
        nodes.push(node);
    }
    let first_s = i64::from(LEASE_FIRST_S);
    let mut kept: HashMap<UserId, Kept> = session
        .write(SET, &[&users, &states, &nodes, &now, &first_s], |row| {
            let (card, conversations) = rows::told(&row);
            let (is_online, was_online) =
                (row.get(rows::TOLD_COLUMNS), row.get(rows::TOLD_COLUMNS + 1));
            (card.id, Kept { card, conversations, is_online, was_online })
        })?
        .into_iter()
        .collect();
    for (place, user, ..) in places.iter().map(asked) {
        outcomes[place] = Some(match kept.remove(&user) {
            Some(Kept { card, conversations, is_online, was_online }) => Ok(Reply::Presence {
                user: card,
                is_online,
                is_changed: is_online != was_online,
                at: now,
                conversations,
            }),
            None => Err(Refused::UserNotFound.into()),
        });
    }
    Ok(())
}

/// Takes every user offline, unless another node is alive and has its own online; true exactly when it did. A node that lives
/// and has lost its connections finds its lease gone, and tells again who is there.
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
        session.script(
            "UPDATE accounts_user SET is_online = false WHERE is_online;
             DELETE FROM fortifun_presence;
             DELETE FROM fortifun_node",
        )?;
    }
    session.commit()?;
    Ok(is_alone)
}
