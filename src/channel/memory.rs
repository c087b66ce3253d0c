//! The channel layer of one node: from thread to shard, and nowhere else.

use std::sync::Arc;

use super::registry::Registry;
use super::{ChannelLayer, Delivery, Sink};
use crate::ids::ShardId;
use crate::model::Group;

/// Fan-out between the shards of this process.
pub struct MemoryLayer<S> {
    registry: Registry,
    shards: Vec<S>,
}

impl<S: Sink> MemoryLayer<S> {
    /// A layer whose shard `n` takes its deliveries at `shards[n]`.
    pub fn new(shards: Vec<S>) -> Self {
        Self { registry: Registry::default(), shards }
    }

    /// Groups with a session on some shard.
    pub fn groups(&self) -> usize {
        self.registry.len()
    }
}

impl<S: Sink> ChannelLayer for MemoryLayer<S> {
    fn publish(&self, delivery: Delivery, patient: bool) {
        let delivery = Arc::new(delivery);
        if delivery.group == Group::General {
            for shard in &self.shards {
                shard.accept(Arc::clone(&delivery), patient);
            }
            return;
        }
        for shard in self.registry.shards(delivery.group) {
            self.shards[usize::from(shard.0)].accept(Arc::clone(&delivery), patient);
        }
    }

    fn join(&self, group: Group, shard: ShardId) {
        self.registry.join(group, shard);
    }

    fn leave(&self, group: Group, shard: ShardId) {
        self.registry.leave(group, shard);
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}
