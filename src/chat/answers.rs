//! What a session is told about its own commands.

use std::borrow::Cow;

use super::{Ctx, Effect, Session};
use crate::model::{Answer, Complaint, ErrorCode, Event, Refused};
use crate::store::{Failure, StoreErrorKind};

/// The least time before a client should try again what the server could not do.
const RETRY_MS_MIN: u64 = 1_000;
/// Added to it at most, so that those who failed together do not come back together.
const RETRY_MS_SPREAD: u64 = 1_000;

/// Why a command is refused before anything is asked: the code and what was wrong.
pub(super) type Objection = (ErrorCode, &'static str);

/// Sends an answer.
pub(super) fn answer(ctx: &Ctx<'_>, out: &mut Vec<Effect>, answer: &Answer<'_>) {
    out.push(Effect::Send(ctx.encoder.answer(answer)));
}

/// Sends an event to this session alone.
pub(super) fn tell(ctx: &Ctx<'_>, out: &mut Vec<Effect>, event: &Event<'_>) {
    out.push(Effect::Send(ctx.encoder.event(event)));
}

/// Sends the `ack` of a command that stored no message, where it had a `ref`.
pub(super) fn ack(ctx: &Ctx<'_>, out: &mut Vec<Effect>, reference: Option<&str>) {
    if let Some(reference) = reference {
        answer(ctx, out, &Answer::Ack { reference, stored: None });
    }
}

/// Sends an `error` and counts it.
pub(super) fn complain(
    session: &mut Session,
    complaint: Complaint<'_>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let code = complaint.code;
    let frame = ctx.encoder.answer(&Answer::Error(complaint));
    out.push(Effect::Complain { code, frame });
    session.strike(code, ctx.now.mono, out);
}

/// A complaint without `ref`, `client_id` and time.
pub(super) fn complaint<'a>(code: ErrorCode, message: impl Into<Cow<'a, str>>) -> Complaint<'a> {
    Complaint {
        code,
        message: message.into(),
        reference: None,
        client_id: None,
        retry_after_ms: None,
    }
}

/// The complaint of an empty bucket.
pub(super) fn limited<'a>(retry_after_ms: u64) -> Complaint<'a> {
    let message = "faster than allowed";
    Complaint { retry_after_ms: Some(retry_after_ms), ..complaint(ErrorCode::RateLimited, message) }
}

/// The complaint of a full queue.
pub(super) fn too_busy<'a>(ctx: &Ctx<'_>) -> Complaint<'a> {
    let retry_after_ms = Some(retry_ms(ctx));
    Complaint { retry_after_ms, ..complaint(ErrorCode::Busy, "the server is busy") }
}

/// The complaint of a request that has no reply.
pub(super) fn of_failure<'a>(failure: &Failure, ctx: &Ctx<'_>) -> Complaint<'a> {
    match failure {
        Failure::Refused(refused) => {
            let (code, message) = of_refused(*refused);
            complaint(code, message)
        }
        // Sent again, it would break the same constraint again.
        Failure::Store(error) if error.kind == StoreErrorKind::Poisoned => {
            complaint(ErrorCode::InvalidField, "the database does not take this")
        }
        Failure::Store(_) => Complaint {
            retry_after_ms: Some(retry_ms(ctx)),
            ..complaint(ErrorCode::StoreUnavailable, "the database cannot be reached")
        },
    }
}

/// The code and the words of a refusal.
pub(super) const fn of_refused(refused: Refused) -> Objection {
    match refused {
        Refused::ConversationNotFound => (ErrorCode::NotFound, "no such conversation"),
        Refused::NotParticipant => (ErrorCode::Forbidden, "not a participant of this conversation"),
        Refused::Silenced => (ErrorCode::Forbidden, "nobody may speak in this conversation now"),
        Refused::MessageNotFound => (ErrorCode::NotFound, "no such message in this conversation"),
        Refused::UserNotFound => (ErrorCode::NotFound, "no such user"),
        Refused::Oneself => (ErrorCode::InvalidField, "this is oneself"),
        Refused::UserBlocked => (ErrorCode::Forbidden, "one of the two blocked the other"),
        Refused::AlreadyLiked => (ErrorCode::InvalidField, "liked already"),
        Refused::NameTaken => (ErrorCode::InvalidField, "the name is taken"),
    }
}

/// When to try again: differs between connections and moments, and is the same in a replay.
pub(super) fn retry_ms(ctx: &Ctx<'_>) -> u64 {
    let key = ctx.me.key;
    let mixed = (u64::from(key.index) ^ u64::from(key.generation) << 32 ^ ctx.now.mono.0 << 16)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    RETRY_MS_MIN + (mixed >> 32) % RETRY_MS_SPREAD
}
