//! What users do to each other: likes, the matches they complete, blocks. The pair is locked (see `locks`).
//!
//! What Django may have done to the pair in the same instant is met by `ON CONFLICT`: its row stands.

use super::access::Pair;
use super::append::{self, Said};
use super::conversations::{self, Found};
use super::session::Session;
use crate::model::{Card, Match, MatchId, Refused, UserId};
use crate::store::{Failure, Made, Outcome, Reply};
use crate::time::Timestamp;

const LIKE: &str = "
    INSERT INTO accounts_user_liked_users (from_user_id, to_user_id) VALUES ($1, $2)
    ON CONFLICT (from_user_id, to_user_id) DO NOTHING";

/// A match ends with a like that it rested on, and with none other.
const UNLIKE: &str = "
    WITH gone AS (
        DELETE FROM accounts_user_liked_users WHERE from_user_id = $1 AND to_user_id = $2
        RETURNING id)
    UPDATE matching_match SET is_active = false
    WHERE user1_id = least($1, $2) AND user2_id = greatest($1, $2) AND is_active
      AND EXISTS (SELECT 1 FROM gone)";

const BLOCK: &str = "
    WITH block AS (
        INSERT INTO accounts_user_blocked_users (from_user_id, to_user_id) VALUES ($1, $2)
        ON CONFLICT (from_user_id, to_user_id) DO NOTHING),
    likes AS (
        DELETE FROM accounts_user_liked_users
        WHERE (from_user_id = $1 AND to_user_id = $2) OR (from_user_id = $2 AND to_user_id = $1))
    UPDATE matching_match SET is_active = false
    WHERE user1_id = least($1, $2) AND user2_id = greatest($1, $2) AND is_active";

const UNBLOCK: &str =
    "DELETE FROM accounts_user_blocked_users WHERE from_user_id = $1 AND to_user_id = $2";

/// Makes the match of `$1` and `$2`, or makes it active again; no row where it is active.
const MATCH: &str = "
    WITH again AS (
        UPDATE matching_match SET is_active = true, created_at = $3
        WHERE user1_id = $1 AND user2_id = $2 AND NOT is_active
        RETURNING id),
    made AS (
        INSERT INTO matching_match (created_at, is_active, user1_id, user2_id)
        SELECT $3, true, $1, $2
        WHERE NOT EXISTS (SELECT 1 FROM matching_match WHERE user1_id = $1 AND user2_id = $2)
        ON CONFLICT (user1_id, user2_id) DO NOTHING
        RETURNING id)
    SELECT id FROM again UNION ALL SELECT id FROM made";

/// Carries out [`crate::store::Request::Like`].
pub(super) fn like(
    session: &mut Session,
    liker: UserId,
    liked: UserId,
    welcome: &str,
    now: Timestamp,
) -> Outcome {
    let pair = Pair::of(session, liker, liked)?;
    pair.unblocked()?;
    if pair.asker.likes || session.run(LIKE, &[&liker, &liked])? == 0 {
        return Err(Refused::AlreadyLiked.into());
    }
    let made = if pair.other.likes {
        make_match(session, &pair.asker.card, liked, welcome, now)?
    } else {
        None
    };
    Ok(Reply::Liked { liker: pair.asker.card, liked: pair.other.card, made: made.map(Box::new) })
}

/// Carries out [`crate::store::Request::Unlike`].
pub(super) fn unlike(session: &mut Session, liker: UserId, liked: UserId) -> Outcome {
    Pair::of(session, liker, liked)?;
    session.run(UNLIKE, &[&liker, &liked])?;
    Ok(Reply::Done)
}

/// Carries out [`crate::store::Request::Block`].
pub(super) fn block(session: &mut Session, blocker: UserId, blocked: UserId) -> Outcome {
    Pair::of(session, blocker, blocked)?;
    session.run(BLOCK, &[&blocker, &blocked])?;
    let conversations = conversations::shared(session, blocker, blocked)?;
    Ok(Reply::Blocked { blocker, blocked, conversations })
}

/// Carries out [`crate::store::Request::Unblock`].
pub(super) fn unblock(session: &mut Session, blocker: UserId, blocked: UserId) -> Outcome {
    let pair = Pair::of(session, blocker, blocked)?;
    session.run(UNBLOCK, &[&blocker, &blocked])?;
    let conversations = if pair.other.blocks {
        Vec::new()
    } else {
        conversations::shared(session, blocker, blocked)?
    };
    Ok(Reply::Unblocked { conversations })
}

/// The match of two who like each other, and their conversation; `None` where it is active already.
fn make_match(
    session: &mut Session,
    liker: &Card,
    liked: UserId,
    welcome: &str,
    now: Timestamp,
) -> Result<Option<Made>, Failure> {
    let (user1, user2) = (liker.id.min(liked), liker.id.max(liked));
    let made: Option<MatchId> = session.first(MATCH, &[&user1, &user2, &now], |row| row.get(0))?;
    let Some(id) = made else {
        return Ok(None);
    };
    let (conversation, found) = conversations::bring_together(session, liker.id, liked, now)?;
    let welcome = match found {
        Found::Nothing => {
            let said = Said { conversation, content: welcome, attachment: None, client_id: None };
            Some(append::store(session, liker.clone(), &said, now)?)
        }
        Found::Inactive | Found::Active => None,
    };
    Ok(Some(Made { made: Match { id, conversation, created_at: now }, welcome }))
}
