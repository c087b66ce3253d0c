//! Which host has which channel, and how it is spoken of there.

use std::sync::Arc;

use super::cluster::Slots;
use crate::channel::bus::{Address, Names, Ring};
use crate::model::Group;

/// The rule by which a channel has its host.
#[derive(Clone, Debug)]
pub(in crate::channel::redis) enum Route {
    /// Hosts that know nothing of each other: the channel's checksum decides, as with `channels_redis`.
    Ring(Ring),
    /// The masters of a Redis Cluster: the channel's slot decides.
    Slots(Arc<Slots>),
}

/// The commands of one kind of pub/sub, and the words by which its messages are known.
#[derive(Debug)]
pub(in crate::channel::redis) struct Words {
    pub(in crate::channel::redis) publish: &'static str,
    pub(in crate::channel::redis) subscribe: &'static str,
    pub(in crate::channel::redis) unsubscribe: &'static str,
    /// Which channels there are, of `PUBSUB`.
    pub(in crate::channel::redis) list: &'static str,
    /// How many listen to each, of `PUBSUB`.
    pub(in crate::channel::redis) count: &'static str,
    /// Before a confirmation.
    pub(in crate::channel::redis) subscribed: &'static [u8],
    pub(in crate::channel::redis) unsubscribed: &'static [u8],
    pub(in crate::channel::redis) message: &'static [u8],
    /// Channels that one command may name, of any slots.
    pub(in crate::channel::redis) channels_max: usize,
}

/// The channels of one host.
#[derive(Clone, Copy, Debug)]
pub(in crate::channel::redis) struct Place<'a> {
    /// What is called how.
    pub(in crate::channel::redis) names: &'a Names,
    /// Which host has what.
    pub(in crate::channel::redis) route: &'a Route,
    /// This one.
    pub(in crate::channel::redis) host: usize,
}

/// Pub/sub as it always was: what a host hears, all of its listeners hear.
pub(in crate::channel::redis) const PLAIN: Words = Words {
    publish: "PUBLISH",
    subscribe: "SUBSCRIBE",
    unsubscribe: "UNSUBSCRIBE",
    list: "CHANNELS",
    count: "NUMSUB",
    subscribed: b"subscribe",
    unsubscribed: b"unsubscribe",
    message: b"message",
    channels_max: crate::limits::BUS_SUBSCRIBE_MAX,
};

/// Sharded pub/sub of Redis 7: a message stays with the masters and replicas of its slot.
pub(in crate::channel::redis) const SHARDED: Words = Words {
    publish: "SPUBLISH",
    subscribe: "SSUBSCRIBE",
    unsubscribe: "SUNSUBSCRIBE",
    list: "SHARDCHANNELS",
    count: "SHARDNUMSUB",
    subscribed: b"ssubscribe",
    unsubscribed: b"sunsubscribe",
    message: b"smessage",
    channels_max: 1,
};

impl Route {
    /// The host of `channel`; `None` where no host has its slot.
    pub(in crate::channel::redis) fn host(&self, channel: &str) -> Option<usize> {
        match self {
            Self::Ring(ring) => Some(ring.host(channel)),
            Self::Slots(slots) => slots.master(Slots::of(channel)),
        }
    }
}

impl<'a> Place<'a> {
    /// The channels of `group` that are on this host.
    pub(in crate::channel::redis) fn channels(
        self,
        group: Group,
    ) -> impl Iterator<Item = String> + use<'a> {
        let channels = self.names.heard(group).map(|name| self.names.pubsub(&name));
        channels.filter(move |channel| self.has(channel))
    }

    /// The channel to `address`, where it is on this host.
    pub(in crate::channel::redis) fn channel(self, address: Address) -> Option<String> {
        let channel = self.names.pubsub(&self.names.sent(address));
        self.has(&channel).then_some(channel)
    }

    /// A channel on this host of which nobody else needs to know: `name`, or `name` and a number where it must be of certain
    /// slots. `None` where the host has no slot.
    pub(in crate::channel::redis) fn own_channel(self, name: &str) -> Option<String> {
        let channel = self.names.pubsub(name);
        match self.route {
            Route::Ring(_) => Some(channel),
            // A master with one slot alone is missed once in a hundred million times: its listener looks by itself then.
            Route::Slots(_) => (0..300_000)
                .map(|number| format!("{channel}.{number}"))
                .find(|channel| self.has(channel)),
        }
    }

    fn has(self, channel: &str) -> bool {
        self.route.host(channel) == Some(self.host)
    }
}
