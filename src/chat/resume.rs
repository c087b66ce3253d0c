//! What a session missed: read from the store page by page, in the live form, without gap or repeat at the seam.
//!
//! From the moment a conversation is to be caught up, its live messages are held back ([`Place`](super::place::Place)), and
//! pages are read until one has passed both the newest message that was held back and the newest that the store knew. Then
//! the session is live again, from there.
//!
//! - A session asks for one page at a time; further conversations wait. So a thousand phones that come back at once put a
//!   thousand reads into the queue, not a hundred thousand.
//! - A resume ends after [`RESUME_MESSAGES_MAX`] messages with `"complete":false`. The session is live again from the newest
//!   on; what lies between comes when the client resumes again from the `last_seq` it was told.
//! - A resume whose page cannot be read is answered by an `error`, and `resumed` with `"complete":false` says how far it got.
//!   On a conversation's socket, what was held back meanwhile is read again a moment later, without a word (a repair).
//! - The echo of a message that a chat session said meanwhile waits for its page. Where the resume ends without it, whatever the
//!   end, the echo follows: what a command stored is told to who gave it.
//! - Asked again for a conversation that is being resumed already, the first `resume` stands.

use super::answers::{ack, answer, complain, retry_ms, tell, too_busy};
use super::command::conversation as conversation_of;
use super::{CatchUp, Ctx, Effect, Session, Then};
use crate::limits::{RESUME_CONVERSATIONS_MAX, RESUME_MESSAGES_MAX, RESUME_PAGE};
use crate::model::{Answer, Complaint, ConversationId, Endpoint, Event, Message, Seq, close};
use crate::store::{Page, Request};
use crate::time::Mono;

/// How long after a resume a chat session remembers what it replayed, to drop late repeats.
const FORGET_MS: u64 = 30_000;

/// Frames for this session were lost on the way: a message skipped some ([`Admit::Gap`](super::Admit::Gap)), or a queue
/// overflowed. A conversation's socket is caught up from the store; the others do not know what they had, and have to come
/// back.
pub fn on_gap(session: &mut Session, out: &mut Vec<Effect>) {
    let Endpoint::Conversation(_) = session.endpoint else {
        let reason = "events were lost: reconnect and resume";
        out.push(Effect::Close { code: close::SLOW_CONSUMER, reason });
        return;
    };
    session.place.catch_up();
    let extra = session.extra();
    if extra.reading.is_some() {
        extra.missed = true;
    } else {
        repair(session, out);
    }
}

/// The store has the conversation's messages up to `seq`: where the session was not given them all, it is caught up.
pub(super) fn on_reaches(session: &mut Session, seq: Seq, out: &mut Vec<Effect>) {
    let Endpoint::Conversation(_) = session.endpoint else { return };
    if seq <= session.place.floor() {
        return;
    }
    // A page that is being read goes on until it has passed what is held.
    let is_catching_up = session.place.is_catching_up();
    session.place.hold(seq);
    if !is_catching_up {
        on_gap(session, out);
    }
}

/// `?since=`, and what came while the connection was deciding.
pub(super) fn on_open(
    session: &mut Session,
    held: Option<Seq>,
    since: Option<Seq>,
    out: &mut Vec<Effect>,
) {
    let Endpoint::Conversation(own) = session.endpoint else { return };
    if let Some(held) = held.filter(|held| *held > session.place.floor()) {
        session.place.hold(held);
    }
    if let Some(after) = since {
        session.extra().waiting.push_back(CatchUp::asked(own, after, None));
        read_next(session, out);
    } else if session.place.is_catching_up() {
        repair(session, out);
    }
}

/// `resume`.
pub(super) fn on_command(
    session: &mut Session,
    after: &[(Option<ConversationId>, Seq)],
    reference: Option<&str>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) -> Result<(), Complaint<'static>> {
    let field = if session.endpoint == Endpoint::Chat { "after" } else { "conversation_id" };
    let wanted = after
        .iter()
        .map(|(named, after)| Ok((conversation_of(session, *named, field)?, *after)))
        .collect::<Result<Vec<_>, _>>()?;
    let waiting = session.extra.as_ref().map_or(0, |extra| extra.waiting.len());
    if waiting + wanted.len() > RESUME_CONVERSATIONS_MAX {
        return Err(too_busy(ctx));
    }
    let mut any = false;
    for (conversation, after) in wanted {
        if !session.extra().is_resuming(conversation) {
            session.place(conversation).catch_up();
            let catch_up = CatchUp::asked(conversation, after, reference.map(Box::from));
            session.extra().waiting.push_back(catch_up);
            any = true;
        }
    }
    match session.extra().waiting.back_mut() {
        Some(last) if any => last.last = true,
        _ => ack(ctx, out, reference),
    }
    read_next(session, out);
    Ok(())
}

/// A page came: it is delivered, and the next one asked for until nothing is owed.
pub(super) fn on_page(
    session: &mut Session,
    mut catch_up: CatchUp,
    messages: &[Message],
    last_seq: Seq,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let is_chat = session.endpoint == Endpoint::Chat;
    for message in messages {
        let live = if is_chat { Event::NewMessage(message) } else { Event::Message(message) };
        tell(ctx, out, &live);
    }
    let place = session.place(catch_up.conversation);
    // A client may say that it knows a place which does not exist: then it has what there is.
    let delivered = messages.last().map_or(catch_up.after.min(last_seq), |newest| newest.seq);
    let newest = last_seq.max(place.held());
    place.advance(delivered);
    catch_up.after = delivered;
    catch_up.replayed += messages.len();
    let is_done = delivered >= newest;
    let is_long = catch_up.announce && catch_up.replayed >= RESUME_MESSAGES_MAX;
    // An empty page, though it was asked for when what is owed was known: another would be no better.
    let is_stuck = messages.is_empty() && place.held() <= catch_up.owed;
    session.extra().drop_echoes(catch_up.conversation, delivered);
    if is_done || is_long || is_stuck {
        settle(session, catch_up.conversation, newest);
        finish(session, &catch_up, is_done, ctx, out);
    } else {
        read(session, catch_up, out);
    }
}

/// The store refuses: no such conversation, or not the user's.
pub(super) fn on_denied(
    session: &mut Session,
    catch_up: &CatchUp,
    complaint: Complaint<'_>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let conversation = catch_up.conversation;
    let held = session.place(conversation).held();
    settle(session, conversation, held);
    let extra = session.extra();
    extra.reading = None;
    if catch_up.announce {
        // The rest of the command goes on, and is not called a success.
        let of_command = if catch_up.last { 0 } else { extra.rest_of_command() };
        extra.waiting.range_mut(..of_command).for_each(|next| next.failed = true);
        let reference = catch_up.reference.as_deref();
        complain(session, Complaint { reference, ..complaint }, ctx, out);
    }
    release_echoes(session, conversation, out);
    forget_later(session, ctx);
    read_next(session, out);
}

/// The page could not be read now. What waits would fare no better, and is given up with it.
pub(super) fn on_failure(
    session: &mut Session,
    catch_up: CatchUp,
    complaint: &Complaint<'_>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let extra = session.extra();
    extra.reading = None;
    let waiting = std::mem::take(&mut extra.waiting);
    let mut is_told = false;
    for CatchUp { conversation, after, announce, reference, last, failed, .. } in
        std::iter::once(catch_up).chain(waiting)
    {
        if announce {
            if !is_told && !failed {
                let reference = reference.as_deref();
                complain(session, Complaint { reference, ..complaint.clone() }, ctx, out);
            }
            is_told = !last;
            let complete = false;
            answer(ctx, out, &Answer::Resumed { conversation, last_seq: after, complete });
        }
        give_up(session, conversation, ctx);
        release_echoes(session, conversation, out);
    }
    forget_later(session, ctx);
}

/// Tries a repair again; forgets what a chat session replayed long ago.
pub(super) fn on_deadline(session: &mut Session, ctx: &Ctx<'_>, out: &mut Vec<Effect>) {
    let now = ctx.now.mono;
    let Some(extra) = &mut session.extra else { return };
    if extra.forget_at <= now {
        extra.forget_live();
    }
    if extra.repair_at != Mono(0) && extra.repair_at <= now {
        extra.repair_at = Mono(0);
        if extra.reading.is_none() && session.place.is_catching_up() {
            repair(session, out);
        }
    }
}

/// Nothing is owed any more, or as much as one resume gives has been given.
fn finish(
    session: &mut Session,
    catch_up: &CatchUp,
    is_complete: bool,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let CatchUp { conversation, after, announce, last, failed, .. } = *catch_up;
    if announce || (session.v1 && !is_complete) {
        let resumed = Answer::Resumed { conversation, last_seq: after, complete: is_complete };
        answer(ctx, out, &resumed);
    }
    release_echoes(session, conversation, out);
    if announce && last && !failed {
        ack(ctx, out, catch_up.reference.as_deref());
    }
    forget_later(session, ctx);
    let extra = session.extra();
    extra.reading = None;
    if std::mem::take(&mut extra.missed) {
        session.place.catch_up();
        repair(session, out);
    } else {
        read_next(session, out);
    }
}

/// What was held back is not delivered. On a conversation's socket it is owed, and read again in a moment; a chat session
/// has been told that there is a gap.
fn give_up(session: &mut Session, conversation: ConversationId, ctx: &Ctx<'_>) {
    let is_chat = session.endpoint == Endpoint::Chat;
    let is_missed = session.extra().missed;
    let place = session.place(conversation);
    let held = place.held();
    if is_chat || (held <= place.floor() && !is_missed) {
        settle(session, conversation, held);
    } else {
        session.extra().repair_at = ctx.now.mono.plus(retry_ms(ctx));
    }
}

/// Live again. On a conversation's socket what follows `newest` comes next. A chat session may be told of anything that no page
/// brought: the echo of a message that was stored before the resume ended may come after its end.
fn settle(session: &mut Session, conversation: ConversationId, newest: Seq) {
    let is_chat = session.endpoint == Endpoint::Chat;
    let place = session.place(conversation);
    place.settle(if is_chat { place.floor() } else { newest });
}

/// What the session said and no page brought is told now.
fn release_echoes(session: &mut Session, conversation: ConversationId, out: &mut Vec<Effect>) {
    out.extend(session.extra().take_echoes(conversation).map(Effect::Send));
}

/// Catches a conversation's socket up from what it was last delivered.
fn repair(session: &mut Session, out: &mut Vec<Effect>) {
    let Endpoint::Conversation(own) = session.endpoint else { return };
    let catch_up = CatchUp::repair(own, session.place.floor());
    let extra = session.extra();
    (extra.repair_at, extra.missed) = (Mono(0), false);
    read(session, catch_up, out);
}

/// Asks for the first page of the conversation that waits longest, unless a page is being read.
fn read_next(session: &mut Session, out: &mut Vec<Effect>) {
    let extra = session.extra();
    if extra.reading.is_none()
        && let Some(catch_up) = extra.waiting.pop_front()
    {
        session.place(catch_up.conversation).catch_up();
        read(session, catch_up, out);
    }
}

/// Asks for the next page.
fn read(session: &mut Session, mut catch_up: CatchUp, out: &mut Vec<Effect>) {
    let CatchUp { conversation, after, announce, replayed, .. } = catch_up;
    catch_up.owed = session.place(conversation).held();
    session.extra().reading = Some((conversation, announce));
    let left = if announce { RESUME_MESSAGES_MAX - replayed } else { RESUME_PAGE };
    out.push(Effect::Store {
        request: Request::History {
            user: session.user,
            conversation,
            page: Page::After(after),
            limit: left.min(RESUME_PAGE),
        },
        then: Then::Resume(Box::new(catch_up)),
    });
}

fn forget_later(session: &mut Session, ctx: &Ctx<'_>) {
    if session.endpoint == Endpoint::Chat {
        session.extra().forget_at = ctx.now.mono.plus(FORGET_MS);
    }
}

impl CatchUp {
    /// What a client asks for.
    fn asked(conversation: ConversationId, after: Seq, reference: Option<Box<str>>) -> Self {
        Self { announce: true, reference, ..Self::repair(conversation, after) }
    }

    /// What the server owes.
    fn repair(conversation: ConversationId, after: Seq) -> Self {
        Self {
            conversation,
            after,
            replayed: 0,
            owed: Seq(0),
            announce: false,
            reference: None,
            last: false,
            failed: false,
        }
    }
}
