//! Leases of nodes: while one lasts, its node is alive. By the database's clock, which all nodes share.
//!
//! Whoever takes users of other nodes offline waits for nobody: nodes and users that are locked are left for the next time. So it
//! stands in nobody's way, whatever its transaction holds already.

use postgres::Row;

use super::rows;
use super::session::Session;
use crate::limits::{LEASE_REAP_MAX, NODE_KEPT_S};
use crate::model::{NodeId, UserId};
use crate::store::{Gone, Outcome, Reply, StoreError};
use crate::time::Timestamp;

/// $1 node, $2 seconds. Waits for whoever finds the node gone at this moment.
const RENEW: &str = "
WITH was AS MATERIALIZED (
    SELECT n.is_held AND n.expires_at > now() AS is_held FROM fortifun_node n WHERE n.id = $1 FOR UPDATE
), renewed AS (
    INSERT INTO fortifun_node (id, is_held, expires_at)
    SELECT $1, true, now() + $2::bigint * interval '1 second' FROM (SELECT count(*) FROM was) AS looked
    ON CONFLICT (id) DO UPDATE SET is_held = true, expires_at = excluded.expires_at
)
SELECT coalesce((SELECT is_held FROM was), false)";

/// Who is left on nodes whose lease ended: $1 at most, $2 for how long a node is remembered, seconds.
const LEFT: &str = "
WITH ended AS MATERIALIZED (
    SELECT n.id, n.expires_at FROM fortifun_node n WHERE n.expires_at <= now()
    ORDER BY n.id FOR UPDATE SKIP LOCKED
), forgotten AS (
    DELETE FROM fortifun_node n USING ended
    WHERE n.id = ended.id AND ended.expires_at <= now() - $2::bigint * interval '1 second'
      AND NOT EXISTS (SELECT FROM fortifun_presence p WHERE p.node = ended.id)
)
SELECT here.user_id, ended.id
FROM ended CROSS JOIN LATERAL (
    SELECT p.user_id FROM fortifun_presence p WHERE p.node = ended.id ORDER BY p.user_id LIMIT $1
) here
ORDER BY ended.id, here.user_id
LIMIT $1";

const LOCK_USERS: &str = "
    SELECT u.id FROM accounts_user u WHERE u.id = ANY ($1) ORDER BY u.id FOR NO KEY UPDATE SKIP LOCKED";

/// $1 users and $2 the nodes that had them, $3 those users that are locked, $4 now. Users whom Django deleted leave as well.
const REAP: &str = concat!(
    "
WITH removed AS (
    DELETE FROM fortifun_presence p USING unnest($1::bigint[], $2::uuid[]) AS was (user_id, node)
    WHERE p.user_id = was.user_id AND p.node = was.node
      AND (p.user_id = ANY ($3)
           OR NOT EXISTS (SELECT FROM accounts_user u WHERE u.id = p.user_id))
), gone AS (
    UPDATE accounts_user u SET is_online = false, last_activity = $4
    WHERE u.id = ANY ($3) AND u.is_online
      AND NOT EXISTS (SELECT FROM fortifun_presence p JOIN fortifun_node n ON n.id = p.node
                      WHERE p.user_id = u.id AND n.expires_at > now())
    RETURNING u.*
)
",
    told!("gone", ""),
    " ORDER BY gone.id"
);

/// Carries out [`crate::store::Request::Lease`], in a transaction.
pub(super) fn lease(
    session: &mut Session,
    node: NodeId,
    lease_s: u32,
    reap: bool,
    now: Timestamp,
) -> Outcome {
    let was_held = session.one(RENEW, &[&node, &i64::from(lease_s)], |row| row.get(0))?;
    let (offline, has_more) = if reap { self::reap(session, now)? } else { (Vec::new(), false) };
    Ok(Reply::Lease { was_held, offline, has_more })
}

fn reap(session: &mut Session, now: Timestamp) -> Result<(Vec<Gone>, bool), StoreError> {
    let limit = LEASE_REAP_MAX as i64 + 1;
    let read = |row: Row| (row.get(0), row.get(1));
    let mut left: Vec<(UserId, NodeId)> = session.all(LEFT, &[&limit, &NODE_KEPT_S], read)?;
    let has_more = left.len() > LEASE_REAP_MAX;
    left.truncate(LEASE_REAP_MAX);
    if left.is_empty() {
        return Ok((Vec::new(), false));
    }
    let (users, nodes): (Vec<UserId>, Vec<NodeId>) = left.into_iter().unzip();
    let locked: Vec<UserId> = session.all(LOCK_USERS, &[&users], |row| row.get(0))?;
    let gone = |row: Row| {
        let (user, conversations) = rows::told(&row);
        Gone { user, at: now, conversations }
    };
    let offline = session.all(REAP, &[&users, &nodes, &locked, &now], gone)?;
    Ok((offline, has_more))
}
