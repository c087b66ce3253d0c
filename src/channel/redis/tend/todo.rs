//! What is to be asked of the store, and in what portions. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::channel::Delivery;
use crate::limits::{BUS_CHECK_MAX, BUS_MARGIN_MS};
use crate::model::{ConversationId, Group, MessageId, UserId};
use crate::time::Timestamp;

/// Everything that waits to be asked. At most one entry for each group with sessions here, and one for each note that was taken.
#[derive(Debug, Default)]
pub(super) struct Todo {
    conversations: BTreeSet<ConversationId>,
    /// Users, and since when something may have been missed.
    users: BTreeMap<UserId, Timestamp>,
    /// What users lack, and since when.
    holes: BTreeMap<(UserId, ConversationId), Timestamp>,
    /// In the order they came.
    pub(super) unplaced: Vec<(Arc<Delivery>, MessageId)>,
}

/// One question. What it is about stays until it is said to be answered, the unplaced excepted.
#[derive(Debug)]
pub(super) enum Work {
    /// None is open.
    Nothing,
    /// What these users lack of these conversations, and since when.
    Holes(Vec<(UserId, ConversationId)>, Timestamp),
    /// The places of these.
    Unplaced(Vec<(Arc<Delivery>, MessageId)>),
    /// How these stand.
    Conversations(Vec<ConversationId>),
    /// What was said to these users, and since when.
    Users(Vec<UserId>, Timestamp),
}

impl Todo {
    /// Something that was said in `group` since `since` may have been missed.
    pub(super) fn check(&mut self, group: Group, since: Timestamp) {
        match group {
            Group::Conversation(id) => {
                self.conversations.insert(id);
            }
            Group::User(user) => earlier(self.users.entry(user).or_insert(since), since),
            // What is missed of presence is told again with its next change.
            Group::Presence(_) | Group::General => {}
        }
    }

    /// `user` lacks something of `conversation`, made at `since` or later.
    pub(super) fn hole(&mut self, user: UserId, conversation: ConversationId, since: Timestamp) {
        earlier(self.holes.entry((user, conversation)).or_insert(since), since);
    }

    /// The most urgent question, of [`BUS_CHECK_MAX`] at most. Groups that have no sessions any more are left out.
    pub(super) fn next(&mut self, has_sessions: impl Fn(Group) -> bool) -> Work {
        self.holes.retain(|(user, _), _| has_sessions(Group::User(*user)));
        if let Some(since) = self.holes.values().min().copied() {
            let holes = self.holes.keys().take(BUS_CHECK_MAX).copied().collect();
            return Work::Holes(holes, since);
        }
        if !self.unplaced.is_empty() {
            let count = self.unplaced.len().min(BUS_CHECK_MAX);
            return Work::Unplaced(self.unplaced.drain(..count).collect());
        }
        while let Some(first) = self.conversations.first().copied()
            && !has_sessions(Group::Conversation(first))
        {
            self.conversations.pop_first();
        }
        if !self.conversations.is_empty() {
            let ids = self.conversations.iter().take(BUS_CHECK_MAX).copied().collect();
            return Work::Conversations(ids);
        }
        self.users.retain(|user, _| has_sessions(Group::User(*user)));
        let Some(since) = self.users.values().min().copied() else { return Work::Nothing };
        // Not with those who came much later: they would be told what was said long before.
        let until = since.plus_ms(BUS_MARGIN_MS);
        let users = self.users.iter().filter(|(_, since)| **since <= until);
        Work::Users(users.take(BUS_CHECK_MAX).map(|(user, _)| *user).collect(), since)
    }

    /// Since when `user` may have missed something; `None` where that is not asked.
    pub(super) fn since(&self, user: UserId) -> Option<Timestamp> {
        self.users.get(&user).copied()
    }

    pub(super) fn mended(&mut self, user: UserId, conversation: ConversationId) {
        self.holes.remove(&(user, conversation));
    }

    pub(super) fn compared(&mut self, ids: &[ConversationId]) {
        for id in ids {
            self.conversations.remove(id);
        }
    }

    pub(super) fn caught_up(&mut self, users: &[UserId]) {
        for user in users {
            self.users.remove(user);
        }
    }

    /// True exactly when there is nothing to ask.
    pub(super) fn is_empty(&self) -> bool {
        self.conversations.is_empty()
            && self.users.is_empty()
            && self.holes.is_empty()
            && self.unplaced.is_empty()
    }
}

fn earlier(kept: &mut Timestamp, since: Timestamp) {
    *kept = since.min(*kept);
}
