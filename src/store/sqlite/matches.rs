//! Lists of matches, along the indices of active matches by either user.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use super::rows::{self, STATUS_COLUMNS};
use super::{access, query, values};
use crate::model::{ConversationId, MatchPage, MatchView, Profile, UserId};
use crate::store::{Failure, Outcome, Reply, Status};
use crate::time::Timestamp;

/// A page of matches with the other user of each: `$filter` speaks of `created_at` and `other_id`.
macro_rules! match_page {
    ($since:literal, $filter:literal, $limit:literal) => {
        concat!(
            "SELECT page.id, page.created_at, ",
            status_columns!("u"),
            ", u.first_name, u.last_name, u.bio, u.location
             FROM (
                SELECT id, created_at, other_id FROM (
                    SELECT id, created_at, user2_id AS other_id FROM matching_match
                    WHERE user1_id = ?1 AND is_active = 1 ",
            $since,
            "       UNION ALL
                    SELECT id, created_at, user1_id FROM matching_match
                    WHERE user2_id = ?1 AND is_active = 1 ",
            $since,
            "   ) ",
            $filter,
            "   ORDER BY created_at DESC, id DESC ",
            $limit,
            ") page
             JOIN accounts_user u ON u.id = page.other_id
             ORDER BY page.created_at DESC, page.id DESC"
        )
    };
}

const RECENT: &str = match_page!(
    "AND created_at >= ?2",
    "WHERE NOT EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                       WHERE b.from_user_id = ?1 AND b.to_user_id = other_id)
       AND NOT EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                       WHERE b.from_user_id = other_id AND b.to_user_id = ?1)",
    "LIMIT ?3"
);

const PAGE: &str = match_page!("", "", "LIMIT ?3 OFFSET ?2");

const COUNT: &str = "
    SELECT (SELECT count(*) FROM matching_match WHERE user1_id = ?1 AND is_active = 1)
         + (SELECT count(*) FROM matching_match WHERE user2_id = ?1 AND is_active = 1)";

const CONVERSATIONS: &str = "
    SELECT theirs.user_id, min(c.id)
    FROM conversations_conversation_participants mine
    JOIN conversations_conversation c ON c.id = mine.conversation_id AND c.is_active = 1
    CROSS JOIN conversations_conversation_participants theirs
        ON theirs.conversation_id = c.id AND theirs.user_id <> ?1
    WHERE mine.user_id = ?1
      AND theirs.user_id IN (SELECT asked.value FROM json_each(?2) asked)
    GROUP BY theirs.user_id";

/// Answers [`crate::store::Request::RecentMatches`].
pub(super) fn recent(
    connection: &Connection,
    user: UserId,
    since: Timestamp,
    limit: usize,
) -> Outcome {
    access::active(connection, user)?;
    let bounds = params![user, since, values::limit(limit)];
    let mut results = query::all(connection, RECENT, bounds, match_view)?;
    seat(connection, user, &mut results)?;
    Ok(Reply::Matches(MatchPage { count: results.len() as u64, results }))
}

/// Answers [`crate::store::Request::Matches`].
pub(super) fn page(connection: &Connection, user: UserId, offset: usize, limit: usize) -> Outcome {
    access::active(connection, user)?;
    let count: i64 = query::one(connection, COUNT, [user], |row| row.get(0))?;
    let bounds = params![user, values::limit(offset), values::limit(limit)];
    let mut results = query::all(connection, PAGE, bounds, match_view)?;
    seat(connection, user, &mut results)?;
    Ok(Reply::Matches(MatchPage { count: count as u64, results }))
}

/// Fills in where the viewer and the others talk.
fn seat(connection: &Connection, viewer: UserId, views: &mut [MatchView]) -> Result<(), Failure> {
    let others = values::json(views.iter().map(|view| view.other.card.id.0));
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let shared: BTreeMap<UserId, ConversationId> =
        query::all(connection, CONVERSATIONS, params![viewer, others], read)?.into_iter().collect();
    for view in views {
        view.conversation = shared.get(&view.other.card.id).copied();
    }
    Ok(())
}

/// A view whose conversation is still to be filled in.
fn match_view(row: &Row<'_>) -> rusqlite::Result<MatchView> {
    let Status { user, is_online, last_activity } = rows::status(row, 2)?;
    let rest = 2 + STATUS_COLUMNS;
    Ok(MatchView {
        id: row.get(0)?,
        created_at: row.get(1)?,
        is_active: true,
        other: Profile {
            card: user,
            first_name: row.get(rest)?,
            last_name: row.get(rest + 1)?,
            bio: row.get(rest + 2)?,
            location: row.get(rest + 3)?,
            is_online,
            last_activity,
        },
        conversation: None,
    })
}
