//! What the rules keep of one session: a small value in its connection's slot, which owns no memory while nothing is going on.

use std::num::NonZeroI64;

use super::answers::answer;
use super::extra::Extra;
use super::place::Place;
use super::{Ctx, Effect, resume, typing};
use crate::auth::{Bucket, Claims, Stamp};
use crate::limits::{
    BAD_COMMANDS_MAX, BAD_COMMANDS_WINDOW_MS, LIMITED_COMMANDS_MAX, TOKEN_EXPIRING_MS,
};
use crate::model::{
    Answer, Audience, ConnRef, ConversationId, Endpoint, ErrorCode, Seq, Topic, UserId, close,
};
use crate::time::{Mono, Now, Timestamp};

/// An authenticated WebSocket connection of a user, as the rules see it.
#[derive(Debug)]
pub struct Session {
    pub(super) user: UserId,
    pub(super) endpoint: Endpoint,
    /// The token's `exp`: the session ends then.
    pub(super) expires_at: Timestamp,
    /// What else is remembered of the token.
    stamp: Stamp,
    pub(super) commands: Bucket,
    /// On a conversation's socket: when the user's "is typing" ends; 0 while the user is not typing.
    pub(super) typing_until: Mono,
    /// On a conversation's socket: what of it was delivered.
    pub(super) place: Place,
    pub(super) extra: Option<Box<Extra>>,
    /// On a conversation's socket: who else is in it, where that is one.
    pub(super) other: Other,
    strikes: Strikes,
    pub(super) audience: Audience,
    /// True exactly when the client selected `fortifun.v1`.
    pub(super) v1: bool,
    /// True exactly when one of the two blocked the other: neither speaks.
    pub(super) silenced: bool,
    told_expiring: bool,
}

/// The other participants of a conversation, in one word: with one, as nearly always, nothing is allocated; several are kept
/// with the [`Extra`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Other(Option<NonZeroI64>);

impl Other {
    /// Nobody, or several.
    pub(super) const NONE: Self = Self(None);

    /// This one.
    pub(super) fn one(user: UserId) -> Self {
        Self(NonZeroI64::new(user.0))
    }

    /// Who it is.
    pub(super) fn get(self) -> Option<UserId> {
        self.0.map(|id| UserId(id.get()))
    }
}

/// What becomes of a live frame at one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admit {
    /// Queue it.
    Deliver,
    /// Not for this session, or a repeat: drop it.
    Skip,
    /// Drop it: the session is being caught up, and gets it from the store.
    Hold,
    /// As [`Admit::Hold`], and the session missed something before it: call [`on_gap`](super::on_gap) soon.
    Gap,
}

impl Session {
    pub(super) fn new(
        user: UserId,
        endpoint: Endpoint,
        (expires_at, stamp): (Timestamp, Stamp),
        v1: bool,
        place: Place,
    ) -> Self {
        let audience = match endpoint {
            // What the user wrote elsewhere is no news to the user.
            Endpoint::Notifications => {
                Audience::ALL.with(Topic::OwnMessages, false).with(Topic::Activity, false)
            }
            // The seed's clients get the seed's frames.
            Endpoint::Chat => Audience::ALL.with(Topic::Activity, v1),
            Endpoint::Conversation(_) => Audience::ALL,
        };
        Self {
            user,
            endpoint,
            expires_at,
            stamp,
            commands: Bucket::default(),
            typing_until: Mono(0),
            place,
            extra: None,
            other: Other::NONE,
            strikes: Strikes::default(),
            audience,
            v1,
            silenced: false,
            told_expiring: false,
        }
    }

    /// Whose session this is.
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// Which socket it came in by.
    pub const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// What is remembered of the token that it began, or was last renewed, with.
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// True exactly when the client selected `fortifun.v1`.
    pub const fn is_v1(&self) -> bool {
        self.v1
    }

    /// Whether a live frame of one of the session's groups is for it. The arguments are those of
    /// [`Payload::Frame`](crate::channel::Payload::Frame); `me` is the session's own connection.
    ///
    /// The hot path of fan-out: a few comparisons; on a chat socket that has resumed within the last half minute, a search
    /// among the conversations it resumed.
    #[inline]
    pub fn admits(
        &mut self,
        me: ConnRef,
        topic: Topic,
        place: Option<(ConversationId, Seq)>,
        except: Option<ConnRef>,
    ) -> Admit {
        if !self.audience.hears(topic) || except == Some(me) {
            return Admit::Skip;
        }
        let Some((conversation, seq)) = place else { return Admit::Deliver };
        match self.endpoint {
            Endpoint::Conversation(own) if own == conversation => self.place.admit_next(seq),
            Endpoint::Chat => match &mut self.extra {
                Some(extra) => extra.admits(conversation, seq),
                None => Admit::Deliver,
            },
            Endpoint::Conversation(_) | Endpoint::Notifications => Admit::Deliver,
        }
    }

    /// The same of messages `first` to `last` of a conversation, which no session gets by another way: true exactly when each of them
    /// would be delivered, and then they count as delivered; false, and nothing is changed, where they are to be asked about one by one.
    pub fn admits_all(
        &mut self,
        topic: Topic,
        conversation: ConversationId,
        first: Seq,
        last: Seq,
    ) -> bool {
        self.audience.hears(topic)
            && match self.endpoint {
                Endpoint::Conversation(own) if own == conversation => {
                    self.place.admit_all(first, last)
                }
                Endpoint::Chat => self.extra.is_none(),
                Endpoint::Conversation(_) | Endpoint::Notifications => true,
            }
    }

    /// When [`on_deadline`] is next due: at `exp` at the latest. It changes with every call of a function that takes the
    /// session; a call that comes early does nothing.
    pub fn deadline(&self, now: Now) -> Mono {
        let token = if self.v1 && !self.told_expiring {
            self.expires_at.plus_ms(-TOKEN_EXPIRING_MS)
        } else {
            self.expires_at
        };
        // Rounded up, so that the deadline is never reached before the time it stands for.
        let token_us = token.0.saturating_sub(now.wall.0).max(0) as u64;
        let typing = (self.typing_until != Mono(0)).then_some(self.typing_until);
        let extra = self.extra.as_ref().and_then(|extra| extra.deadline());
        [typing, extra]
            .into_iter()
            .flatten()
            .fold(now.mono.plus(token_us.div_ceil(1_000)), Mono::min)
    }

    /// Keeps who else is in the session's conversation.
    pub(super) fn keep_others(&mut self, others: impl Iterator<Item = UserId>) {
        let others: Vec<UserId> = others.collect();
        match others[..] {
            [] => {}
            [only] => self.other = Other::one(only),
            _ => self.extra().others = others,
        }
    }

    /// Who else is in the session's conversation.
    pub(super) fn others(&self) -> Vec<UserId> {
        let several = self.extra.iter().flat_map(|extra| extra.others.iter().copied());
        self.other.get().into_iter().chain(several).collect()
    }

    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_with(Box::default)
    }

    /// Gives the memory back once nothing is going on.
    pub(super) fn tidy(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.is_idle()) {
            self.extra = None;
        }
    }

    /// The session's standing in `conversation`; on a chat socket one is made where there was none.
    pub(super) fn place(&mut self, conversation: ConversationId) -> &mut Place {
        match self.endpoint {
            Endpoint::Conversation(_) => &mut self.place,
            Endpoint::Chat | Endpoint::Notifications => self.extra().place(conversation),
        }
    }

    /// The session goes on by another token, until its `exp`.
    pub(super) fn renew(&mut self, claims: &Claims) {
        self.expires_at = claims.expires_at;
        self.stamp = Stamp::of(claims);
        self.told_expiring = false;
    }

    /// Counts an error, and closes the session where there were too many.
    pub(super) fn strike(&mut self, code: ErrorCode, now: Mono, out: &mut Vec<Effect>) {
        if let Some((code, reason)) = self.strikes.count(code, now) {
            out.push(Effect::Close { code, reason });
        }
    }
}

/// Ends what time ends: "is typing", the token; and tries again what could not be read.
///
/// Call it at [`Session::deadline`] or later.
pub fn on_deadline(session: &mut Session, ctx: &Ctx<'_>, out: &mut Vec<Effect>) {
    let now = ctx.now;
    if now.wall >= session.expires_at {
        out.push(Effect::Close { code: close::UNAUTHENTICATED, reason: "token expired" });
        return;
    }
    let expiring = now.wall >= session.expires_at.plus_ms(-TOKEN_EXPIRING_MS);
    if session.v1 && !session.told_expiring && expiring {
        session.told_expiring = true;
        answer(ctx, out, &Answer::TokenExpiring { expires_at: session.expires_at });
    }
    typing::on_deadline(session, ctx, out);
    resume::on_deadline(session, ctx, out);
    session.tidy();
}

/// Errors within a window that begins with the first of them.
#[derive(Clone, Copy, Default, Debug)]
struct Strikes {
    /// When the window began, the clock's low 32 bits.
    since_ms: u32,
    bad: u8,
    limited: u8,
}

impl Strikes {
    /// Counts an error of this code; too many of its kind give a close code and a reason.
    fn count(&mut self, code: ErrorCode, now: Mono) -> Option<(u16, &'static str)> {
        let now_ms = now.0 as u32;
        let begun = self.bad > 0 || self.limited > 0;
        if !begun || u64::from(now_ms.wrapping_sub(self.since_ms)) >= BAD_COMMANDS_WINDOW_MS {
            *self = Self { since_ms: now_ms, bad: 0, limited: 0 };
        }
        if code == ErrorCode::RateLimited {
            self.limited = self.limited.saturating_add(1);
            (u32::from(self.limited) >= LIMITED_COMMANDS_MAX)
                .then_some((close::RATE_LIMITED, "rate limit ignored"))
        } else if code.is_temporary() {
            None
        } else {
            self.bad = self.bad.saturating_add(1);
            (u32::from(self.bad) >= BAD_COMMANDS_MAX)
                .then_some((close::BAD_COMMANDS, "too many bad commands"))
        }
    }
}
