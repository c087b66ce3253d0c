//! Lists of matches, along the indices of active matches by either user.

use std::collections::BTreeMap;

use postgres::Row;

use super::rows::{self, STATUS_COLUMNS};
use super::session::Session;
use super::{access, values};
use crate::model::{ConversationId, MatchPage, MatchView, Profile, UserId};
use crate::store::{Outcome, Reply, Status, StoreError};
use crate::time::Timestamp;

/// A page of matches with the other user of each. Each side gives its newest, as many as may be on the page, in the order of
/// its index; `$one` and `$two` say more of the matches of each side.
macro_rules! match_page {
    ($one:expr, $two:expr, $side:literal, $page:literal) => {
        concat!(
            "SELECT page.id, page.created_at, ",
            status_columns!("u"),
            ", u.first_name, u.last_name, NULLIF(u.bio, ''), NULLIF(u.location, '')
             FROM (
                (SELECT id, created_at, user2_id AS other_id FROM matching_match
                 WHERE user1_id = $1 AND is_active ",
            $one,
            "    ORDER BY created_at DESC, id DESC LIMIT ",
            $side,
            "   )
                UNION ALL
                (SELECT id, created_at, user1_id FROM matching_match
                 WHERE user2_id = $1 AND is_active ",
            $two,
            "    ORDER BY created_at DESC, id DESC LIMIT ",
            $side,
            "   )
                ORDER BY created_at DESC, id DESC LIMIT ",
            $page,
            ") page
             JOIN LATERAL (SELECT * FROM accounts_user WHERE id = page.other_id OFFSET 0) u ON true
             ORDER BY page.created_at DESC, page.id DESC"
        )
    };
}

/// Of matches made at `$2` or later, those with a user whom `$1` does not block, nor is blocked by.
macro_rules! recent {
    ($other:literal) => {
        concat!(
            "AND created_at >= $2
             AND ",
            $other,
            " NOT IN (
                 SELECT to_user_id FROM accounts_user_blocked_users WHERE from_user_id = $1)
             AND ",
            $other,
            " NOT IN (
                 SELECT from_user_id FROM accounts_user_blocked_users WHERE to_user_id = $1)"
        )
    };
}

const RECENT: &str = match_page!(recent!("user2_id"), recent!("user1_id"), "$3", "$3");

const PAGE: &str = match_page!("", "", "$2::bigint + $3::bigint", "$3 OFFSET $2");

const COUNT: &str = "
    SELECT (SELECT count(*) FROM matching_match WHERE user1_id = $1 AND is_active)
         + (SELECT count(*) FROM matching_match WHERE user2_id = $1 AND is_active)";

const CONVERSATIONS: &str = concat!(
    companions!(),
    "SELECT companion.user_id, min(c.id)
     FROM companion
     JOIN conversations_conversation c ON c.id = companion.conversation_id AND c.is_active
     GROUP BY companion.user_id"
);

/// Answers [`crate::store::Request::RecentMatches`].
pub(super) fn recent(
    session: &mut Session,
    user: UserId,
    since: Timestamp,
    limit: usize,
) -> Outcome {
    access::active(session, user)?;
    let mut results =
        session.all(RECENT, &[&user, &since, &values::limit(limit)], |row| match_view(&row))?;
    seat(session, user, &mut results)?;
    Ok(Reply::Matches(MatchPage { count: results.len() as u64, results }))
}

/// Answers [`crate::store::Request::Matches`].
pub(super) fn page(session: &mut Session, user: UserId, offset: usize, limit: usize) -> Outcome {
    access::active(session, user)?;
    let count: i64 = session.one(COUNT, &[&user], |row| row.get(0))?;
    // Their sum is taken by the database.
    let (offset, limit) =
        (values::limit(offset).min(i64::MAX / 2), values::limit(limit).min(i64::MAX / 2));
    let mut results = session.all(PAGE, &[&user, &offset, &limit], |row| match_view(&row))?;
    seat(session, user, &mut results)?;
    Ok(Reply::Matches(MatchPage { count: count as u64, results }))
}

/// Fills in where the viewer and the others talk.
fn seat(session: &mut Session, viewer: UserId, views: &mut [MatchView]) -> Result<(), StoreError> {
    let others: Vec<UserId> = views.iter().map(|view| view.other.card.id).collect();
    let shared = session.all(CONVERSATIONS, &[&viewer, &others], |row| (row.get(0), row.get(1)))?;
    let shared: BTreeMap<UserId, ConversationId> = shared.into_iter().collect();
    for view in views {
        view.conversation = shared.get(&view.other.card.id).copied();
    }
    Ok(())
}

/// A view whose conversation is still to be filled in.
fn match_view(row: &Row) -> MatchView {
    let Status { user, is_online, last_activity } = rows::status(row, 2);
    let rest = 2 + STATUS_COLUMNS;
    MatchView {
        id: row.get(0),
        created_at: row.get(1),
        is_active: true,
        other: Profile {
            card: user,
            first_name: row.get(rest),
            last_name: row.get(rest + 1),
            bio: row.get(rest + 2),
            location: row.get(rest + 3),
            is_online,
            last_activity,
        },
        conversation: None,
    }
}
