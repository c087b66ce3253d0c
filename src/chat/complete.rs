//! What a reply means to the session that asked.

use bytes::Bytes;

use super::answers::{ack, answer, complain, of_failure, tell, too_busy};
use super::{Ctx, Effect, Session, Then, resume, typing, watch};
use crate::model::{Answer, Complaint, Endpoint, Event, Message, Stored, close};
use crate::store::{Failure, Outcome, Reply};

use super::session::Admit;

/// Answers the command whose request had this outcome. `echo` is what [`publication`](super::publication()) returned for it.
///
/// The worker has to send the outcome on its way right after it published the reply and before it publishes the next one,
/// so that a chat socket gets the echo of its own message in its place among the others.
pub fn complete(
    session: &mut Session,
    then: Then,
    outcome: Outcome,
    echo: Option<Bytes>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    match outcome {
        Ok(reply) => succeed(session, then, reply, echo, ctx, out),
        Err(failure) => {
            let denied = matches!(failure, Failure::Refused(_));
            fail(session, then, of_failure(&failure, ctx), denied, ctx, out);
        }
    }
    session.tidy();
}

/// Answers the command whose request found its queue full.
pub fn busy(session: &mut Session, then: Then, ctx: &Ctx<'_>, out: &mut Vec<Effect>) {
    fail(session, then, too_busy(ctx), false, ctx, out);
    session.tidy();
}

fn succeed(
    session: &mut Session,
    then: Then,
    reply: Reply,
    echo: Option<Bytes>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    match (then, reply) {
        (Then::Message { reference, .. }, Reply::Appended { message, duplicate, .. }) => {
            if duplicate {
                tell(ctx, out, &Event::Duplicate(&message));
            } else if session.endpoint == Endpoint::Chat {
                send_echo(session, &message, echo, ctx, out);
            }
            if let Some(reference) = reference {
                let stored = Some(Stored {
                    message: message.id,
                    conversation: message.conversation,
                    seq: message.seq,
                    created_at: message.created_at,
                    duplicate,
                });
                answer(ctx, out, &Answer::Ack { reference: &reference, stored });
            }
        }
        (Then::Typing { conversation, is_typing, reference }, Reply::MaySpeak(participants)) => {
            typing::on_allowed(session, conversation, is_typing, participants, ctx, out);
            ack(ctx, out, reference.as_deref());
        }
        (Then::Watch { reference }, Reply::Watched(found)) => {
            watch::on_watched(session, &found, reference.as_deref(), ctx, out);
        }
        (Then::Resume(catch_up), Reply::History { messages, last_seq }) => {
            resume::on_page(session, *catch_up, &messages, last_seq, ctx, out);
        }
        (then, reply) => {
            debug_assert!(matches!(then, Then::Ack { .. }), "{reply:?} answers another request");
            if let Then::Ack { reference } | Then::Message { reference, .. } = then {
                ack(ctx, out, reference.as_deref());
            }
        }
    }
}

fn fail(
    session: &mut Session,
    then: Then,
    complaint: Complaint<'_>,
    denied: bool,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    match then {
        Then::Message { reference, client_id, .. } => {
            let (reference, client_id) = (reference.as_deref(), client_id.as_deref());
            complain(session, Complaint { reference, client_id, ..complaint }, ctx, out);
        }
        Then::Ack { reference } => {
            let reference = reference.as_deref();
            complain(session, Complaint { reference, ..complaint }, ctx, out);
        }
        Then::Typing { conversation, reference, .. } => {
            let reference = reference.as_deref();
            typing::on_failure(session, conversation, denied, ctx, out);
            complain(session, Complaint { reference, ..complaint }, ctx, out);
        }
        Then::Watch { reference } => {
            let reference = reference.as_deref();
            watch::on_failure(session, Complaint { reference, ..complaint }, ctx, out);
        }
        Then::Resume(catch_up) if denied => {
            resume::on_denied(session, &catch_up, complaint, ctx, out);
        }
        Then::Resume(catch_up) => {
            resume::on_failure(session, *catch_up, &complaint, ctx, out);
        }
    }
}

/// On a chat socket the sender's own message comes this way; elsewhere through the conversation's group. While the
/// conversation is being caught up there, the page brings it; where none does, the end of the resume.
fn send_echo(
    session: &mut Session,
    message: &Message,
    echo: Option<Bytes>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let admit = match &mut session.extra {
        Some(extra) => extra.admits(message.conversation, message.seq),
        None => Admit::Deliver,
    };
    let frame = || echo.unwrap_or_else(|| ctx.encoder.event(&Event::Message(message)));
    match admit {
        Admit::Deliver => out.push(Effect::Send(frame())),
        Admit::Skip => {}
        Admit::Hold | Admit::Gap => {
            if !session.extra().hold_echo(message.conversation, message.seq, frame()) {
                let reason = "too many messages during a resume: reconnect and resume";
                out.push(Effect::Close { code: close::SLOW_CONSUMER, reason });
            }
        }
    }
}
