//! Users: added, found, admitted, watched.

use super::access;
use super::rows;
use super::session::{Params, Session};
use crate::model::{Card, ConversationId, Refused, UserId};
use crate::store::{Admission, Failure, Outcome, Reply, StoreError, StoreErrorKind};
use crate::time::Timestamp;

/// Characters of a name: the width of Django's columns.
const NAME_CHARS_MAX: usize = 150;

const TAKEN: &str = "SELECT 1 FROM accounts_user WHERE username = $1";

/// A password that starts with `!` is Django's "unusable": nobody logs in with it. Older migrations of Django made the texts and
/// `is_online` NOT NULL.
const INSERT: &str = "
    INSERT INTO accounts_user
        (password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
         date_joined, bio, phone_number, location, gender, is_online)
    VALUES ('!' || replace(gen_random_uuid()::text, '-', ''), false, $1, $2, $3, '', false, true,
            $4, '', '', '', '', false)
    ON CONFLICT (username) DO NOTHING
    RETURNING id";

const FIND: &str = concat!(
    "SELECT ",
    card_columns!("u"),
    " FROM accounts_user u WHERE u.username = $1 AND u.is_active"
);

const WATCH: &str = concat!(
    companions!(),
    "SELECT DISTINCT ",
    status_columns!("u"),
    " FROM companion
      JOIN conversations_conversation c ON c.id = companion.conversation_id AND c.is_active
      JOIN accounts_user u ON u.id = companion.user_id
      WHERE NOT EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                        WHERE b.from_user_id = $1 AND b.to_user_id = companion.user_id)
        AND NOT EXISTS (SELECT 1 FROM accounts_user_blocked_users b
                        WHERE b.from_user_id = companion.user_id AND b.to_user_id = $1)
      ORDER BY u.id"
);

/// Carries out [`crate::store::Request::AddUser`].
pub(super) fn add_user(
    session: &mut Session,
    username: &str,
    first_name: &str,
    last_name: &str,
    now: Timestamp,
) -> Outcome {
    if session.first(TAKEN, &[&username], |_| ())?.is_some() {
        return Err(Refused::NameTaken.into());
    }
    // Postgres takes an empty name, and cuts spaces off a name that is too long instead of refusing it.
    let is_too_long = |name: &str| name.chars().count() > NAME_CHARS_MAX;
    if username.is_empty() || [username, first_name, last_name].into_iter().any(is_too_long) {
        return Err(Failure::Store(StoreError {
            kind: StoreErrorKind::Poisoned,
            detail: format!("a name is empty or longer than {NAME_CHARS_MAX} characters"),
        }));
    }
    let row: Params<'_> = &[&username, &first_name, &last_name, &now];
    // None where another node was faster.
    let id = session.first(INSERT, row, |row| row.get(0))?.ok_or(Refused::NameTaken)?;
    Ok(Reply::UserAdded(Card { id, username: username.into(), profile_picture: None }))
}

/// Answers [`crate::store::Request::FindUser`].
pub(super) fn find(session: &mut Session, username: &str) -> Outcome {
    let card = session.first(FIND, &[&username], |row| rows::card(&row, 0))?;
    Ok(Reply::UserAdded(card.ok_or(Refused::UserNotFound)?))
}

/// Answers [`crate::store::Request::Admit`]: in one statement where the user is let in.
pub(super) fn admit(
    session: &mut Session,
    user: UserId,
    conversation: Option<ConversationId>,
) -> Outcome {
    let Some(id) = conversation else {
        let user = access::active(session, user)?;
        return Ok(Reply::Admitted { user, conversation: None });
    };
    let found = access::place(session, id, user).and_then(|place| {
        let card = place.readable()?.status.user.clone();
        Ok((card, place))
    });
    if let Err(Failure::Refused(_)) = found {
        // Whoever is nobody hears that, and nothing of the conversation.
        access::active(session, user)?;
    }
    let (card, place) = found?;
    let silenced = place.is_silent();
    let last_seq = place.last_seq;
    let others = place.members.into_iter().map(|member| member.status);
    let others = others.filter(|status| status.user.id != user && !silenced).collect();
    let admission = Admission { id, last_seq, silenced, others };
    Ok(Reply::Admitted { user: card, conversation: Some(admission) })
}

/// Answers [`crate::store::Request::Watch`] in one walk over the watcher's own conversations.
pub(super) fn watch(session: &mut Session, user: UserId, users: &[UserId]) -> Outcome {
    Ok(Reply::Watched(session.all(WATCH, &[&user, &users], |row| rows::status(&row, 0))?))
}
