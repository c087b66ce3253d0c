//! Where a session stands in one conversation: what of the live stream it gets, holds back or has had.
//!
//! ```text
//!            catch_up                        settle
//!   live ---------------> catching up -----------------> live
//!  (floor)               (floor, held)                 (floor')
//! ```
//!
//! While a session is caught up from the store, what arrives live is not sent: only the newest place of it is remembered,
//! and the pages go on until they have passed it. So no message of others is buffered, however long it takes, and each goes
//! out once and in order.

use crate::model::Seq;

use super::session::Admit;

/// One session's standing in one conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Everything up to here was delivered, or is none of the session's business: a repeat.
    floor: Seq,
    /// The newest place held back, 0 for none; [`Self::LIVE`] while nothing is held back.
    held: Seq,
}

impl Place {
    const LIVE: Seq = Seq(-1);

    /// Live events go out from behind `floor` on.
    pub(super) const fn live(floor: Seq) -> Self {
        Self { floor, held: Self::LIVE }
    }

    /// Everything up to here was delivered.
    pub(super) const fn floor(&self) -> Seq {
        self.floor
    }

    /// The newest place held back; 0 for none.
    pub(super) fn held(&self) -> Seq {
        self.held.max(Seq(0))
    }

    /// True exactly when live messages are held back.
    pub(super) fn is_catching_up(&self) -> bool {
        self.held != Self::LIVE
    }

    /// From now on live messages are held back.
    pub(super) fn catch_up(&mut self) {
        self.held = self.held();
    }

    /// `to` is known to be committed, and not delivered: it is owed.
    pub(super) fn hold(&mut self, to: Seq) {
        self.held = self.held().max(to);
    }

    /// The pages delivered everything up to `to`; what they passed of the held is no longer owed.
    pub(super) fn advance(&mut self, to: Seq) {
        self.floor = self.floor.max(to);
    }

    /// Everything up to `to` is settled and nothing is held back any more.
    pub(super) fn settle(&mut self, to: Seq) {
        self.advance(to);
        self.held = Self::LIVE;
    }

    /// A live message where every place since `floor` is expected: one that skips some is held, and a catching up begins.
    #[inline]
    pub(super) fn admit_next(&mut self, seq: Seq) -> Admit {
        if seq <= self.floor {
            Admit::Skip
        } else if self.is_catching_up() {
            self.hold(seq);
            Admit::Hold
        } else if seq.0 == self.floor.0 + 1 {
            self.floor = seq;
            Admit::Deliver
        } else {
            self.hold(seq);
            Admit::Gap
        }
    }

    /// Live messages `first` to `last`, each the next of the one before: true where [`Place::admit_next`] would deliver all of them.
    pub(super) fn admit_all(&mut self, first: Seq, last: Seq) -> bool {
        let is_next = first.0 == self.floor.0 + 1 && !self.is_catching_up();
        if is_next {
            self.floor = last;
        }
        is_next
    }

    /// A live message where `floor` is known from a resume alone and says nothing of what was delivered live since.
    #[inline]
    pub(super) fn admit_above(&mut self, seq: Seq) -> Admit {
        if seq <= self.floor {
            Admit::Skip
        } else if self.is_catching_up() {
            self.hold(seq);
            Admit::Hold
        } else {
            Admit::Deliver
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_are_admitted_at_once_exactly_where_each_would_be(
            floor in 0_i64..6, held in -1_i64..6, first in 1_i64..8, count in 1_i64..5,
        ) {
            let place = Place { floor: Seq(floor), held: Seq(held) };
            let (mut at_once, mut one_by_one) = (place, place);
            let last = first + count - 1;
            let is_each = (first..=last).all(|seq| one_by_one.admit_next(Seq(seq)) == Admit::Deliver);
            prop_assert_eq!(at_once.admit_all(Seq(first), Seq(last)), is_each);
            prop_assert_eq!(at_once, if is_each { one_by_one } else { place });
        }
    }
}
