//! The channel layer: by which server it goes, and what must be the same in Django's `CHANNEL_LAYERS`.

use std::path::PathBuf;

use super::reader::Reader;
use super::redis_url::{self, RedisHost};
use super::secret::Secret;
use super::settings::Key;
use super::sources::ReadFile;
use super::{Database, tls};

/// Fan-out between threads, nodes and Django.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelSettings {
    /// By what it goes.
    pub kind: ChannelKind,
    /// Redis servers; at least one with either kind of Redis, none in memory.
    pub hosts: Vec<RedisHost>,
    /// PEM file of the authorities that may vouch for them; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Before every key and channel: 1 to 64 visible ASCII characters.
    pub prefix: String,
    /// What Django calls a conversation's group.
    pub conversation: ConversationGroup,
    /// How a message is written.
    pub format: ChannelFormat,
    /// The first encrypts, all decrypt; empty: nothing is encrypted.
    pub keys: Vec<Secret>,
    /// Messages in one process's queue; of the core layer, as the two that follow.
    pub capacity: u32,
    /// How long a message waits in a queue, s.
    pub expiry_s: u32,
    /// How long a member stays in a group that it does not join again, s.
    pub group_expiry_s: u32,
}

/// By what the channel layer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChannelKind {
    /// From thread to thread of this node.
    Memory,
    /// Also by `channels_redis.pubsub.RedisPubSubChannelLayer`.
    RedisPubSub,
    /// Also by `channels_redis.core.RedisChannelLayer`.
    RedisCore,
}

/// What Django calls a conversation's group. Both are listened to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConversationGroup {
    /// `chat_{id}`.
    Chat,
    /// `conversation_{id}`.
    Conversation,
}

/// `serializer_format` of `channels_redis`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChannelFormat {
    /// `msgpack`.
    Msgpack,
    /// `json`.
    Json,
}

/// Characters of `CHANNEL_PREFIX`.
pub(super) const PREFIX_CHARS_MAX: usize = 64;

impl ChannelKind {
    /// In the order of `CHANNEL_LAYER`'s words.
    const ALL: [Self; 3] = [Self::Memory, Self::RedisPubSub, Self::RedisCore];

    /// The word of `CHANNEL_LAYER`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::RedisPubSub => "redis-pubsub",
            Self::RedisCore => "redis-core",
        }
    }
}

impl ChannelSettings {
    /// The servers, for people: `cache-1:6379/0, cache-2:6379/0`; empty in memory.
    pub fn places(&self) -> String {
        let places: Vec<&str> = self.hosts.iter().map(|host| host.place.as_str()).collect();
        places.join(", ")
    }
}

/// Reads the group.
pub(super) fn read(
    reader: &mut Reader,
    database: &Database,
    read_file: ReadFile<'_>,
    warnings: &mut Vec<String>,
) -> ChannelSettings {
    let hosts = match reader.text(Key::RedisUrl).map(|list| redis_url::parse_list(&list)) {
        None => Vec::new(),
        Some(Ok(hosts)) => hosts,
        Some(Err(why)) => {
            reader.refuse(Key::RedisUrl, &why);
            Vec::new()
        }
    };
    let kind = if reader.is_set(Key::ChannelLayer) {
        ChannelKind::ALL[reader.choice(Key::ChannelLayer)]
    } else if reader.is_set(Key::RedisUrl) {
        ChannelKind::RedisPubSub
    } else {
        ChannelKind::Memory
    };
    reader.require(
        kind == ChannelKind::Memory || !hosts.is_empty(),
        &[Key::ChannelLayer, Key::RedisUrl],
        "needs REDIS_URL",
    );
    reader.require(
        kind != ChannelKind::RedisCore || hosts.iter().all(|host| !host.is_cluster),
        &[Key::ChannelLayer, Key::RedisUrl],
        "a Redis Cluster is spoken with by redis-pubsub alone",
    );
    if kind == ChannelKind::Memory && !hosts.is_empty() {
        warnings.push(
            "CHANNEL_LAYER: `memory` keeps this node by itself; REDIS_URL is not used".to_owned(),
        );
    }
    if kind != ChannelKind::Memory && !matches!(database, Database::Postgres(_)) {
        warnings.push(
            "DATABASE_URL: SQLite and memory serve one node; more than one need Postgres, whatever the channel layer"
                .to_owned(),
        );
    }
    let prefix = reader.text(Key::ChannelPrefix).unwrap_or_default();
    reader.require(
        !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_graphic()),
        &[Key::ChannelPrefix],
        "must be visible ASCII characters",
    );
    let keys = keys(reader);
    let ca_file = ca_file(reader, &hosts, read_file);
    let mut integer = |key| reader.integer(key, 1) as u32;
    let [capacity, expiry_s, group_expiry_s] =
        [Key::ChannelCapacity, Key::ChannelExpiryS, Key::ChannelGroupExpiryS].map(&mut integer);
    ChannelSettings {
        kind,
        hosts: if kind == ChannelKind::Memory { Vec::new() } else { hosts },
        ca_file,
        prefix,
        conversation: [ConversationGroup::Chat, ConversationGroup::Conversation]
            [reader.choice(Key::ConversationGroup)],
        format: [ChannelFormat::Msgpack, ChannelFormat::Json][reader.choice(Key::ChannelFormat)],
        keys,
        capacity,
        expiry_s,
        group_expiry_s,
    }
}

/// Of a file they may also stand one a line.
fn keys(reader: &mut Reader) -> Vec<Secret> {
    let Some(text) = reader.text(Key::ChannelEncryptionKeys) else { return Vec::new() };
    let keys: Vec<Secret> = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .map(Secret::new)
        .collect();
    reader.require(!keys.is_empty(), &[Key::ChannelEncryptionKeys], "holds no key");
    keys
}

fn ca_file(reader: &mut Reader, hosts: &[RedisHost], read_file: ReadFile<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(reader.text(Key::RedisCaFile)?);
    if let Err(why) = tls::check_authorities(&path, read_file) {
        reader.refuse(Key::RedisCaFile, &why);
    }
    reader.require(
        hosts.iter().any(|host| host.is_tls),
        &[Key::RedisCaFile, Key::RedisUrl],
        "names whom to trust, and no URL of REDIS_URL is encrypted; use rediss://",
    );
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigErrors, Effective};

    fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        Config::from_pairs(
            &[&[("DEBUG", "1"), ("SECRET_KEY", "0123456789abcdef0123456789abcdef")], pairs]
                .concat(),
        )
    }

    fn channel(pairs: &[(&str, &str)]) -> ChannelSettings {
        load(pairs).unwrap().channel
    }

    #[test]
    fn redis_is_used_exactly_when_it_is_named_unless_memory_is_asked_for() {
        use ChannelKind::{Memory, RedisCore, RedisPubSub};
        let url = ("REDIS_URL", "redis://cache");
        assert_eq!(channel(&[]).kind, Memory);
        assert_eq!(channel(&[url]).kind, RedisPubSub);
        assert_eq!(channel(&[url, ("CHANNEL_LAYER", "redis-pubsub")]).kind, RedisPubSub);
        assert_eq!(channel(&[url, ("CHANNEL_LAYER", "REDIS-CORE")]).kind, RedisCore);
        let memory = load(&[url, ("CHANNEL_LAYER", "memory")]).unwrap();
        assert_eq!((memory.channel.kind, memory.channel.hosts.len()), (Memory, 0));
        assert!(memory.warnings[0].starts_with("CHANNEL_LAYER: `memory`"), "{:?}", memory.warnings);
        for (pairs, told) in [
            (&[("CHANNEL_LAYER", "redis-core")][..], "CHANNEL_LAYER: needs REDIS_URL"),
            (
                &[("CHANNEL_LAYER", "redis")],
                "CHANNEL_LAYER: must be memory, redis-pubsub or redis-core",
            ),
            (
                &[("CHANNEL_LAYER", "redis-core"), ("REDIS_URL", "redis+cluster://a")],
                "CHANNEL_LAYER: a Redis Cluster is spoken with by redis-pubsub alone",
            ),
            // The URL is what is wrong, and not that there is none.
            (
                &[("CHANNEL_LAYER", "redis-core"), ("REDIS_URL", "cache")],
                "REDIS_URL: must be as redis://",
            ),
        ] {
            let errors = load(pairs).unwrap_err();
            let [error] = &errors.0[..] else { panic!("{errors}") };
            assert!(error.to_string().starts_with(told), "{error}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_django_side() {
        let settings = channel(&[("REDIS_URL", "redis://cache")]);
        let numbers = (settings.capacity, settings.expiry_s, settings.group_expiry_s);
        assert_eq!(numbers, (1_500, 60, 86_400));
        assert_eq!(settings.prefix, "asgi");
        assert_eq!(settings.format, ChannelFormat::Msgpack);
        assert_eq!(settings.conversation, ConversationGroup::Chat);
        assert!(settings.keys.is_empty() && settings.ca_file.is_none());
    }

    #[test]
    fn keys_are_read_one_by_one_and_never_shown() {
        let pairs = [
            ("REDIS_URL", "redis://:hunter2@a,redis://:hunter2@b"),
            ("CHANNEL_ENCRYPTION_KEYS", " new-key,old-key ,"),
        ];
        let config = load(&pairs).unwrap();
        assert_eq!(config.channel.keys, [Secret::new("new-key"), Secret::new("old-key")]);
        let shown = format!("{config:?}");
        for secret in ["new-key", "old-key", "hunter2"] {
            assert!(!shown.contains(secret), "{secret}");
        }
        let url = |e: &&Effective| e.key == Key::RedisUrl;
        let url = config.effective.iter().find(url).unwrap();
        assert_eq!(url.value, "redis://[redacted]@a,redis://[redacted]@b");
        let errors = load(&[("CHANNEL_ENCRYPTION_KEYS", " , ")]).unwrap_err();
        assert!(errors.to_string().starts_with("CHANNEL_ENCRYPTION_KEYS: holds no key"));
    }

    #[test]
    fn what_would_not_work_is_refused() {
        for (pairs, told) in [
            (&[("CHANNEL_PREFIX", "my app")][..], "CHANNEL_PREFIX: must be visible"),
            (
                &[("REDIS_CA_FILE", "/ca.pem"), ("REDIS_URL", "rediss://a")],
                "REDIS_CA_FILE: names /ca.pem, which cannot",
            ),
            (&[("CONVERSATION_GROUP", "room")], "CONVERSATION_GROUP: must be chat or conversation"),
            (&[("CHANNEL_FORMAT", "xml")], "CHANNEL_FORMAT: must be msgpack or json"),
        ] {
            let errors = load(pairs).unwrap_err().to_string();
            assert!(errors.starts_with(told) && errors.lines().count() == 1, "{errors}");
        }
    }

    #[test]
    fn a_database_for_one_node_is_warned_of() {
        let url = ("REDIS_URL", "redis://cache");
        let warns = |pairs: &[(&str, &str)]| {
            let warnings = load(pairs).unwrap().warnings;
            warnings.iter().any(|line| line.starts_with("DATABASE_URL: SQLite"))
        };
        assert!(warns(&[url]));
        assert!(!warns(&[]));
        assert!(!warns(&[url, ("DATABASE_URL", "postgres://me@db/app")]));
    }
}
