//! What a command does: who may ask it where and how often, and what then has to happen.

use super::answers::{ack, answer, complain, complaint, limited};
use super::{Ctx, Effect, Kind, Session, Then, resume, typing, watch};
use crate::model::{
    Answer, Command, Complaint, ConversationId, Endpoint, Envelope, ErrorCode, Topic,
};
use crate::store::Request;
use crate::wire::Fault;

/// Carries out a command: answers it, or asks the store and answers in [`complete`](super::complete()).
///
/// A command that is refused is answered by one `error`; one that succeeds and has a `ref`, by `ack` after whatever else it
/// causes for its session.
pub fn handle(
    session: &mut Session,
    envelope: &Envelope<'_>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let reference = envelope.reference.as_deref();
    if let Err(complaint) = obey(session, &envelope.command, reference, ctx, out) {
        let client_id = client_id(&envelope.command);
        complain(session, Complaint { reference, client_id, ..complaint }, ctx, out);
    }
    session.tidy();
}

/// Answers a text that was no command. It costs the session none of its commands: too many of these end it.
pub fn refuse(session: &mut Session, fault: &Fault<'_>, ctx: &Ctx<'_>, out: &mut Vec<Effect>) {
    complain(session, fault.complaint(), ctx, out);
}

/// The conversation that a command names or its socket implies.
pub(super) fn conversation(
    session: &Session,
    named: Option<ConversationId>,
    field: &'static str,
) -> Result<ConversationId, Complaint<'static>> {
    match (session.endpoint, named) {
        (Endpoint::Conversation(own), None) => Ok(own),
        (Endpoint::Conversation(own), Some(named)) if own == named => Ok(own),
        (Endpoint::Conversation(_), Some(_)) => Err(complaint(
            ErrorCode::Forbidden,
            format!("{field}: not the conversation of this socket"),
        )),
        (Endpoint::Chat | Endpoint::Notifications, Some(named)) => Ok(named),
        (Endpoint::Chat | Endpoint::Notifications, None) => {
            Err(complaint(ErrorCode::InvalidField, format!("{field}: missing on this socket")))
        }
    }
}

/// Takes one of the user's `kind`.
pub(super) fn take(session: &Session, kind: Kind, ctx: &Ctx<'_>) -> Result<(), Complaint<'static>> {
    ctx.directory.take(session.user, kind, ctx.now.mono).map_err(limited)
}

fn obey(
    session: &mut Session,
    command: &Command<'_>,
    reference: Option<&str>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) -> Result<(), Complaint<'static>> {
    session.commands.take(ctx.now.mono, &ctx.limits.commands).map_err(limited)?;
    let for_all = matches!(command, Command::Ping { .. } | Command::Auth { .. });
    if session.endpoint == Endpoint::Notifications && !for_all {
        let message = "type: this socket takes ping and auth alone";
        return Err(complaint(ErrorCode::InvalidCommand, message));
    }
    match command {
        Command::Ping { timestamp } => {
            answer(ctx, out, &Answer::Pong { echo: timestamp.as_deref(), at: ctx.now.wall });
            ack(ctx, out, reference);
        }
        Command::Auth { token } => {
            auth(session, token, ctx, out)?;
            ack(ctx, out, reference);
        }
        Command::Subscribe { topic, on, users } => {
            if session.endpoint != Endpoint::Chat {
                let message = "type: this socket has no subscriptions";
                return Err(complaint(ErrorCode::InvalidCommand, message));
            }
            if *topic == Topic::UserStatus {
                return watch::on_command(session, *on, users, reference, ctx, out);
            }
            mute(session, *topic, !on);
            answer(ctx, out, &Answer::Subscribed { topic: *topic, on: *on, users: None });
            ack(ctx, out, reference);
        }
        Command::Message { conversation: named, content, client_id, attachment } => {
            let conversation = conversation(session, *named, "conversation_id")?;
            take(session, Kind::Messages, ctx)?;
            let request = Request::Append {
                conversation,
                sender: session.user,
                content: content.as_ref().to_owned(),
                attachment: attachment.as_deref().map(str::to_owned),
                client_id: client_id.as_deref().map(str::to_owned),
            };
            let client_id = client_id.as_deref().map(Box::from);
            let is_heard = matches!(session.endpoint, Endpoint::Conversation(_));
            let then = Then::Message { reference: reference.map(Box::from), client_id, is_heard };
            out.push(Effect::Store { request, then });
        }
        Command::Typing { conversation: named, is_typing } => {
            let conversation = conversation(session, *named, "conversation_id")?;
            typing::on_command(session, conversation, *is_typing, reference, ctx, out)?;
        }
        Command::ReadReceipt { conversation: named, message } => {
            let conversation = conversation(session, *named, "conversation_id")?;
            take(session, Kind::Receipts, ctx)?;
            let (reader, message) = (session.user, *message);
            out.push(Effect::Store {
                request: Request::MarkRead { conversation, reader, message },
                then: Then::Ack { reference: reference.map(Box::from) },
            });
        }
        Command::Resume { after } => {
            resume::on_command(session, after, reference, ctx, out)?;
        }
    }
    Ok(())
}

/// The identity goes on until the fresh token's `exp`; with one that is not good, it stays as it was.
fn auth(
    session: &mut Session,
    token: &str,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) -> Result<(), Complaint<'static>> {
    let claims = ctx
        .verifier
        .verify(token, ctx.now.wall)
        .map_err(|error| complaint(ErrorCode::InvalidField, format!("token: {error}")))?;
    if claims.user != session.user {
        return Err(complaint(ErrorCode::Forbidden, "token: of another user"));
    }
    session.renew(&claims);
    answer(ctx, out, &Answer::AuthOk { expires_at: claims.expires_at });
    Ok(())
}

/// Turns a topic off or on; what the user wrote elsewhere goes with the messages of others.
fn mute(session: &mut Session, topic: Topic, off: bool) {
    session.audience = session.audience.with(topic, !off);
    if topic == Topic::Messages {
        session.audience = session.audience.with(Topic::OwnMessages, !off);
    }
}

fn client_id<'a>(command: &'a Command<'_>) -> Option<&'a str> {
    match command {
        Command::Message { client_id, .. } => client_id.as_deref(),
        _ => None,
    }
}
