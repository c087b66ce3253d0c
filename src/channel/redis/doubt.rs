//! Since when a group may have missed something: then the first message of a conversation to a user is not known to be the first,
//! and waits until the store was asked for what is before it.

use parking_lot::Mutex;

use super::Hub;
use super::sequence::Ticket;
use crate::limits::BUS_MARGIN_MS;
use crate::model::{Group, UserId};
use crate::time::Timestamp;

/// Since when something may have been missed; empty while the bus is known to be whole.
#[derive(Debug, Default)]
pub(super) struct Doubt(Mutex<Option<Timestamp>>);

impl Doubt {
    /// Something that was said at `since` or later may have been missed.
    pub(super) fn raise(&self, since: Timestamp) {
        let mut doubt = self.0.lock();
        *doubt = Some(doubt.map_or(since, |earlier| earlier.min(since)));
    }

    /// Ends where `is_whole`, which is asked under this lock: what is known to be missed is known before the doubt is raised.
    fn end(&self, is_whole: impl FnOnce() -> bool) {
        let mut doubt = self.0.lock();
        if doubt.is_some() && is_whole() {
            *doubt = None;
        }
    }

    fn since(&self) -> Option<Timestamp> {
        *self.0.lock()
    }
}

impl Hub {
    /// Ends the doubt where nothing is known to have been missed.
    pub(super) fn end_doubt(&self) {
        self.doubt().end(|| self.is_whole());
    }

    /// Since when `group` may have missed something: before it was listened to, or while the bus failed. `None` where it has not.
    pub(super) fn unsure_since(&self, group: Group) -> Option<Timestamp> {
        let first = self.interest().since(group)?.plus_ms(-BUS_MARGIN_MS);
        if !self.interest().is_whole(group) {
            return Some(first);
        }
        let doubt = self.doubt().since();
        let is_sure = doubt.is_none() && self.is_whole();
        // What was said before its first session is no loss.
        (!is_sure).then(|| doubt.map_or(first, |doubt| doubt.max(first)))
    }

    /// Users were given what they may have missed; before the store was asked, those of `heard` were listened to, and `newest` was the
    /// newest question.
    pub(super) fn caught_up(&self, users: &[UserId], heard: &[UserId], newest: Ticket) {
        for user in heard {
            self.interest().caught_up(Group::User(*user));
        }
        let out = &mut |shards, item| self.hand_out(shards, item);
        for user in users {
            self.sequence().caught_up(Group::User(*user), newest, self.now().mono, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_lasts_from_its_earliest_cause_until_nothing_is_missed() {
        let doubt = Doubt::default();
        assert_eq!(doubt.since(), None);
        doubt.raise(Timestamp(7));
        doubt.raise(Timestamp(5));
        doubt.raise(Timestamp(9));
        doubt.end(|| false);
        assert_eq!(doubt.since(), Some(Timestamp(5)));
        doubt.end(|| true);
        assert_eq!(doubt.since(), None);
    }
}
