//! Which channel layer, and the threads that run for it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::ledger::StoreLedger;
use super::stores::Opener;
use super::threads;
use crate::channel::bus::{ConversationName, Format};
use crate::channel::memory::MemoryLayer;
use crate::channel::redis::{
    HostUrl, Key, Kind, OpenLedger, RedisLayer, Settings, Surroundings, Unusable,
};
use crate::channel::{ChannelLayer, Sink};
use crate::config::{
    ChannelFormat, ChannelKind, ChannelSettings, Config, ConfigError, ConfigErrors,
    ConversationGroup, Key as Setting, Origin,
};
use crate::ids::NodeId;
use crate::limits::{BUS_ANSWER_MS, BUS_CLOSE_MS};
use crate::metrics::Registry;
use crate::shard::inbox::Inbox;
use crate::shard::mio_io::Clock;
use crate::store::Lane;
use crate::wire::Encoder;
use crate::worker::commits::Commits;

/// What a channel layer is connected to.
pub(super) struct Links<'a> {
    pub(super) me: NodeId,
    pub(super) inboxes: &'a [Inbox],
    pub(super) encoder: &'a Encoder,
    pub(super) clock: Clock,
    pub(super) opener: &'a Opener,
    pub(super) commits: &'a Commits,
    pub(super) metrics: &'a Arc<Registry>,
}

/// The channel layer of a running server.
pub(super) struct Channel {
    pub(super) layer: Arc<dyn ChannelLayer>,
    bus: Option<Bus>,
}

/// The threads of a layer that speaks with others. Dropped, they are told to end.
struct Bus {
    layer: Arc<RedisLayer>,
    /// Says that all have ended by being disconnected.
    ended: Receiver<()>,
}

/// Makes the configured layer and starts its threads. Whether its servers answer is not waited for.
///
/// # Errors
///
/// [`ConfigErrors`], a [`StoreError`](crate::store::StoreError), or a thread could not be started.
pub(super) fn start(config: &Config, links: &Links<'_>) -> anyhow::Result<Channel> {
    let Some(settings) = settings(&config.channel) else {
        let layer = Arc::new(MemoryLayer::new(links.inboxes.to_vec()));
        return Ok(Channel { layer, bus: None });
    };
    let clock = links.clock;
    let store = links.opener.open(Lane::Read)?;
    let ledger = StoreLedger::new(store, links.encoder.clone(), clock, links.commits.clone());
    let ledger: OpenLedger = Box::new(move || Box::new(ledger));
    let sink = |inbox: &Inbox| Box::new(inbox.clone()) as Box<dyn Sink>;
    let around = Surroundings {
        me: links.me,
        shards: links.inboxes.iter().map(sink).collect(),
        clock: Arc::new(move || clock.now()),
        random: Arc::new(random),
        metrics: Arc::clone(links.metrics),
        ledger,
    };
    let (layer, tasks) = RedisLayer::new(&settings, around).map_err(as_setting)?;
    let (alive, ended) = bounded::<()>(0);
    let bus = Bus { layer: Arc::clone(&layer), ended };
    for task in tasks {
        let alive = alive.clone();
        threads::spawn(task.name, move || {
            (task.run)();
            drop(alive);
        })?;
    }
    Ok(Channel { layer, bus: Some(bus) })
}

/// Random bits, for a process that was given some before.
pub(super) fn random() -> u64 {
    getrandom::u64().expect("the system had random bytes at the start")
}

impl Channel {
    /// Sends what waits, and ends the threads. To be called when nobody publishes any more.
    pub(super) fn end(self) {
        let Some(bus) = self.bus else { return };
        bus.layer.close();
        // What waits is sent; then groups are left, and each side has one more answer to wait for.
        let within = Duration::from_millis(BUS_CLOSE_MS + 2 * BUS_ANSWER_MS);
        if bus.ended.recv_timeout(within) != Err(RecvTimeoutError::Disconnected) {
            tracing::warn!("the channel layer has not ended in time");
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.layer.close();
    }
}

/// What the layer over Redis is told; `None` in memory.
pub(super) fn settings(config: &ChannelSettings) -> Option<Settings> {
    let kind = match config.kind {
        ChannelKind::Memory => return None,
        ChannelKind::RedisPubSub => Kind::PubSub,
        ChannelKind::RedisCore => Kind::Core {
            capacity: config.capacity,
            expiry_s: config.expiry_s,
            group_expiry_s: config.group_expiry_s,
        },
    };
    let text = |secret: &crate::config::Secret| {
        String::from_utf8(secret.expose().to_vec()).expect("a secret is made of text")
    };
    Some(Settings {
        hosts: config.hosts.iter().map(|host| HostUrl(text(&host.url))).collect(),
        prefix: config.prefix.clone(),
        conversation: match config.conversation {
            ConversationGroup::Chat => ConversationName::Chat,
            ConversationGroup::Conversation => ConversationName::Conversation,
        },
        format: match config.format {
            ChannelFormat::Msgpack => Format::Msgpack,
            ChannelFormat::Json => Format::Json,
        },
        keys: config.keys.iter().map(|key| Key(text(key))).collect(),
        kind,
        ca_file: config.ca_file.clone(),
    })
}

/// What the layer cannot be made of is a matter of its settings.
pub(super) fn as_setting(Unusable(why): Unusable) -> ConfigErrors {
    let key = Setting::RedisUrl.setting().name.to_owned();
    ConfigErrors(vec![ConfigError { key, value: String::new(), why, origin: Origin::Default }])
}
