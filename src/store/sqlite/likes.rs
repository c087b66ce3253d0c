//! What users do to each other: likes, the matches they complete, blocks.

use rusqlite::{Connection, params};

use super::append::{self, Said};
use super::conversations::{self, Found};
use super::{access, query};
use crate::model::{Card, Match, MatchId, Refused, UserId};
use crate::store::{Failure, Made, Outcome, Reply};
use crate::time::Timestamp;

const LIKES: &str = "
    SELECT EXISTS (SELECT 1 FROM accounts_user_liked_users
                   WHERE from_user_id = ?1 AND to_user_id = ?2)";

const LIKE: &str =
    "INSERT INTO accounts_user_liked_users (from_user_id, to_user_id) VALUES (?1, ?2)";

const UNLIKE: &str =
    "DELETE FROM accounts_user_liked_users WHERE from_user_id = ?1 AND to_user_id = ?2";

const BLOCK: &str =
    "INSERT INTO accounts_user_blocked_users (from_user_id, to_user_id) VALUES (?1, ?2)";

const UNBLOCK: &str =
    "DELETE FROM accounts_user_blocked_users WHERE from_user_id = ?1 AND to_user_id = ?2";

const MATCH: &str =
    "SELECT id, is_active FROM matching_match WHERE user1_id = ?1 AND user2_id = ?2";

const MAKE: &str = "
    INSERT INTO matching_match (created_at, is_active, user1_id, user2_id)
    VALUES (?1, 1, ?2, ?3)";

const MAKE_AGAIN: &str = "UPDATE matching_match SET is_active = 1, created_at = ?2 WHERE id = ?1";

const END: &str = "
    UPDATE matching_match SET is_active = 0
    WHERE user1_id = ?1 AND user2_id = ?2 AND is_active = 1";

/// Carries out [`crate::store::Request::Like`].
pub(super) fn like(
    connection: &Connection,
    liker: UserId,
    liked: UserId,
    welcome: &str,
    now: Timestamp,
) -> Outcome {
    let (liker, liked) = access::two(connection, liker, liked)?;
    access::unblocked(connection, liker.id, liked.id)?;
    if likes(connection, liker.id, liked.id)? {
        return Err(Refused::AlreadyLiked.into());
    }
    query::run(connection, LIKE, [liker.id, liked.id])?;
    let made = if likes(connection, liked.id, liker.id)? {
        make_match(connection, &liker, liked.id, welcome, now)?
    } else {
        None
    };
    Ok(Reply::Liked { liker, liked, made: made.map(Box::new) })
}

/// Carries out [`crate::store::Request::Unlike`].
pub(super) fn unlike(connection: &Connection, liker: UserId, liked: UserId) -> Outcome {
    access::two(connection, liker, liked)?;
    if query::run(connection, UNLIKE, [liker, liked])? > 0 {
        query::run(connection, END, ordered(liker, liked))?;
    }
    Ok(Reply::Done)
}

/// Carries out [`crate::store::Request::Block`].
pub(super) fn block(connection: &Connection, blocker: UserId, blocked: UserId) -> Outcome {
    access::two(connection, blocker, blocked)?;
    if !access::is_blocked(connection, blocker, blocked)? {
        query::run(connection, BLOCK, [blocker, blocked])?;
    }
    query::run(connection, UNLIKE, [blocker, blocked])?;
    query::run(connection, UNLIKE, [blocked, blocker])?;
    query::run(connection, END, ordered(blocker, blocked))?;
    let conversations = conversations::shared(connection, blocker, blocked)?;
    Ok(Reply::Blocked { blocker, blocked, conversations })
}

/// Carries out [`crate::store::Request::Unblock`].
pub(super) fn unblock(connection: &Connection, blocker: UserId, blocked: UserId) -> Outcome {
    access::two(connection, blocker, blocked)?;
    query::run(connection, UNBLOCK, [blocker, blocked])?;
    let conversations = if access::is_blocked(connection, blocked, blocker)? {
        Vec::new()
    } else {
        conversations::shared(connection, blocker, blocked)?
    };
    Ok(Reply::Unblocked { conversations })
}

fn likes(connection: &Connection, liker: UserId, liked: UserId) -> Result<bool, Failure> {
    Ok(query::one(connection, LIKES, [liker, liked], |row| row.get(0))?)
}

/// The match of two who like each other, and their conversation; `None` where it is active already.
fn make_match(
    connection: &Connection,
    liker: &Card,
    liked: UserId,
    welcome: &str,
    now: Timestamp,
) -> Result<Option<Made>, Failure> {
    let [user1, user2] = ordered(liker.id, liked);
    let known =
        query::first(connection, MATCH, [user1, user2], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let id = match known {
        Some((_, true)) => return Ok(None),
        Some((id, false)) => {
            query::run(connection, MAKE_AGAIN, params![id, now])?;
            id
        }
        None => {
            query::run(connection, MAKE, params![now, user1, user2])?;
            MatchId(connection.last_insert_rowid())
        }
    };
    let (conversation, found) = conversations::bring_together(connection, liker.id, liked, now)?;
    let welcome = match found {
        Found::Nothing => {
            let said = Said { conversation, content: welcome, attachment: None, client_id: None };
            Some(append::store(connection, liker.clone(), &said, now)?)
        }
        Found::Inactive | Found::Active => None,
    };
    Ok(Some(Made { made: Match { id, conversation, created_at: now }, welcome }))
}

/// The two as `matching_match` keeps them.
fn ordered(a: UserId, b: UserId) -> [UserId; 2] {
    [a.min(b), a.max(b)]
}
