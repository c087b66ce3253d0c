//! How a session begins, is ordered about, and ends.

use super::answers::{answer, tell};
use super::place::Place;
use super::{Ctx, Effect, Session, resume, typing, watch};
use crate::auth::Stamp;
use crate::model::{Answer, Control, Endpoint, Event, Group, Seq, UserId, close as codes};
use crate::store::{Admission, Status};
use crate::time::Timestamp;

/// What a conversation's group brought while the connection was `Deciding`.
///
/// A connection to a conversation's socket joins the group *before* it asks [`Request::Admit`](crate::store::Request::Admit),
/// so that nothing falls between what the store saw and what comes live: until there is a session, deliveries go in here.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pending {
    held: Option<Seq>,
    close: u16,
    silenced: Option<bool>,
}

impl Pending {
    /// A frame came; `seq` is that of its place. It is not sent: a frame without a place is lost on this connection, as
    /// typing and presence may be.
    pub fn hold(&mut self, seq: Seq) {
        self.held = self.held.max(Some(seq));
    }

    /// An order came, for the connection of `user`.
    pub fn on_control(&mut self, user: UserId, control: Control) {
        match control {
            Control::Evict { user: evicted, code } if evicted == user => self.close = code,
            Control::Disband { code } => self.close = code,
            Control::Silence(silenced) => self.silenced = Some(silenced),
            Control::Reaches(seq) => self.hold(seq),
            Control::Evict { .. } | Control::Unwatch(_) => {}
        }
    }
}

/// A session that begins.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Whose.
    pub user: UserId,
    /// Which socket.
    pub endpoint: Endpoint,
    /// True exactly when the client selected `fortifun.v1`.
    pub v1: bool,
    /// The token's `exp`.
    pub expires_at: Timestamp,
    /// What else is remembered of the token.
    pub stamp: Stamp,
    /// For `hello`.
    pub connection_id: &'a str,
    /// `?since=`, on a conversation's socket; elsewhere it means nothing.
    pub since: Option<Seq>,
    /// What came since the connection joined its conversation's group.
    pub pending: Pending,
}

/// The groups a session of this kind is in from the start. The conversation's is joined by the shard before it asks
/// [`Request::Admit`](crate::store::Request::Admit), see [`Pending`]; the others by [`open()`].
pub fn groups(endpoint: Endpoint, user: UserId) -> impl Iterator<Item = Group> {
    let (own, general) = match endpoint {
        Endpoint::Chat => (Group::User(user), Some(Group::General)),
        Endpoint::Notifications => (Group::User(user), None),
        Endpoint::Conversation(conversation) => (Group::Conversation(conversation), None),
    };
    std::iter::once(own).chain(general)
}

/// Begins a session, after [`Reply::Admitted`](crate::store::Reply::Admitted) with this `admission`, `None` where no
/// conversation was asked for.
///
/// Effects, in order: `Join` of the groups (the conversation's excepted, which is joined already); with `fortifun.v1`
/// `hello`, and on a conversation's socket one `user_status` for each of the others; then the first page where `since` asks
/// for one or where something came while the connection was deciding.
pub fn open(
    opening: &Opening<'_>,
    admission: Option<&Admission>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) -> Session {
    let Opening { user, endpoint, v1, expires_at, stamp, pending, .. } = *opening;
    let last_seq = admission.map_or(Seq(0), |admission| admission.last_seq);
    let mut session = Session::new(user, endpoint, (expires_at, stamp), v1, Place::live(last_seq));
    session.keep_others(
        admission.iter().flat_map(|admission| admission.others.iter().map(|other| other.user.id)),
    );
    session.silenced =
        pending.silenced.unwrap_or_else(|| admission.is_some_and(|admission| admission.silenced));
    if pending.close != 0 {
        out.push(Effect::Close { code: pending.close, reason: reason(pending.close) });
        return session;
    }
    let joins = groups(endpoint, user).filter(|group| !matches!(group, Group::Conversation(_)));
    out.extend(joins.map(Effect::Join));
    if v1 {
        hello(opening, admission, ctx, out);
        let others = admission.map_or(&[][..], |admission| &admission.others);
        for other in others {
            tell_status(other, ctx, out);
        }
    }
    resume::on_open(&mut session, pending.held, opening.since, out);
    session.tidy();
    session
}

/// Carries out an order to one of the session's groups.
pub fn on_control(session: &mut Session, control: Control, ctx: &Ctx<'_>, out: &mut Vec<Effect>) {
    match control {
        Control::Evict { user, code } if user == session.user => {
            out.push(Effect::Close { code, reason: reason(code) });
        }
        Control::Evict { .. } => {}
        Control::Disband { code } => out.push(Effect::Close { code, reason: reason(code) }),
        Control::Silence(silenced) => {
            if silenced {
                typing::end_all(session, ctx, out);
            }
            session.silenced = silenced;
        }
        Control::Unwatch(user) => watch::unwatch(session, &[user], out),
        Control::Reaches(seq) => resume::on_reaches(session, seq, out),
    }
    session.tidy();
}

/// Ends a session whose connection has ended, whoever ended it: typing is over, then `Leave` of every group.
pub fn close(session: &mut Session, ctx: &Ctx<'_>, out: &mut Vec<Effect>) {
    typing::end_all(session, ctx, out);
    out.extend(groups(session.endpoint, session.user).map(Effect::Leave));
    if let Some(extra) = session.extra.take() {
        out.extend(extra.watching.groups().map(Effect::Leave));
    }
}

/// Sends how things stand with a user.
pub(super) fn tell_status(status: &Status, ctx: &Ctx<'_>, out: &mut Vec<Effect>) {
    let Status { user, is_online, last_activity } = status;
    let (is_online, last_activity) = (*is_online, *last_activity);
    tell(ctx, out, &Event::UserStatus { user, is_online, last_activity, at: ctx.now.wall });
}

fn hello(
    opening: &Opening<'_>,
    admission: Option<&Admission>,
    ctx: &Ctx<'_>,
    out: &mut Vec<Effect>,
) {
    let hello = Answer::Hello {
        connection_id: opening.connection_id,
        user: opening.user,
        heartbeat_ms: ctx.limits.heartbeat_ms,
        at: ctx.now.wall,
        expires_at: opening.expires_at,
        message_bytes: ctx.limits.text_bytes,
        messages_per_second: ctx.limits.messages.per_second(),
        conversation: admission.map(|admission| (admission.id, admission.last_seq)),
    };
    answer(ctx, out, &hello);
}

/// The words that go with a close code that a [`Control`] names.
const fn reason(code: u16) -> &'static str {
    match code {
        codes::FORBIDDEN => "no longer a participant",
        codes::NOT_FOUND => "the conversation was left",
        codes::UNAUTHENTICATED => "token revoked",
        codes::REPLACED => "replaced by a newer connection",
        codes::SLOW_CONSUMER => "events were lost: reconnect and resume",
        _ => "",
    }
}
