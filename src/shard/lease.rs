//! The node's lease: while it lasts, those who are here are online for all nodes. Shard 0 renews it, and with it takes users of
//! nodes that died offline.
//!
//! Nobody is taken offline because the database was away: a node looks for the dead only after its own renewals have all
//! succeeded in time for as long as a lease lasts, in which every living node had time for its own.

use std::collections::VecDeque;

use super::core::Core;
use crate::ids::{ConnKey, ConnRef, UserId};
use crate::limits::{DECIDE_MS, LEASE_RENEW_MS, LEASE_RETRY_MS, PRESENCE_AGAIN_MAX};
use crate::store::{Failure, Outcome, Reply, Request, StoreErrorKind};
use crate::time::Mono;
use crate::worker::{Job, Ticket};

/// What shard 0 knows of the lease.
#[derive(Default, Debug)]
pub(super) struct Lease {
    /// When it is next asked for.
    next_at: Mono,
    renewed_at: Mono,
    /// Since when every renewal succeeded in time.
    steady_since: Option<Mono>,
    /// Users whose presence is told again.
    again: VecDeque<UserId>,
}

impl Core {
    /// Renews the lease where that is due, and tells again a share of what is to be told; once a second.
    pub(super) fn keep_lease(&mut self) {
        if self.lease.next_at <= self.now.mono {
            self.ask_for_lease();
        }
        for _ in 0..PRESENCE_AGAIN_MAX {
            let Some(user) = self.lease.again.pop_front() else { break };
            if !self.try_tell_presence(user) {
                self.lease.again.push_front(user);
                break;
            }
        }
    }

    /// The store has answered.
    pub(super) fn on_lease(&mut self, outcome: &Outcome) {
        let now = self.now.mono;
        let (was_held, has_more) = match outcome {
            Ok(Reply::Lease { was_held, has_more, .. }) => (was_held, has_more),
            // It may be held since then, and the next answer would not say that it was not before.
            Err(Failure::Store(error)) if error.kind == StoreErrorKind::Unknown => {
                return self.on_lease_lost();
            }
            _ => return self.lease.on_failed(now),
        };
        self.lease.on_renewed(*was_held, renew_ms(self.node.lease_s), now);
        if !was_held {
            self.tell_everybody_again();
        }
        if *has_more {
            self.ask_for_lease();
        }
    }

    /// The answer was lost: it is not known what others take for true of this node's users.
    pub(super) fn on_lease_lost(&mut self) {
        self.lease.on_failed(self.now.mono);
        self.tell_everybody_again();
    }

    fn tell_everybody_again(&mut self) {
        self.lease.again = self.node.directory.online().into();
    }

    fn ask_for_lease(&mut self) {
        let now = self.now.mono;
        let (node, lease_s) = (self.node.id, self.node.lease_s);
        let request = Request::Lease { node, lease_s, reap: self.lease.may_reap(lease_s, now) };
        let from = Some(ConnRef { shard: self.shard, key: ConnKey::NONE });
        let is_asked =
            self.node.queues.submit(Job { request, from, ticket: Ticket::Lease }).is_ok();
        // The answer says when it is due; should it be lost, this does.
        self.lease.next_at = now.plus(if is_asked { DECIDE_MS } else { LEASE_RETRY_MS });
    }
}

impl Lease {
    fn on_renewed(&mut self, was_held: bool, renew_ms: u64, now: Mono) {
        let is_late = now.since(self.renewed_at) > 2 * renew_ms;
        if !was_held || is_late {
            self.steady_since = None;
        }
        self.steady_since.get_or_insert(now);
        self.renewed_at = now;
        self.next_at = now.plus(renew_ms);
    }

    fn on_failed(&mut self, now: Mono) {
        self.steady_since = None;
        self.next_at = now.plus(LEASE_RETRY_MS);
    }

    fn may_reap(&self, lease_s: u32, now: Mono) -> bool {
        self.steady_since.is_some_and(|since| now.since(since) >= u64::from(lease_s) * 1_000)
    }
}

/// Between two renewals.
fn renew_ms(lease_s: u32) -> u64 {
    LEASE_RENEW_MS.min(u64::from(lease_s) * 1_000 / 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each node may look for the dead after renewals at these milliseconds, `None` for one that failed.
    fn may_reap(renewals: &[(u64, Option<bool>)]) -> Vec<bool> {
        let mut lease = Lease::default();
        let renew = |&(ms, was_held): &(u64, Option<bool>)| {
            let may_reap = lease.may_reap(30, Mono(ms));
            match was_held {
                Some(was_held) => lease.on_renewed(was_held, renew_ms(30), Mono(ms)),
                None => lease.on_failed(Mono(ms)),
            }
            may_reap
        };
        renewals.iter().map(renew).collect()
    }

    #[test]
    fn the_dead_are_looked_for_after_a_whole_lease_of_renewals_in_time() {
        let held = |ms| (ms, Some(true));
        let first = (100_000, Some(false));
        let steady = [first, held(110_000), held(120_000), held(129_999), held(130_000)];
        assert_eq!(may_reap(&steady), [false, false, false, false, true]);
        for trouble in [(140_000, None), (140_000, Some(false)), (150_001, Some(true))] {
            let after = |ms: u64| held(trouble.0 + ms);
            let renewals = [
                &steady[..],
                &[trouble, after(10_000), after(20_000), after(30_000), after(40_000)],
            ];
            let may = may_reap(&renewals.concat());
            assert_eq!(may[6..8], [false, false], "{trouble:?}: {may:?}");
            assert!(may[9], "{trouble:?}: {may:?}");
        }
    }

    #[test]
    fn a_lease_is_renewed_three_times_in_it_and_not_less_often_than_usual() {
        for (lease_s, ms) in [(5, 1_666), (30, 10_000), (300, LEASE_RENEW_MS)] {
            assert_eq!(renew_ms(lease_s), ms);
        }
    }
}
