//! The store as a model: everything in maps, nothing on disk, nothing that depends on hashing or on a clock.
//!
//! It is what the other stores are compared with and what the simulation runs on: ids count 1, 2, 3 …, and the same requests
//! give the same replies. A batch holds the one lock from its first request to its last.

mod missed;
mod people;
mod presence;
mod read;
mod state;
mod write;

use std::sync::Arc;

use parking_lot::Mutex;

use self::state::State;
use super::{Failure, Lane, Open, Outcome, Reply, Request, Store, StoreError, StoreErrorKind};
use crate::model::{ConversationId, Message, MessageId, UserId};
use crate::time::Timestamp;

/// A handle on one shared state; a clone is one more connection to it.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

/// A row of `matching_match`: both users, the smaller id first, and whether the match is active.
pub type MatchRow = (UserId, UserId, bool);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the wiring calls for each worker: one more handle on the same state.
    pub fn opener(&self) -> Open {
        let store = self.clone();
        Arc::new(move |_| Ok(Box::new(store.clone())))
    }

    /// A store whose users are `user1`, `user2` … by name and 1 to `count` by id.
    pub fn with_users(count: u32) -> Self {
        let store = Self::new();
        let mut state = store.state.lock();
        for number in 1..=count {
            state.add_user(&format!("user{number}"), "", "");
        }
        drop(state);
        store
    }

    /// Takes every user offline, as after the death of the process that had them online.
    pub fn reset_presence(&self) {
        let mut state = self.state.lock();
        state.presence.clear();
        state.nodes.clear();
        for user in state.users.values_mut() {
            user.is_online = false;
        }
    }

    /// Makes `user` inactive, as an operator does; nobody where there is no such user.
    pub fn deactivate(&self, user: UserId) {
        if let Some(user) = self.state.lock().users.get_mut(&user) {
            user.is_active = false;
        }
    }

    /// Every conversation, active or not, by id.
    pub fn conversations(&self) -> Vec<ConversationId> {
        self.state.lock().talks.keys().copied().collect()
    }

    /// Every message of `conversation`, by `seq`; none where there is no such conversation.
    pub fn messages(&self, conversation: ConversationId) -> Vec<Message> {
        let state = self.state.lock();
        let count = state.talks.get(&conversation).map_or(0, |talk| talk.posts.len());
        (0..count).map(|index| state.message(conversation, index)).collect()
    }

    /// The rows of `conversations_messageread`: which message, read by whom.
    pub fn reads(&self) -> Vec<(MessageId, UserId)> {
        self.state.lock().reads.iter().copied().collect()
    }

    /// The rows of `matching_match`, by the users' ids.
    pub fn matches(&self) -> Vec<MatchRow> {
        let state = self.state.lock();
        state.matches.iter().map(|(&(a, b), pairing)| (a, b, pairing.is_active)).collect()
    }

    /// Who likes whom.
    pub fn likes(&self) -> Vec<(UserId, UserId)> {
        self.state.lock().likes.iter().copied().collect()
    }

    /// Who blocks whom.
    pub fn blocks(&self) -> Vec<(UserId, UserId)> {
        self.state.lock().blocks.iter().copied().collect()
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, batch: &[Request], now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        let mut state = self.state.lock();
        let undo = batch.iter().any(state::is_too_wide).then(|| state.clone());
        let mut outcomes = Vec::with_capacity(batch.len());
        for request in batch {
            match state.carry_out(request, now) {
                Err(Failure::Store(error)) => {
                    *state = undo.expect("nothing but a field too wide fails");
                    return Err(error);
                }
                outcome => outcomes.push(outcome),
            }
        }
        Ok(outcomes)
    }

    fn settle(
        &mut self,
        batch: &[Request],
        at: Timestamp,
    ) -> Result<Vec<Option<Reply>>, StoreError> {
        Ok(self.state.lock().settle(batch, at))
    }

    fn read(&mut self, request: &Request, now: Timestamp) -> Outcome {
        match request.lane() {
            Lane::Read => Ok(self.state.lock().answer(request, now)?),
            Lane::Write => Err(Failure::Store(StoreError {
                kind: StoreErrorKind::Internal,
                detail: "a write was asked of a reader".to_owned(),
            })),
        }
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
