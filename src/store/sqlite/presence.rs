//! Who is here on which node, and the leases of nodes.

use rusqlite::{Connection, Row, params};

use super::{query, rows};
use crate::limits::{LEASE_FIRST_S, LEASE_REAP_MAX, NODE_KEPT_S};
use crate::model::{ConversationId, NodeId, Refused, UserId};
use crate::store::{Failure, Gone, Outcome, Reply};
use crate::time::Timestamp;

const WAS_ONLINE: &str = "SELECT coalesce(is_online, 0) FROM accounts_user WHERE id = ?1";

const FIRST_LEASE: &str = "
    INSERT INTO fortifun_node (id, is_held, expires_at) VALUES (?1, 0, ?2) ON CONFLICT DO NOTHING";

const COME: &str = "
    INSERT INTO fortifun_presence (user_id, node) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

const GO: &str = "DELETE FROM fortifun_presence WHERE user_id = ?1 AND node = ?2";

/// Asked of whoever is not here any more, or was here on a node whose lease ended.
const IS_ELSEWHERE: &str = "
    SELECT EXISTS (SELECT 1 FROM fortifun_presence p
                   JOIN fortifun_node n ON n.id = p.node AND n.expires_at > ?2
                   WHERE p.user_id = ?1)";

const SET: &str = "
    UPDATE accounts_user SET is_online = ?2, last_activity = ?3 WHERE id = ?1
    RETURNING id, username, NULLIF(profile_picture, '')";

const AUDIENCE: &str = "
    SELECT c.id
    FROM conversations_conversation_participants p
    JOIN conversations_conversation c ON c.id = p.conversation_id AND c.is_active = 1
    WHERE p.user_id = ?1
      AND NOT EXISTS (
          SELECT 1 FROM conversations_conversation_participants other
          WHERE other.conversation_id = c.id
            AND (EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                         WHERE b.from_user_id = ?1 AND b.to_user_id = other.user_id)
              OR EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                         WHERE b.from_user_id = other.user_id AND b.to_user_id = ?1)))
    ORDER BY c.id";

const WAS_HELD: &str = "SELECT 1 FROM fortifun_node WHERE id = ?1 AND is_held AND expires_at > ?2";

const RENEW: &str = "
    INSERT INTO fortifun_node (id, is_held, expires_at) VALUES (?1, 1, ?2)
    ON CONFLICT DO UPDATE SET is_held = 1, expires_at = excluded.expires_at";

const LEFT: &str = "
    SELECT p.user_id, p.node FROM fortifun_node n CROSS JOIN fortifun_presence p ON p.node = n.id
    WHERE n.expires_at <= ?1
    ORDER BY p.node, p.user_id
    LIMIT ?2";

const FORGET: &str = "
    DELETE FROM fortifun_node
    WHERE expires_at <= ?1
      AND NOT EXISTS (SELECT 1 FROM fortifun_presence p WHERE p.node = fortifun_node.id)";

/// Carries out [`crate::store::Request::SetPresence`].
pub(super) fn set(
    connection: &Connection,
    user: UserId,
    is_here: bool,
    node: NodeId,
    now: Timestamp,
) -> Outcome {
    let was_online: Option<bool> = query::first(connection, WAS_ONLINE, [user], |row| row.get(0))?;
    let Some(was_online) = was_online else {
        query::run(connection, GO, params![user, node])?;
        return Err(Refused::UserNotFound.into());
    };
    let mut is_online = is_here;
    if is_here {
        let until = after(now, i64::from(LEASE_FIRST_S));
        query::run(connection, FIRST_LEASE, params![node, until])?;
        query::run(connection, COME, params![user, node])?;
    } else {
        query::run(connection, GO, params![user, node])?;
        is_online = is_elsewhere(connection, user, now)?;
    }
    let gone = tell(connection, user, is_online, now)?;
    let is_changed = is_online != was_online;
    let Gone { user, at, conversations } = gone;
    Ok(Reply::Presence { user, is_online, is_changed, at, conversations })
}

/// Carries out [`crate::store::Request::Lease`].
pub(super) fn lease(
    connection: &Connection,
    node: NodeId,
    lease_s: u32,
    reap: bool,
    now: Timestamp,
) -> Outcome {
    let was_held = query::first(connection, WAS_HELD, params![node, now], |_| Ok(()))?.is_some();
    query::run(connection, RENEW, params![node, after(now, i64::from(lease_s))])?;
    let (offline, has_more) = if reap { self::reap(connection, now)? } else { (Vec::new(), false) };
    Ok(Reply::Lease { was_held, offline, has_more })
}

fn reap(connection: &Connection, now: Timestamp) -> Result<(Vec<Gone>, bool), Failure> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let limit = params![now, LEASE_REAP_MAX as i64 + 1];
    let mut left: Vec<(UserId, NodeId)> = query::all(connection, LEFT, limit, read)?;
    let has_more = left.len() > LEASE_REAP_MAX;
    left.truncate(LEASE_REAP_MAX);
    for (user, node) in &left {
        query::run(connection, GO, params![user, node])?;
    }
    left.sort_unstable();
    left.dedup_by_key(|(user, _)| *user);
    let mut offline = Vec::new();
    for (user, _) in left {
        let was_online = query::first(connection, WAS_ONLINE, [user], |row| row.get(0))?;
        if was_online == Some(true) && !is_elsewhere(connection, user, now)? {
            offline.push(tell(connection, user, false, now)?);
        }
    }
    query::run(connection, FORGET, [after(now, -NODE_KEPT_S)])?;
    Ok((offline, has_more))
}

/// Keeps the state of a user that is there, and finds who is to hear of it.
fn tell(
    connection: &Connection,
    user: UserId,
    is_online: bool,
    now: Timestamp,
) -> Result<Gone, Failure> {
    let state = params![user, is_online, now];
    let card = query::one(connection, SET, state, |row| rows::card(row, 0))?;
    let conversations: Vec<ConversationId> =
        query::all(connection, AUDIENCE, [user], |row| row.get(0))?;
    Ok(Gone { user: card, at: now, conversations })
}

fn is_elsewhere(connection: &Connection, user: UserId, now: Timestamp) -> Result<bool, Failure> {
    Ok(query::one(connection, IS_ELSEWHERE, params![user, now], |row| row.get(0))?)
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.plus_ms(seconds * 1_000)
}
