//! Who somebody is, and whether they may: what requests ask before they do anything. One statement a question.

use postgres::Row;

use super::rows::{self, STATUS_COLUMNS};
use super::session::Session;
use crate::model::{Card, ConversationId, Refused, Seq, UserId};
use crate::store::Failure;
use crate::store::place::{Member, Place};

const PLACE: &str = concat!(
    "SELECT ",
    status_columns!("u"),
    ", p.last_read_seq, c.is_active, c.last_seq, u.is_active,
         EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                 WHERE b.from_user_id = $2 AND b.to_user_id = p.user_id),
         EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                 WHERE b.from_user_id = p.user_id AND b.to_user_id = $2)
     FROM conversations_conversation c
     JOIN conversations_conversation_participants p ON p.conversation_id = c.id
     JOIN accounts_user u ON u.id = p.user_id
     WHERE c.id = $1
     ORDER BY p.user_id"
);

const ACTIVE: &str =
    concat!("SELECT ", card_columns!("u"), " FROM accounts_user u WHERE u.id = $1 AND u.is_active");

/// What each of two is to the other.
const PAIR: &str = concat!(
    "SELECT ",
    card_columns!("u"),
    ", EXISTS (SELECT 1 FROM accounts_user_blocked_users b
               WHERE b.from_user_id = u.id AND b.to_user_id = asked.other_id),
       EXISTS (SELECT 1 FROM accounts_user_liked_users l
               WHERE l.from_user_id = u.id AND l.to_user_id = asked.other_id)
     FROM (VALUES ($1::bigint, $2::bigint), ($2, $1)) asked (id, other_id)
     JOIN accounts_user u ON u.id = asked.id
     WHERE u.is_active"
);

/// How many columns a card is.
const CARD_COLUMNS: usize = 3;

/// Looks without judging: see [`Place::readable`] and [`Place::speakable`].
///
/// # Errors
///
/// Refused as `ConversationNotFound` where there is none.
pub(super) fn place(
    session: &mut Session,
    conversation: ConversationId,
    asker: UserId,
) -> Result<Place, Failure> {
    let read = |row: Row| {
        let is_active: bool = row.get(STATUS_COLUMNS + 1);
        let last_seq: Seq = row.get(STATUS_COLUMNS + 2);
        let member = Member {
            status: rows::status(&row, 0),
            last_read_seq: row.get(STATUS_COLUMNS),
            is_active: row.get(STATUS_COLUMNS + 3),
            is_blocked_by_asker: row.get(STATUS_COLUMNS + 4),
            blocks_asker: row.get(STATUS_COLUMNS + 5),
        };
        (is_active, last_seq, member)
    };
    let found = session.all(PLACE, &[&conversation, &asker], read)?;
    let Some(&(is_active, last_seq, _)) = found.first() else {
        return Err(Refused::ConversationNotFound.into());
    };
    let members = found.into_iter().map(|(_, _, member)| member).collect();
    Ok(Place { last_seq, members, asker, is_active })
}

/// Two different, active users.
pub(super) struct Pair {
    /// Who asks.
    pub(super) asker: Standing,
    /// The other.
    pub(super) other: Standing,
}

/// One of two, and how they stand to the other.
pub(super) struct Standing {
    pub(super) card: Card,
    /// True exactly when they block the other.
    pub(super) blocks: bool,
    /// True exactly when they like the other.
    pub(super) likes: bool,
}

impl Pair {
    /// Looks both up; nothing that is read here changes while the pair's lock is held (see `locks`).
    ///
    /// # Errors
    ///
    /// Refused as `Oneself`, or as `UserNotFound` where one of them is not there or not active.
    pub(super) fn of(session: &mut Session, asker: UserId, other: UserId) -> Result<Self, Failure> {
        if asker == other {
            return Err(Refused::Oneself.into());
        }
        let read = |row: Row| Standing {
            card: rows::card(&row, 0),
            blocks: row.get(CARD_COLUMNS),
            likes: row.get(CARD_COLUMNS + 1),
        };
        let mut found = session.all(PAIR, &[&asker, &other], read)?;
        let mut take = |id: UserId| {
            let at = found.iter().position(|standing| standing.card.id == id);
            at.map(|at| found.swap_remove(at)).ok_or(Refused::UserNotFound)
        };
        Ok(Self { asker: take(asker)?, other: take(other)? })
    }

    /// Refuses two of whom one blocks the other.
    pub(super) fn unblocked(&self) -> Result<(), Refused> {
        if self.asker.blocks || self.other.blocks { Err(Refused::UserBlocked) } else { Ok(()) }
    }
}

/// The card of an active user.
pub(super) fn active(session: &mut Session, user: UserId) -> Result<Card, Failure> {
    let card = session.first(ACTIVE, &[&user], |row| rows::card(&row, 0))?;
    Ok(card.ok_or(Refused::UserNotFound)?)
}
