//! The groups of one host that this node is to be a member of, from one connection to the next. Pure.

use std::collections::HashSet;

use super::roster::Roster;
use crate::channel::redis::interest::{Change, Interest, Reader};
use crate::limits::BUS_BATCH_MAX;
use crate::model::{Group, GroupKey};
use crate::time::{Mono, Timestamp};

/// See the module.
#[derive(Debug)]
pub(super) struct Membership {
    reader: Reader,
    /// The groups of which it is a member, as far as is known.
    roster: Roster,
    /// Groups to join before all is as it was on the connection before.
    pending: Vec<Group>,
    /// Groups that were given up while there was no connection.
    given_up: Vec<Group>,
    is_settled: bool,
    /// Since when something may have been missed that is to be looked for once all is settled.
    missed: Option<Timestamp>,
}

/// What is to be done next, [`BUS_BATCH_MAX`] groups of each at most.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Step {
    /// To be joined.
    pub(super) joins: Vec<Group>,
    /// To be left.
    pub(super) leaves: Vec<Group>,
    /// To be joined again, before they are dropped.
    pub(super) refreshes: Vec<Group>,
    /// Of `joins`, those that had not been joined before.
    new: usize,
}

/// What a step has changed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Done {
    /// Groups that are listened to from now on.
    pub(super) heard: Vec<Group>,
    /// Anything since then may have been missed.
    pub(super) gap: Option<Timestamp>,
}

impl Membership {
    /// Of nothing yet. `reader` says what is wanted; a member lasts `group_expiry_s` seconds.
    pub(super) fn new(reader: Reader, group_expiry_s: u32, now: Mono) -> Self {
        Self {
            reader,
            roster: Roster::new(group_expiry_s, now),
            pending: Vec::new(),
            given_up: Vec::new(),
            is_settled: false,
            missed: None,
        }
    }

    /// True exactly when the node is a member of all groups that were wanted when it began anew.
    pub(super) const fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Groups of which it is a member.
    pub(super) fn len(&self) -> usize {
        self.roster.groups().len()
    }

    /// True exactly when there is more to do than to wait.
    pub(super) fn is_behind(&self, interest: &Interest) -> bool {
        !self.is_settled || interest.has_changes(self.reader)
    }

    /// The connection, or what was said on it, is lost; `at` the latest all was as it should.
    pub(super) fn on_lost(&mut self, at: Timestamp) {
        if std::mem::replace(&mut self.is_settled, false) {
            self.missed = Some(at);
        }
    }

    /// Begins anew: everything that is wanted is joined.
    pub(super) fn restart(&mut self, interest: &Interest) {
        self.pending = interest.restart(self.reader);
        let wanted: HashSet<GroupKey> = self.pending.iter().copied().map(GroupKey::from).collect();
        self.given_up.extend(self.roster.take());
        self.given_up.retain(|group| !wanted.contains(&(*group).into()));
    }

    /// What to do next. `is_here` says whether a group has a name on this host.
    pub(super) fn next(
        &mut self,
        interest: &Interest,
        is_here: impl Fn(Group) -> bool,
        now: Mono,
    ) -> Step {
        let mut step = Step::default();
        for Change { group, is_wanted } in interest.changes(self.reader, BUS_BATCH_MAX) {
            if is_wanted && is_here(group) {
                step.joins.push(group);
            } else if !is_wanted && self.roster.has(group) {
                step.leaves.push(group);
            }
        }
        step.new = step.joins.len();
        while step.joins.len() < BUS_BATCH_MAX
            && let Some(group) = self.pending.pop()
        {
            // Given up since: then a change that says so was or will be told.
            if interest.since(group).is_some() && is_here(group) {
                step.joins.push(group);
            }
        }
        let room = BUS_BATCH_MAX.saturating_sub(step.leaves.len());
        for group in self.given_up.drain(self.given_up.len().saturating_sub(room)..) {
            if interest.since(group).is_none() {
                step.leaves.push(group);
            }
        }
        step.refreshes.extend(self.roster.due(now, BUS_BATCH_MAX));
        step
    }

    /// `step` was done.
    pub(super) fn on_done(&mut self, mut step: Step) -> Done {
        for group in &step.joins {
            self.roster.insert(*group);
        }
        for group in &step.leaves {
            self.roster.remove(*group);
        }
        if self.missed.is_some() {
            // All are looked at when they are all there.
            step.joins.truncate(step.new);
        }
        let mut done = Done { heard: step.joins, gap: None };
        if !self.is_settled && self.pending.is_empty() && self.given_up.is_empty() {
            self.is_settled = true;
            done.gap = self.missed.take();
        }
        done
    }

    /// The node is a member of nothing any more; gives all that it is.
    pub(super) fn take(&mut self) -> Vec<Group> {
        self.is_settled = false;
        let mut all = self.roster.take();
        all.append(&mut self.given_up);
        all
    }
}

impl Step {
    /// True exactly when there is nothing to do.
    pub(super) const fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.leaves.is_empty() && self.refreshes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BUS_LINGER_MS;
    use crate::model::UserId;
    use crate::time::Now;

    const EXPIRY_S: u32 = 3_000;

    const fn group(id: i64) -> Group {
        Group::User(UserId(id))
    }

    fn want(interest: &Interest, ids: std::ops::RangeInclusive<i64>) {
        ids.for_each(|id| _ = interest.want(group(id), Now::default()));
    }

    fn give_up(interest: &Interest, id: i64) {
        interest.release(group(id), Mono(0));
        assert!(interest.expire(Mono(BUS_LINGER_MS), |_| false));
    }

    /// Does all there is to do; what was told on the way.
    fn settle(membership: &mut Membership, interest: &Interest) -> Done {
        let mut all = Done::default();
        for _ in 0..100 {
            let step = membership.next(interest, |_| true, Mono(0));
            assert!(step.joins.len() <= BUS_BATCH_MAX && step.leaves.len() <= 2 * BUS_BATCH_MAX);
            let done = membership.on_done(step);
            all.heard.extend(done.heard);
            all.gap = all.gap.or(done.gap);
            if !membership.is_behind(interest) {
                break;
            }
        }
        assert!(membership.is_settled());
        all.heard.sort_unstable();
        all
    }

    fn begun(ids: std::ops::RangeInclusive<i64>) -> (Interest, Membership) {
        let interest = Interest::default();
        want(&interest, ids);
        let mut membership = Membership::new(interest.reader(), EXPIRY_S, Mono(0));
        membership.restart(&interest);
        (interest, membership)
    }

    #[test]
    fn all_that_is_wanted_at_the_start_is_joined_in_steps_and_heard() {
        let (interest, mut membership) = begun(1..=2_000);
        assert!(!membership.is_settled() && membership.is_behind(&interest));
        let done = settle(&mut membership, &interest);
        assert_eq!(done.heard, (1..=2_000).map(group).collect::<Vec<_>>());
        assert_eq!((done.gap, membership.len()), (None, 2_000));
    }

    #[test]
    fn after_a_loss_everything_is_joined_again_and_looked_for_once() {
        let (interest, mut membership) = begun(1..=3);
        settle(&mut membership, &interest);
        membership.on_lost(Timestamp(7));
        membership.on_lost(Timestamp(9));
        give_up(&interest, 3);
        want(&interest, 4..=4);
        membership.restart(&interest);
        let step = membership.next(&interest, |_| true, Mono(0));
        assert_eq!((step.joins.len(), &step.leaves[..]), (3, &[group(3)][..]));
        let done = membership.on_done(step);
        assert_eq!(done, Done { heard: Vec::new(), gap: Some(Timestamp(7)) });
        assert_eq!(membership.len(), 3);
        assert!(!membership.is_behind(&interest));
    }

    #[test]
    fn changes_are_followed_and_a_group_of_another_host_is_none() {
        let (interest, mut membership) = begun(1..=1);
        settle(&mut membership, &interest);
        want(&interest, 2..=3);
        give_up(&interest, 1);
        let step = membership.next(&interest, |it| it != group(3), Mono(0));
        assert_eq!((&step.joins[..], &step.leaves[..]), (&[group(2)][..], &[group(1)][..]));
        assert_eq!(membership.on_done(step).heard, [group(2)]);
        give_up(&interest, 3);
        assert!(membership.next(&interest, |it| it != group(3), Mono(0)).is_empty());
        assert_eq!(membership.take(), [group(2)]);
    }

    #[test]
    fn what_was_given_up_before_it_was_joined_again_is_not_joined() {
        let (interest, mut membership) = begun(1..=2);
        give_up(&interest, 2);
        let step = membership.next(&interest, |_| true, Mono(0));
        assert_eq!((&step.joins[..], step.leaves.len()), (&[group(1)][..], 0));
    }

    #[test]
    fn members_are_refreshed_within_a_third_of_their_life() {
        let (interest, mut membership) = begun(1..=10);
        settle(&mut membership, &interest);
        let third_ms = u64::from(EXPIRY_S) * 1_000 / 3;
        let refreshed: Vec<usize> = [0, third_ms / 2, third_ms]
            .map(|ms| membership.next(&interest, |_| true, Mono(ms)).refreshes.len())
            .into();
        assert_eq!(refreshed, [0, 5, 5]);
    }
}
