//! The channel layer of many nodes: fan-out within this node, and over Redis to other nodes and to Django, as `channels_redis`
//! speaks.
//!
//! ```text
//!                 publish                        outbox                    bus-out
//! worker, shard ----------> sessions of this node ------> what waits ------------------> Redis
//!                                  ^                                                       |
//!                                  | in the order of seq       hub.receive      bus-in     |
//!                                  +---------------------------------------------------<---+
//!                                  ^
//!                      bus-tend ---+ what was missed, from the store
//! ```
//!
//! What is published reaches the sessions of this node first, whether Redis is there or not. What a node missed, or may have
//! missed, it brings up from the store (`tend`); what arrives out of its turn waits a moment for what belongs before it
//! (`sequence`). The two engines differ in how they speak with Redis alone: `pubsub` as
//! `channels_redis.pubsub.RedisPubSubChannelLayer` does, `core` as `channels_redis.core.RedisChannelLayer` does.

pub mod admin;
mod condition;
pub mod core;
mod doubt;
pub mod hub;
pub mod interest;
pub mod link;
pub mod outbox;
pub mod pubsub;
pub mod sequence;
mod tend;
mod waits;
#[cfg(test)]
mod world;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::bus::{ConversationName, Format, Layer};
use super::{ChannelLayer, Delivery, Ledger, Sink};
use crate::ids::{NodeId, ShardId};
use crate::metrics::Registry;
use crate::model::Group;
use crate::time::Now;

pub use hub::{Hub, Side};

/// Both clocks, whoever asks.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;
/// Random bits.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;
/// Opens the connection to the store, on the thread that will use it.
pub type OpenLedger = Box<dyn FnOnce() -> Box<dyn Ledger> + Send>;

/// How the bus is reached and spoken, as Django's `CHANNEL_LAYERS` has it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// In the order of Django's settings; at least one. Nodes of a Redis Cluster (`redis+cluster://`) are all of the same.
    pub hosts: Vec<HostUrl>,
    /// `asgi` unless told otherwise.
    pub prefix: String,
    /// What Django calls a conversation's group.
    pub conversation: ConversationName,
    /// `serializer_format`.
    pub format: Format,
    /// `symmetric_encryption_keys`; none for no encryption.
    pub keys: Vec<Key>,
    /// Which of the two layers.
    pub kind: Kind,
    /// Certificates that vouch for `rediss://` hosts, PEM; the system's where there is none.
    pub ca_file: Option<PathBuf>,
}

/// Where one Redis is: `redis://`, `rediss://` or `unix://`, with user and password where it wants them.
#[derive(Clone, PartialEq, Eq)]
pub struct HostUrl(pub String);

/// A key that messages are encrypted with; at least one byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub String);

/// Which of channels_redis' layers is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `channels_redis.pubsub.RedisPubSubChannelLayer`.
    PubSub,
    /// `channels_redis.core.RedisChannelLayer`.
    Core {
        /// Messages that a queue holds: `capacity`.
        capacity: u32,
        /// How long a message waits, seconds: `expiry`.
        expiry_s: u32,
        /// How long a member stays in a group without being added again, seconds: `group_expiry`.
        group_expiry_s: u32,
    },
}

/// What the layer is connected to.
pub struct Surroundings {
    /// This life of this node.
    pub me: NodeId,
    /// Where shard `n` takes its deliveries.
    pub shards: Vec<Box<dyn Sink>>,
    /// Both clocks.
    pub clock: Clock,
    /// Random bits.
    pub random: Random,
    /// Where what happens is counted.
    pub metrics: Arc<Registry>,
    /// The store, for what was missed.
    pub ledger: OpenLedger,
}

/// A thread that the layer needs.
pub struct Task {
    /// The thread's name.
    pub name: String,
    /// Its life: until [`RedisLayer::close`].
    pub run: Box<dyn FnOnce() + Send>,
}

/// Why the bus cannot be used with these settings, for people; names no password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);

/// See the module.
pub struct RedisLayer {
    hub: Arc<Hub>,
}

impl RedisLayer {
    /// The layer, and the threads that must run for it. Nothing is connected yet.
    ///
    /// # Errors
    /// A host's address or a file of certificates is none.
    pub fn new(
        settings: &Settings,
        around: Surroundings,
    ) -> Result<(Arc<Self>, Vec<Task>), Unusable> {
        let (hub, own) = Hub::new(settings, around);
        let mut tasks = match settings.kind {
            Kind::PubSub => pubsub::tasks(&hub, settings)?,
            Kind::Core { capacity, expiry_s, group_expiry_s } => {
                core::tasks(&hub, settings, core::Terms { capacity, expiry_s, group_expiry_s })?
            }
        };
        tasks.extend(own);
        Ok((Arc::new(Self { hub }), tasks))
    }

    /// Ends the threads, after they have sent what waits, for [`BUS_CLOSE_MS`](crate::limits::BUS_CLOSE_MS) at most, and have
    /// left the groups. Returns at once.
    pub fn close(&self) {
        self.hub.close();
    }
}

impl ChannelLayer for RedisLayer {
    fn publish(&self, delivery: Delivery, patient: bool) {
        self.hub.publish(delivery, patient);
    }

    fn join(&self, group: Group, shard: ShardId) {
        self.hub.join(group, shard);
    }

    fn leave(&self, group: Group, shard: ShardId) {
        self.hub.leave(group, shard);
    }

    fn trouble(&self) -> Option<String> {
        self.hub.trouble()
    }
}

impl Settings {
    /// True exactly when the hosts are nodes of one Redis Cluster: `redis+cluster://` or `rediss+cluster://`.
    pub fn is_cluster(&self) -> bool {
        self.hosts.first().is_some_and(HostUrl::is_of_cluster)
    }

    /// What is connected to, for people: each host, or the cluster as one.
    pub(super) fn shown(&self) -> Vec<String> {
        let all: Vec<String> = self.hosts.iter().map(HostUrl::redacted).collect();
        if self.is_cluster() { vec![all.join(",")] } else { all }
    }

    /// The layer whose messages are sealed and opened.
    pub(super) const fn layer(&self) -> Layer {
        match self.kind {
            Kind::PubSub => Layer::PubSub,
            Kind::Core { expiry_s, .. } => Layer::Core { expiry_s },
        }
    }
}

impl HostUrl {
    /// True exactly when it is a node of a Redis Cluster.
    pub fn is_of_cluster(&self) -> bool {
        self.0.starts_with("redis+cluster://") || self.0.starts_with("rediss+cluster://")
    }

    /// The address without user and password, for people.
    pub fn redacted(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return "?".to_owned() };
        let place = rest.split(['?', '#']).next().unwrap_or_default();
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        format!("{scheme}://{place}")
    }
}

impl fmt::Debug for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_it_proves() {
        for (url, shown) in [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("rediss://app:p%40ss@redis.example:6380/1?x=secret", "rediss://redis.example:6380/1"),
            ("redis://:pa@ss@h:1", "redis://h:1"),
            ("unix:///run/redis.sock?pass=secret", "unix:///run/redis.sock"),
            ("secret", "?"),
        ] {
            assert_eq!(format!("{:?}", HostUrl(url.to_owned())), shown);
        }
        assert_eq!(format!("{:?}", Key("secret".to_owned())), "Key(…)");
    }
}
