//! What a session needs only while something is going on; most have none of it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::place::Place;
use super::session::Admit;
use super::typing::Typing;
use super::{CatchUp, watch::Watching};
use crate::limits::{ECHOES_HELD_MAX, TYPING_CONVERSATIONS_MAX};
use crate::model::{ConversationId, Seq, UserId};
use crate::time::Mono;

/// See the fields; freed when all of them are empty.
#[derive(Default, Debug)]
pub(super) struct Extra {
    /// Whose presence a chat session watches.
    pub(super) watching: Watching,
    /// Where a chat session is typing; at most [`TYPING_CONVERSATIONS_MAX`].
    pub(super) typing: Vec<Typing>,
    /// Where a chat session is being caught up, or was a moment ago.
    places: Vec<(ConversationId, Place)>,
    /// Echoes of a chat session's own messages that came while their conversations were being caught up, oldest first; at most
    /// [`ECHOES_HELD_MAX`]. A page brings them, or the end of the resume.
    echoes: Vec<Echo>,
    /// When the places that are live again are forgotten; 0 where there is none.
    pub(super) forget_at: Mono,
    /// Conversations that wait for their turn to be caught up; at most
    /// [`RESUME_CONVERSATIONS_MAX`](crate::limits::RESUME_CONVERSATIONS_MAX). A session asks for one page at a time.
    pub(super) waiting: VecDeque<CatchUp>,
    /// The conversation whose page has been asked for, and whether the client asked.
    pub(super) reading: Option<(ConversationId, bool)>,
    /// When a repair that failed is tried again; 0 for none.
    pub(super) repair_at: Mono,
    /// True exactly when something was missed while a page was being read: another repair follows.
    pub(super) missed: bool,
    /// On the socket of a conversation of three and more: who else is in it.
    pub(super) others: Vec<UserId>,
}

/// The whole server frame that tells a chat session of a message of its own.
#[derive(Debug)]
struct Echo {
    conversation: ConversationId,
    seq: Seq,
    frame: Bytes,
}

impl Extra {
    /// True exactly when nothing is going on.
    pub(super) fn is_idle(&self) -> bool {
        self.watching.is_idle()
            && self.typing.is_empty()
            && self.places.is_empty()
            && self.echoes.is_empty()
            && self.waiting.is_empty()
            && self.reading.is_none()
            && self.repair_at == Mono(0)
            && self.others.is_empty()
    }

    /// The earliest of its deadlines.
    pub(super) fn deadline(&self) -> Option<Mono> {
        debug_assert!(self.typing.len() <= TYPING_CONVERSATIONS_MAX);
        let set = [self.forget_at, self.repair_at].into_iter().filter(|at| *at != Mono(0));
        set.chain(self.typing.iter().map(|typing| typing.until)).min()
    }

    /// See [`Session::admits`](super::Session::admits).
    #[inline]
    pub(super) fn admits(&mut self, conversation: ConversationId, seq: Seq) -> Admit {
        let Some(at) = self.position(conversation) else { return Admit::Deliver };
        let admit = self.places[at].1.admit_above(seq);
        if admit == Admit::Deliver {
            // Past the floor: what follows is past it too.
            self.places.swap_remove(at);
        }
        admit
    }

    /// The standing in `conversation`, made where there was none.
    pub(super) fn place(&mut self, conversation: ConversationId) -> &mut Place {
        let at = self.position(conversation).unwrap_or_else(|| {
            self.places.push((conversation, Place::live(Seq(0))));
            self.places.len() - 1
        });
        &mut self.places[at].1
    }

    /// Keeps the echo of a message that is held back. True exactly when there was room for it.
    pub(super) fn hold_echo(
        &mut self,
        conversation: ConversationId,
        seq: Seq,
        frame: Bytes,
    ) -> bool {
        let has_room = self.echoes.len() < ECHOES_HELD_MAX;
        if has_room {
            self.echoes.push(Echo { conversation, seq, frame });
        }
        has_room
    }

    /// The pages brought everything of `conversation` up to `to`: its echoes go out no other way.
    pub(super) fn drop_echoes(&mut self, conversation: ConversationId, to: Seq) {
        self.echoes.retain(|echo| echo.conversation != conversation || echo.seq > to);
    }

    /// The echoes of `conversation` that no page brought, oldest first.
    pub(super) fn take_echoes(
        &mut self,
        conversation: ConversationId,
    ) -> impl Iterator<Item = Bytes> {
        let all = std::mem::take(&mut self.echoes).into_iter();
        let (taken, kept): (Vec<_>, _) = all.partition(|echo| echo.conversation == conversation);
        self.echoes = kept;
        taken.into_iter().map(|echo| echo.frame)
    }

    /// True exactly when the client asked for `conversation` and has not been told `resumed` yet.
    pub(super) fn is_resuming(&self, conversation: ConversationId) -> bool {
        self.reading == Some((conversation, true))
            || self.waiting.iter().any(|catch_up| catch_up.conversation == conversation)
    }

    /// How many of those waiting belong to the command of the one that is being read, where that is not its last.
    pub(super) fn rest_of_command(&self) -> usize {
        self.waiting.iter().position(|catch_up| catch_up.last).map_or(0, |last| last + 1)
    }

    /// Forgets the places that are live again: what they would filter has long arrived.
    pub(super) fn forget_live(&mut self) {
        self.places.retain(|(_, place)| place.is_catching_up());
        self.places.shrink_to_fit();
        self.forget_at = Mono(0);
    }

    fn position(&self, conversation: ConversationId) -> Option<usize> {
        self.places.iter().position(|(at, _)| *at == conversation)
    }
}
