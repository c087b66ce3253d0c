//! What the store refused or could not, as HTTP.

use crate::model::{ErrorCode, Refused};
use crate::protocol::http::{Problem, Response};
use crate::store::StoreErrorKind;

/// Seconds until a request that a full queue or the database turned away is worth another try.
const RETRY_AFTER_S: u64 = 1;

/// A refusal. `field` is the body's field that names a user, where there is one.
pub(super) fn refused(refused: Refused, field: Option<&'static str>) -> Response {
    let (status, code, detail) = match refused {
        Refused::ConversationNotFound => {
            (404, "conversation_not_found", "There is no such conversation.")
        }
        Refused::MessageNotFound => {
            (404, "message_not_found", "There is no such message in this conversation.")
        }
        Refused::UserNotFound => {
            (if field.is_some() { 400 } else { 404 }, "user_not_found", "There is no such user.")
        }
        Refused::NotParticipant => (403, "not_a_participant", "You are not in this conversation."),
        Refused::Silenced => {
            (403, ErrorCode::Forbidden.name(), "You cannot write in this conversation.")
        }
        Refused::Oneself => {
            (400, ErrorCode::InvalidField.name(), "You cannot do this with yourself.")
        }
        Refused::UserBlocked => (400, "user_blocked", "You cannot do this with this user."),
        Refused::AlreadyLiked => (400, "already_liked", "You like this user already."),
        Refused::NameTaken => (409, "name_taken", "The name is taken."),
    };
    let problem = Problem::new(status, code, detail);
    Response::problem(&match field {
        Some(field) => problem.with_field(field),
        None => problem,
    })
}

/// The database could not. One request that it will never take is 500; everything else passes.
pub(super) fn store(kind: StoreErrorKind) -> Response {
    match kind {
        StoreErrorKind::Poisoned => internal(),
        StoreErrorKind::Unknown => unavailable(
            ErrorCode::StoreUnavailable,
            "The database was lost and may have stored this: ask before you repeat it, or repeat it with the same \
             Idempotency-Key.",
        ),
        _ => unavailable(ErrorCode::StoreUnavailable, "The database cannot be reached."),
    }
}

/// 503: a queue is full.
pub(super) fn busy() -> Response {
    unavailable(ErrorCode::Busy, "The server has too much to do.")
}

/// 500: our own fault.
pub(super) fn internal() -> Response {
    let detail = "Something went wrong in the server.";
    Response::problem(&Problem::new(500, "internal", detail))
}

fn unavailable(code: ErrorCode, detail: &'static str) -> Response {
    Response::problem(&Problem::new(503, code.name(), detail)).retry_after(RETRY_AFTER_S)
}
