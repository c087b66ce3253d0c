//! The port to the channel layer: fan-out from whoever decided an order to every shard, node and Django consumer whose
//! sessions are in the group.
//!
//! Implementations live in `channel/`; they are named in `server.rs` only.

pub mod bus;
pub mod memory;
pub mod redis;
pub mod registry;

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{
    ConnRef, Control, ConversationId, Group, MessageId, Seq, ShardId, Standing, Topic, UserId,
};
use crate::time::Timestamp;

/// A group and what its sessions get: one encoded frame that all of them share, or an order.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Whom for.
    pub group: Group,
    /// What.
    pub payload: Payload,
    /// When the message in it was committed, so that its way can be timed.
    pub committed_at: Option<Timestamp>,
}

/// What a [`Delivery`] carries.
#[derive(Clone, Debug)]
pub enum Payload {
    /// A whole server frame.
    Frame {
        /// The frame, header included.
        frame: Bytes,
        /// What it is about: sessions that muted it do not get it.
        topic: Topic,
        /// The stored message in it: its place, so that a session that resumes gets it once and in order.
        place: Option<(ConversationId, Seq)>,
        /// The session that gets it by another way.
        except: Option<ConnRef>,
        /// True for typing and presence: shed first when a peer is slow.
        sheddable: bool,
    },
    /// An order to the sessions.
    Control(Control),
}

/// Carries deliveries. Shared by all threads; never blocks on a network.
pub trait ChannelLayer: Send + Sync {
    /// Hands `delivery` to every shard that has sessions in its group, in the order of the calls of one thread. Shards that sleep
    /// hear of it when the caller rings their inboxes, which it does before it sleeps.
    ///
    /// `patient` says that the caller may wait for a full inbox (a worker may, a shard may not): an impatient delivery to a
    /// full inbox is dropped and counted.
    fn publish(&self, delivery: Delivery, patient: bool);

    /// `shard` has its first session in `group`.
    fn join(&self, group: Group, shard: ShardId);

    /// `shard` has lost its last session in `group`.
    fn leave(&self, group: Group, shard: ShardId);

    /// What is wrong with the layer, for `readyz`; `None` when nothing is.
    fn trouble(&self) -> Option<String>;
}

/// Where a shard takes deliveries: its inbox.
pub trait Sink: Send + Sync {
    /// Queues `delivery`; see [`ChannelLayer::publish`] for `patient`. A shard that sleeps may not hear of it before a ring.
    fn accept(&self, delivery: Arc<Delivery>, patient: bool);

    /// Wakes the shard for what was queued.
    fn ring(&self);
}

/// What a bus asks of the store, to find what it missed. Called on the bus' own thread, and may block.
pub trait Ledger: Send {
    /// How each of `conversations`, at most [`BUS_CHECK_MAX`](crate::limits::BUS_CHECK_MAX), stands; those that do not exist are
    /// left out.
    ///
    /// # Errors
    /// The store does not answer; nothing is known.
    fn standings(&mut self, conversations: &[ConversationId])
    -> Result<Vec<Standing>, Unavailable>;

    /// Hands `f` the deliveries, as the worker that committed them published them to conversations and users, of every message
    /// made at `since` or later in conversations of `users`, at most [`BUS_CHECK_MAX`](crate::limits::BUS_CHECK_MAX) of them; by
    /// conversation and then `seq`.
    ///
    /// # Errors
    /// The store does not answer; `f` may have been handed a part.
    fn since(
        &mut self,
        users: &[UserId],
        since: Timestamp,
        f: &mut dyn FnMut(Delivery),
    ) -> Result<(), Unavailable>;

    /// The places of stored messages; those that do not exist are left out.
    ///
    /// # Errors
    /// The store does not answer; nothing is known.
    fn places(
        &mut self,
        messages: &[MessageId],
    ) -> Result<Vec<(MessageId, ConversationId, Seq)>, Unavailable>;
}

/// Why a [`Ledger`] does not answer, for people.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

impl Delivery {
    /// Of what no commit is behind.
    pub const fn new(group: Group, payload: Payload) -> Self {
        Self { group, payload, committed_at: None }
    }
}

impl Payload {
    /// True exactly when it may be dropped without anybody resuming: typing and presence.
    pub const fn is_sheddable(&self) -> bool {
        matches!(self, Self::Frame { sheddable: true, .. })
    }
}
