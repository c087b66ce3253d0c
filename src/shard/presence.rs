//! What the store says of who is here follows the [`Directory`](crate::chat::Directory), whatever fails or overtakes on the way.
//!
//! A change is asked of the store with what the directory says at that moment, and the answer is compared with what it says
//! then: where the two differ, or the store could not, it is asked once more. So requests of several shards may cross, and a
//! database may be away for a while.

use super::core::Core;
use crate::ids::{ConnKey, ConnRef, ShardId, UserId};
use crate::limits::{OFFLINE_PENDING_MAX, PRESENCE_GATHER_MS, PRESENCE_RETRIES_MAX, STALL_MS};
use crate::store::{Failure, Outcome, Request};
use crate::worker::{Job, Ticket};

impl Core {
    /// Keeps whether `user` is here, and tells it: at once, unless that was done a moment ago for others. Then they are told
    /// together, so that a crowd that comes costs the writer a wake-up and a commit each [`PRESENCE_GATHER_MS`], not each user.
    pub fn tell_presence(&mut self, user: UserId) {
        if self.presence.len() < OFFLINE_PENDING_MAX {
            self.presence.push_back(user);
        } else {
            self.meters.shed(1);
        }
        self.tell_waiting_presence();
    }

    /// The store has answered to what was told of `user`.
    pub fn on_presence(&mut self, user: UserId, told: bool, outcome: &Outcome) {
        match outcome {
            Ok(_) if self.node.directory.is_online(user) != told => self.tell_presence(user),
            Ok(_) | Err(Failure::Refused(_)) => {}
            Err(Failure::Store(_)) if self.unkept.len() < OFFLINE_PENDING_MAX => {
                self.unkept.push(user);
            }
            Err(Failure::Store(_)) => self.meters.shed(1),
        }
    }

    /// Tells what waits where it is time to, oldest first, as far as the write queue has room.
    pub(super) fn tell_waiting_presence(&mut self) {
        if self.presence.is_empty() || self.now.mono < self.presence_at {
            return;
        }
        self.presence_at = self.now.mono.plus(PRESENCE_GATHER_MS);
        while let Some(user) = self.presence.pop_front() {
            if !self.try_tell_presence(user) {
                self.presence.push_front(user);
                self.presence_at = self.now.mono.plus(STALL_MS);
                break;
            }
        }
    }

    /// In how many milliseconds [`Self::tell_waiting_presence`] is next due; `None` when nothing waits.
    pub(super) fn until_presence(&self) -> Option<u64> {
        (!self.presence.is_empty()).then(|| self.presence_at.since(self.now.mono))
    }

    /// Tells again what the store could not keep; once a second.
    pub(super) fn retry_unkept(&mut self) {
        let count = self.unkept.len().min(PRESENCE_RETRIES_MAX);
        for user in self.unkept.drain(..count).collect::<Vec<_>>() {
            self.tell_presence(user);
        }
    }

    /// Users whose last session ended long enough ago are offline now. One shard of a node does this.
    pub(super) fn expire_presence(&mut self) {
        let mut gone = Vec::new();
        self.node.directory.expire(self.now.mono, |user| gone.push(user));
        for user in gone {
            self.tell_presence(user);
        }
    }

    /// What the store answered to shard 0's own questions was lost, or may have been: they are asked again, and who is here is told.
    pub(super) fn on_own_lost(&mut self) {
        if self.shard == ShardId(0) {
            self.on_lease_lost();
            self.on_revocations_lost();
        }
    }

    /// Asks the store to keep it; false where the queue is full.
    pub(super) fn try_tell_presence(&self, user: UserId) -> bool {
        let is_online = self.node.directory.is_online(user);
        let from = Some(ConnRef { shard: self.shard, key: ConnKey::NONE });
        let ticket = Ticket::Presence { user, is_online };
        let request = Request::SetPresence { user, is_online, node: self.node.id };
        self.node.queues.submit(Job { request, from, ticket }).is_ok()
    }
}
