//! What a batch locks before it looks at anything, so that nodes neither do a thing twice nor wait for each other in a ring.
//!
//! Two users have no row of their own, and most that like each other for the first time have no conversation either. So
//! whatever concerns a pair (likes, blocks, what they open together) stands behind an advisory lock on the pair, held to the
//! end of the transaction; rows of `accounts_user` stay free for presence and for Django. While it is held, no node changes
//! what the pair is to each other or makes them a conversation, so that the conversations that they share are known and are
//! locked with those that the batch names.
//!
//! The order is the same everywhere: pairs by key, conversations by id, then users by id. Participants are changed under the
//! lock of their conversation alone. Transactions that keep to it cannot deadlock, and what a statement sees after it waited is what the others left. Django takes no advisory locks:
//! where it makes a pair a conversation between two of these steps, that one is locked late, and a ring, should there be one,
//! ends as a deadlock, which is tried again.

use std::fmt::Write as _;

use postgres::Row;

use super::session::Session;
use crate::model::{ConversationId, UserId};
use crate::store::{Request, StoreError};

/// In the order of the array.
const LOCK_PAIRS: &str = "SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) key";

/// What the pairs `$1`, `$2` share, active or not.
const SHARED_BY_PAIRS: &str = concat!(
    "SELECT shared.conversation_id
     FROM unnest($1::bigint[], $2::bigint[]) pair (a, b)
     CROSS JOIN LATERAL (",
    shared_by!("pair.a", "pair.b"),
    ") shared"
);

const LOCK_CONVERSATIONS: &str = "
    SELECT id FROM conversations_conversation WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

const LOCK_USERS: &str = "
    SELECT id FROM accounts_user WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

/// Statements that lock the conversations that `batch` names and then those who come or go, each by id; empty where there are
/// none. For a batch without pairs.
pub(super) fn script(batch: &[Request]) -> String {
    let named = conversations(batch).into_iter().map(|id| id.0);
    let mut sql = statement("conversations_conversation", named);
    sql.push_str(&statement("accounts_user", users(batch).into_iter().map(|id| id.0)));
    sql
}

/// A statement that locks the rows `ids` of `table` in their order, which is ascending; empty where there are none.
pub(super) fn statement(table: &str, ids: impl IntoIterator<Item = i64>) -> String {
    let mut sql = String::new();
    for id in ids {
        if sql.is_empty() {
            let _ = write!(sql, "SELECT FROM {table} WHERE id IN ({id}");
        } else {
            let _ = write!(sql, ", {id}");
        }
    }
    if !sql.is_empty() {
        sql.push_str(") ORDER BY id FOR NO KEY UPDATE;");
    }
    sql
}

/// Locks all that `batch` is about: the pairs, then the conversations that it names and those that its pairs share, then those
/// who come or go. At most four statements, whatever the size.
///
/// Each pair is one lock of the server's shared table until the transaction ends (`max_locks_per_transaction`).
pub(super) fn lock(session: &mut Session, batch: &[Request]) -> Result<(), StoreError> {
    let keys = pairs(batch);
    let mut ids = conversations(batch);
    if !keys.is_empty() {
        session.run(LOCK_PAIRS, &[&keys])?;
        let (a, b): (Vec<UserId>, Vec<UserId>) = batch.iter().filter_map(joined).unzip();
        if !a.is_empty() {
            let read = |row: Row| row.get::<_, ConversationId>(0);
            ids.extend(session.all(SHARED_BY_PAIRS, &[&a, &b], read)?);
            ids.sort_unstable();
            ids.dedup();
        }
    }
    if !ids.is_empty() {
        session.run(LOCK_CONVERSATIONS, &[&ids])?;
    }
    let users = users(batch);
    if !users.is_empty() {
        session.run(LOCK_USERS, &[&users])?;
    }
    Ok(())
}

/// The keys of the pairs that `batch` concerns, ascending, each once.
pub(super) fn pairs(batch: &[Request]) -> Vec<i64> {
    let mut keys: Vec<i64> = batch.iter().filter_map(pair).map(|(a, b)| key(a, b)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The conversations that `batch` names, ascending, each once.
pub(super) fn conversations(batch: &[Request]) -> Vec<ConversationId> {
    let named = |request: &Request| match request {
        Request::Append { conversation, .. }
        | Request::MarkRead { conversation, .. }
        | Request::Leave { conversation, .. } => Some(*conversation),
        _ => None,
    };
    let mut ids: Vec<_> = batch.iter().filter_map(named).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Those who come or go by `batch`, ascending, each once.
fn users(batch: &[Request]) -> Vec<UserId> {
    let named = |request: &Request| match request {
        Request::SetPresence { user, .. } => Some(*user),
        _ => None,
    };
    let mut ids: Vec<_> = batch.iter().filter_map(named).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The two that a request concerns, the smaller id first.
fn pair(request: &Request) -> Option<(UserId, UserId)> {
    match *request {
        Request::Like { liker: a, liked: b, .. }
        | Request::Unlike { liker: a, liked: b }
        | Request::Block { blocker: a, blocked: b }
        | Request::Unblock { blocker: a, blocked: b }
        | Request::Open { creator: a, participant: b, .. } => Some((a.min(b), a.max(b))),
        _ => None,
    }
}

/// The two whom a request may bring together in a conversation.
fn joined(request: &Request) -> Option<(UserId, UserId)> {
    match request {
        Request::Like { .. } | Request::Open { .. } => pair(request),
        _ => None,
    }
}

/// The pair as one word. Two pairs of one key, which may be, wait for each other and are told apart all the same.
const fn key(a: UserId, b: UserId) -> i64 {
    mix(mix(a.0 as u64) ^ b.0 as u64) as i64
}

/// Spreads its argument over all 64 bits (the finaliser of Steele, Lea and Flood's SplitMix).
const fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn like(a: i64, b: i64) -> Request {
        Request::Like { liker: UserId(a), liked: UserId(b), welcome: "hello".into() }
    }

    #[test]
    fn a_pair_has_one_key_whoever_asks_and_others_have_others() {
        assert_eq!(pairs(&[like(1, 2)]), pairs(&[like(2, 1), like(1, 2)]));
        let all: Vec<_> = (1..100).flat_map(|a| (a + 1..100).map(move |b| like(a, b))).collect();
        let keys = pairs(&all);
        assert_eq!(keys.len(), all.len());
        assert!(keys.is_sorted());
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    }
    #[test]
    fn conversations_are_named_in_one_order() {
        let leave = |id| Request::Leave { conversation: ConversationId(id), user: UserId(1) };
        let named = conversations(&[leave(3), like(1, 2), leave(1), leave(3)]);
        assert_eq!(named, [ConversationId(1), ConversationId(3)]);
    }
}
