//! Who is here on which node, and which tokens are refused.

use super::state::{Lease, State};
use crate::limits::{LEASE_FIRST_S, LEASE_REAP_MAX, NODE_KEPT_S, REVOCATIONS_PAGE};
use crate::model::{ConversationId, NodeId, Refused, Revocation, Revoked, UserId};
use crate::store::{Gone, Reply};
use crate::time::Timestamp;

impl State {
    pub(super) fn set_presence(
        &mut self,
        id: UserId,
        is_here: bool,
        node: NodeId,
        now: Timestamp,
    ) -> Result<Reply, Refused> {
        if is_here && self.users.contains_key(&id) {
            let first = Lease { is_held: false, expires_at: after(now, i64::from(LEASE_FIRST_S)) };
            self.nodes.entry(node).or_insert(first);
            self.presence.insert((id, node));
        } else {
            self.presence.remove(&(id, node));
        }
        let is_online = is_here || self.is_elsewhere(id, node, now);
        let user = self.users.get_mut(&id).ok_or(Refused::UserNotFound)?;
        let is_changed = std::mem::replace(&mut user.is_online, is_online) != is_online;
        user.last_activity = Some(now);
        let (user, conversations) = (self.card(id), self.audience(id));
        Ok(Reply::Presence { user, is_online, is_changed, at: now, conversations })
    }

    pub(super) fn lease(
        &mut self,
        node: NodeId,
        lease_s: u32,
        reap: bool,
        now: Timestamp,
    ) -> Reply {
        let lease = Lease { is_held: true, expires_at: after(now, i64::from(lease_s)) };
        let before = self.nodes.insert(node, lease);
        let was_held = before.is_some_and(|lease| lease.is_held && lease.expires_at > now);
        let (offline, has_more) = if reap { self.reap(now) } else { (Vec::new(), false) };
        Reply::Lease { was_held, offline, has_more }
    }

    pub(super) fn revoke(
        &mut self,
        revoked: &Revoked,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Reply, Refused> {
        if let Revoked::User(user) = revoked
            && !self.users.contains_key(user)
        {
            return Err(Refused::UserNotFound);
        }
        self.revocations.retain(|revocation| revocation.until > now);
        self.last_revocation += 1;
        let (id, revoked) = (self.last_revocation, revoked.clone());
        self.revocations.push(Revocation { id, revoked, at: now, until });
        Ok(Reply::Done)
    }

    pub(super) fn revocations(&self, after: i64, now: Timestamp) -> Vec<Revocation> {
        let is_asked = |revocation: &&Revocation| revocation.id > after && revocation.until > now;
        self.revocations.iter().filter(is_asked).take(REVOCATIONS_PAGE).cloned().collect()
    }

    fn reap(&mut self, now: Timestamp) -> (Vec<Gone>, bool) {
        let ended = |node: &NodeId| self.nodes.get(node).is_some_and(|it| it.expires_at <= now);
        let mut left: Vec<(NodeId, UserId)> = self
            .presence
            .iter()
            .filter(|(_, node)| ended(node))
            .map(|(user, node)| (*node, *user))
            .collect();
        left.sort_unstable();
        let has_more = left.len() > LEASE_REAP_MAX;
        left.truncate(LEASE_REAP_MAX);
        for (node, user) in &left {
            self.presence.remove(&(*user, *node));
        }
        let mut users: Vec<UserId> = left.into_iter().map(|(_, user)| user).collect();
        users.sort_unstable();
        users.dedup();
        let mut offline = Vec::new();
        for id in users {
            if self.is_here(id, now) {
                continue;
            }
            let Some(user) = self.users.get_mut(&id) else { continue };
            if std::mem::take(&mut user.is_online) {
                user.last_activity = Some(now);
                let (user, conversations) = (self.card(id), self.audience(id));
                offline.push(Gone { user, at: now, conversations });
            }
        }
        let is_remembered = |node: &NodeId, lease: &Lease| {
            after(lease.expires_at, NODE_KEPT_S) > now
                || self.presence.iter().any(|(_, other)| other == node)
        };
        self.nodes.retain(|node, lease| is_remembered(node, lease));
        (offline, has_more)
    }

    /// True exactly when some node that is alive has `user`.
    fn is_here(&self, user: UserId, now: Timestamp) -> bool {
        self.nodes_of(user).any(|node| self.is_alive(node, now))
    }

    /// True exactly when some node but `node` that is alive has `user`.
    fn is_elsewhere(&self, user: UserId, node: NodeId, now: Timestamp) -> bool {
        self.nodes_of(user).any(|other| other != node && self.is_alive(other, now))
    }

    fn nodes_of(&self, user: UserId) -> impl Iterator<Item = NodeId> {
        let all = (user, NodeId(0))..=(user, NodeId(u128::MAX));
        self.presence.range(all).map(|(_, node)| *node)
    }

    fn is_alive(&self, node: NodeId, now: Timestamp) -> bool {
        self.nodes.get(&node).is_some_and(|lease| lease.expires_at > now)
    }

    /// Who is told of a change: the active conversations without a block either way.
    fn audience(&self, user: UserId) -> Vec<ConversationId> {
        let talks = self.active_talks(user).filter(|(_, talk)| !self.is_silent_in(user, talk));
        talks.map(|(id, _)| id).collect()
    }
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.plus_ms(seconds * 1_000)
}
