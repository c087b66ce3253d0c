//! "Is typing": shown when its typist may speak, and over by itself.
//!
//! On a conversation's socket it is published at once. A chat socket can name any conversation, so the store is asked first
//! whether its user may speak there. What a client shows again within [`TYPING_MS`] is told again and lasts longer.

use super::answers::{ack, complaint};
use super::command::take;
use super::{Ctx, Effect, Kind, Session, Then};
use crate::channel::{Delivery, Payload};
use crate::limits::{TYPING_CONVERSATIONS_MAX, TYPING_MS};
use crate::model::{Complaint, ConversationId, Endpoint, ErrorCode, Event, Group, Topic, UserId};
use crate::store::Request;
use crate::time::Mono;

/// A conversation in which a chat session's user is typing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Typing {
    conversation: ConversationId,
    /// When it ends.
    pub(super) until: Mono,
    /// Who was told besides the conversation; `None` until the store has said that the user may speak there.
    shown_to: Option<Vec<UserId>>,
}

/// `typing`. The end of what the session began costs the user nothing.
pub(super) fn on_command(
    session: &mut Session,
    conversation: ConversationId,
    is_typing: bool,
    reference: Option<&str>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) -> Result<(), Complaint<'static>> {
    if session.endpoint == Endpoint::Chat {
        return on_chat_command(session, conversation, is_typing, reference, ctx, out);
    }
    if session.silenced {
        return Err(complaint(ErrorCode::Forbidden, "nobody may speak in this conversation now"));
    }
    if is_typing || session.typing_until == Mono(0) {
        take(session, Kind::Typing, ctx)?;
    }
    session.typing_until = if is_typing { ctx.now.mono.plus(TYPING_MS) } else { Mono(0) };
    publish(session.user, conversation, is_typing, &session.others(), ctx, out);
    ack(ctx, out, reference);
    Ok(())
}

/// The store says that the user may speak there.
pub(super) fn on_allowed(
    session: &mut Session,
    conversation: ConversationId,
    is_typing: bool,
    mut participants: Vec<UserId>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let user = session.user;
    participants.retain(|participant| *participant != user);
    if is_typing {
        // Where it is no longer there, its end came first.
        let Some(typing) = find(session, conversation) else { return };
        typing.shown_to = Some(participants.clone());
        typing.until = ctx.now.mono.plus(TYPING_MS);
    }
    publish(user, conversation, is_typing, &participants, ctx, out);
}

/// The store says that the user may not, or (`denied` false) nothing.
pub(super) fn on_failure(
    session: &mut Session,
    conversation: ConversationId,
    denied: bool,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let over =
        find(session, conversation).is_some_and(|typing| denied || typing.shown_to.is_none());
    if over {
        end(session, ctx, out, |typing| typing.conversation == conversation);
    }
}

/// Ends what has lasted its time.
pub(super) fn on_deadline(session: &mut Session, ctx: &Ctx<'_>, out: &mut Vec<Effect>) {
    let now = ctx.now.mono;
    if session.typing_until <= now {
        end_own(session, ctx, out);
    }
    end(session, ctx, out, |typing| typing.until <= now);
}

/// Ends all of it.
pub(super) fn end_all(session: &mut Session, ctx: &Ctx<'_>, out: &mut Vec<Effect>) {
    end_own(session, ctx, out);
    end(session, ctx, out, |_| true);
}

fn on_chat_command(
    session: &mut Session,
    conversation: ConversationId,
    is_typing: bool,
    reference: Option<&str>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) -> Result<(), Complaint<'static>> {
    if !is_typing && find(session, conversation).is_some() {
        end(session, ctx, out, |typing| typing.conversation == conversation);
        ack(ctx, out, reference);
        return Ok(());
    }
    take(session, Kind::Typing, ctx)?;
    if is_typing {
        begin(session, conversation, ctx, out);
    }
    let reference = reference.map(Box::from);
    out.push(Effect::Store {
        request: Request::MaySpeak { user: session.user, conversation },
        then: Then::Typing { conversation, is_typing, reference },
    });
    Ok(())
}

/// Remembers what the store is asked about; over the bound, what would end first ends now.
fn begin(
    session: &mut Session,
    conversation: ConversationId,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    if find(session, conversation).is_some() {
        return;
    }
    let all = &session.extra().typing;
    if all.len() >= TYPING_CONVERSATIONS_MAX
        && let Some(first) =
            all.iter().min_by_key(|typing| typing.until).map(|typing| typing.conversation)
    {
        end(session, ctx, out, |typing| typing.conversation == first);
    }
    let until = ctx.now.mono.plus(TYPING_MS);
    session.extra().typing.push(Typing { conversation, until, shown_to: None });
}

fn find(session: &mut Session, conversation: ConversationId) -> Option<&mut Typing> {
    let all = &mut session.extra.as_mut()?.typing;
    all.iter_mut().find(|typing| typing.conversation == conversation)
}

/// Ends the "is typing" of a conversation's socket.
fn end_own(session: &mut Session, ctx: &Ctx<'_>, out: &mut Vec<Effect>) {
    if let Endpoint::Conversation(own) = session.endpoint
        && session.typing_until != Mono(0)
    {
        session.typing_until = Mono(0);
        publish(session.user, own, false, &session.others(), ctx, out);
    }
}

/// Ends those of a chat socket that are `over`.
fn end(
    session: &mut Session,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
    over: impl Fn(&Typing) -> bool,
) {
    let Some(extra) = &mut session.extra else { return };
    let ended: Vec<Typing> = extra.typing.extract_if(.., |typing| over(typing)).collect();
    for Typing { conversation, shown_to, .. } in ended {
        if let Some(others) = shown_to {
            publish(session.user, conversation, false, &others, ctx, out);
        }
    }
}

/// Tells the conversation's sockets, and the chat sockets of the others in it.
fn publish(
    user: UserId,
    conversation: ConversationId,
    is_typing: bool,
    others: &[UserId],
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let Some(username) = ctx.directory.username(user) else { return };
    let username = &*username;
    let frame = ctx.encoder.event(&Event::Typing { conversation, user, username, is_typing });
    let mut tell = |group, topic| {
        let frame = frame.clone();
        let payload = Payload::Frame { frame, topic, place: None, except: None, sheddable: true };
        out.push(Effect::Publish(Delivery::new(group, payload)));
    };
    tell(Group::Conversation(conversation), Topic::Conversation);
    for other in others {
        tell(Group::User(*other), Topic::Activity);
    }
}
