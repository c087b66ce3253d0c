//! Columns that many statements read, and what they become. The macros are seen by all modules of the store.

use postgres::Row;

use crate::model::{Card, ConversationId, Message};
use crate::store::Status;

/// A user's card, `CARD_COLUMNS` columns of the table called `$user`.
macro_rules! card_columns {
    ($user:literal) => {
        concat!($user, ".id, ", $user, ".username, NULLIF(", $user, ".profile_picture, '')")
    };
}

/// A user's presence, `STATUS_COLUMNS` columns of the table called `$user`.
macro_rules! status_columns {
    ($user:literal) => {
        concat!(card_columns!($user), ", ", $user, ".is_online, ", $user, ".last_activity")
    };
}

/// A message, eleven columns of the tables called `m` and `sender`.
macro_rules! message_columns {
    () => {
        concat!(
            "m.id, m.conversation_id, m.seq, m.content, m.created_at, m.is_read,
             NULLIF(m.attachment, ''), m.client_id, ",
            card_columns!("sender")
        )
    };
}

/// Joins the senders of the messages `m`, one look-up each however many the planner expects.
macro_rules! join_sender {
    () => {
        "JOIN LATERAL (SELECT * FROM accounts_user u WHERE u.id = m.sender_id OFFSET 0) sender ON true"
    };
}

/// `companion`: those of the users `$2` that `$1` shares a conversation with, and each that they share; one walk over the
/// conversations of `$1`, whatever the others have.
macro_rules! companions {
    () => {
        "WITH companion AS MATERIALIZED (
            SELECT theirs.user_id, theirs.conversation_id
            FROM conversations_conversation_participants theirs
            WHERE theirs.conversation_id = ANY (ARRAY(
                SELECT mine.conversation_id FROM conversations_conversation_participants mine
                WHERE mine.user_id = $1))
              AND theirs.user_id <> $1
              AND (theirs.user_id IN (SELECT asked.id FROM unnest($2::bigint[]) asked (id))) IS TRUE)
        "
    };
}

/// The conversations that `$a` and `$b` share, active or not: two ranges of one index, read and met.
macro_rules! shared_by {
    ($a:literal, $b:literal) => {
        concat!(
            "SELECT p.conversation_id FROM conversations_conversation_participants p
             WHERE p.user_id = ",
            $a,
            " INTERSECT
             SELECT p.conversation_id FROM conversations_conversation_participants p
             WHERE p.user_id = ",
            $b
        )
    };
}

/// Users that are rows of `$user`, and whoever is told of their presence: `TOLD_COLUMNS` columns, then `$more`. Told are the
/// active conversations without a block either way.
macro_rules! told {
    ($user:literal, $more:literal) => {
        concat!(
            "SELECT ",
            card_columns!($user),
            ",
    ARRAY(SELECT p.conversation_id
          FROM conversations_conversation_participants p
          WHERE p.user_id = ",
            $user,
            ".id
            AND EXISTS (SELECT FROM conversations_conversation c
                        WHERE c.id = p.conversation_id AND c.is_active)
            AND NOT EXISTS (SELECT FROM conversations_conversation_participants other
                            WHERE other.conversation_id = p.conversation_id
                              AND other.user_id = ANY (blocks.users))
          ORDER BY p.conversation_id)",
            $more,
            "
FROM ",
            $user,
            " CROSS JOIN LATERAL (
    SELECT ARRAY(SELECT b.to_user_id FROM accounts_user_blocked_users b WHERE b.from_user_id = ",
            $user,
            ".id
                 UNION ALL
                 SELECT b.from_user_id FROM accounts_user_blocked_users b WHERE b.to_user_id = ",
            $user,
            ".id)
           AS users
    OFFSET 0
) blocks"
        )
    };
}

/// How many columns `told` begins with.
pub(super) const TOLD_COLUMNS: usize = 4;
/// How many columns `status_columns` are.
pub(super) const STATUS_COLUMNS: usize = 5;

/// Reads `card_columns` from column `at` on.
pub(super) fn card(row: &Row, at: usize) -> Card {
    Card {
        id: row.get(at),
        username: row.get::<_, &str>(at + 1).into(),
        profile_picture: row.get::<_, Option<&str>>(at + 2).map(Into::into),
    }
}

/// Reads what `told` begins with.
pub(super) fn told(row: &Row) -> (Card, Vec<ConversationId>) {
    (card(row, 0), row.get(3))
}

/// Reads `status_columns` from column `at` on.
pub(super) fn status(row: &Row, at: usize) -> Status {
    Status {
        user: card(row, at),
        is_online: row.get::<_, Option<bool>>(at + 3).unwrap_or(false),
        last_activity: row.get(at + 4),
    }
}

/// Reads `message_columns` from column `at` on.
pub(super) fn message(row: &Row, at: usize) -> Message {
    Message {
        id: row.get(at),
        conversation: row.get(at + 1),
        seq: row.get(at + 2),
        content: row.get(at + 3),
        created_at: row.get(at + 4),
        is_read: row.get(at + 5),
        attachment: row.get(at + 6),
        client_id: row.get(at + 7),
        sender: card(row, at + 8),
    }
}
