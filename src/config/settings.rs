//! Every setting of the server, declared once: its names, kind, unit, bounds, default and meaning. The loader, the flags,
//! `check-config` and the tables of the documents all come from here.

use std::fmt::{self, Write as _};

use super::channel::PREFIX_CHARS_MAX;
use super::postgres_url::CONNECT_TIMEOUT_S;
use crate::limits;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Which.
    pub key: Key,
    /// Its name in the environment, `OUTBOUND_BYTES`; in the file it is the same in lower case.
    pub name: &'static str,
    /// The part of the server it belongs to: the heading in `--help` and in the documents.
    pub group: &'static str,
    /// What is accepted.
    pub kind: Kind,
    /// The unit of a number; empty where it has none.
    pub unit: &'static str,
    /// What holds where nothing is set.
    pub default: Fallback,
    /// What it does, in one sentence.
    pub doc: &'static str,
}

/// What a setting accepts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// A whole number, both ends included.
    Integer {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A number with a fraction, both ends included.
    Real {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// `true` or `false`, in Django's spellings.
    Boolean,
    /// An IP address.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text of at most so many characters.
    Text {
        /// Characters.
        chars_max: usize,
    },
    /// Entries with commas between them.
    List,
    /// A URL that may hold a password; shown without it.
    Url,
    /// Several of them, with commas between them.
    Urls,
    /// Never shown.
    Secret {
        /// Bytes, with `DEBUG` off.
        bytes_min: usize,
    },
    /// Never shown; several, with commas between them.
    Secrets,
}

/// What holds where a setting is not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fallback {
    /// This text, read as if it had been set.
    Is(&'static str),
    /// What the loader finds out, described for people.
    Derived(&'static str),
    /// Nothing.
    Unset,
}

macro_rules! settings {
    ($($group:literal { $($key:ident $name:literal $kind:expr, $unit:literal, $default:expr, $doc:literal;)+ })+) => {
        /// Names a [`Setting`]; its number is the setting's place in [`SETTINGS`].
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(usize)]
        pub enum Key {
            $($(#[doc = $doc] $key,)+)+
        }

        /// Every setting, in the order in which they are explained.
        pub const SETTINGS: &[Setting] = &[$($(Setting {
            key: Key::$key,
            name: $name,
            group: $group,
            kind: $kind,
            unit: $unit,
            default: $default,
            doc: $doc,
        },)+)+];
    };
}

use Fallback::{Derived, Is, Unset};
use Kind::{Address, Boolean, Choice, Integer, List, Real, Secret, Secrets, Text, Url, Urls};

settings! {
    "Network" {
        Host "HOST" Address, "", Is("0.0.0.0"), "Address to listen on.";
        Port "PORT" Integer { min: 0, max: 65_535 }, "", Is("8000"), "TCP port to listen on; 0 takes any free one.";
        Shards "SHARDS" Integer { min: 1, max: limits::SHARDS_MAX as u64 }, "threads", Derived("one a core, at most 64"),
            "Event-loop threads.";
        AllowedHosts "ALLOWED_HOSTS" List, "", Is("localhost,127.0.0.1,[::1]"),
            "Hosts that `Host` and `Origin` may name; `.example.com` includes subdomains, `*` is any. With DEBUG: `.localhost,127.0.0.1,[::1]`.";
        CorsAllowedOrigins "CORS_ALLOWED_ORIGINS" List, "", Is(""),
            "Web origins that may call from a browser, as `https://app.example.com`.";
        TrustedProxies "TRUSTED_PROXIES" List, "", Is(""),
            "Networks of proxies whose `X-Forwarded-For` is believed, as `10.0.0.0/8`.";
        MediaUrl "MEDIA_URL" Text { chars_max: 2_000 }, "", Is("/media/"),
            "Prefix of pictures' and attachments' storage keys; ends with `/`.";
        DrainS "DRAIN_S" Integer { min: 0, max: 3_600 }, "s", Is("30"),
            "Time over which clients are moved away when the server is told to stop.";
        Debug "DEBUG" Boolean, "", Is("false"),
            "Development: serves the demo page, makes up a SECRET_KEY. Never in production.";
        Echo "ECHO" Boolean, "", Is("false"),
            "Opens the `/_echo` socket for benchmarks and conformance tests, and allows `memory:` as DATABASE_URL. Never in production.";
    }
    "Identity" {
        SecretKey "SECRET_KEY" Secret { bytes_min: 32 }, "", Unset,
            "Signs the tokens: the SECRET_KEY of Django. Required with DEBUG off.";
        SecretKeyPrevious "SECRET_KEY_PREVIOUS" Secret { bytes_min: 32 }, "", Unset,
            "The key before the last change; its tokens are accepted until they expire.";
        JwtAudience "JWT_AUDIENCE" Text { chars_max: 500 }, "", Unset,
            "The `aud` that a token must carry; unset: not looked at.";
        JwtIssuer "JWT_ISSUER" Text { chars_max: 500 }, "", Unset,
            "The `iss` that a token must carry; unset: not looked at.";
    }
    "Store" {
        DatabaseUrl "DATABASE_URL" Url, "", Is("sqlite:///fortifun.db"),
            "The database: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgres://user:password@host:5432/name`.";
        DatabaseCaFile "DATABASE_CA_FILE" Text { chars_max: 4_096 }, "", Unset,
            "PEM file of the authorities that may vouch for Postgres; unset: `sslrootcert` of the URL, or those of the system.";
        DatabaseConnectTimeoutS "DATABASE_CONNECT_TIMEOUT_S" Integer { min: *CONNECT_TIMEOUT_S.start(), max: *CONNECT_TIMEOUT_S.end() },
            "s", Is("5"), "How long a connection to a host of Postgres may take to open; unset: `connect_timeout` of the URL holds.";
        DatabaseStatementTimeoutS "DATABASE_STATEMENT_TIMEOUT_S" Integer { min: 1, max: 300 }, "s", Is("10"),
            "How long one statement may take in Postgres.";
        WriteWorkers "WRITE_WORKERS" Integer { min: 1, max: 64 }, "threads", Derived("2 with Postgres, else 1"),
            "Threads that commit, each with a connection; SQLite has one writer.";
        ReadWorkers "READ_WORKERS" Integer { min: 1, max: 64 }, "threads", Is("2"),
            "Threads that answer reads, each with a connection.";
        BatchMax "BATCH_MAX" Integer { min: 1, max: limits::WRITE_QUEUE_MAX as u64 }, "requests", Is("256"),
            "Requests committed in one transaction.";
        BatchAgeMs "BATCH_AGE_MS" Integer { min: 0, max: 1_000 }, "ms", Is("0"),
            "How long a batch waits for company; 0 commits what is there.";
        LeaseS "LEASE_S" Integer { min: 5, max: 300 }, "s", Is("30"),
            "How long a node that says nothing counts as alive; then others take its users offline, 10 s later at most.";
    }
    "Channel layer" {
        RedisUrl "REDIS_URL" Urls, "", Unset,
            "The Redis of Django's channel layer: `redis://user:password@host:6379/0`, `rediss://` with TLS; several with commas between them, in the order of Django's `hosts`. `redis+cluster://host:port` is a Redis Cluster, where Django cannot be.";
        RedisCaFile "REDIS_CA_FILE" Text { chars_max: 4_096 }, "", Unset,
            "PEM file of the authorities that may vouch for a `rediss://` server; unset: those of the system.";
        ChannelLayer "CHANNEL_LAYER" Choice(&["memory", "redis-pubsub", "redis-core"]), "",
            Derived("redis-pubsub with REDIS_URL, else memory"),
            "By what events go between nodes and Django: `redis-pubsub` is `RedisPubSubChannelLayer`, `redis-core` is `RedisChannelLayer`; `memory` is one node by itself.";
        ChannelPrefix "CHANNEL_PREFIX" Text { chars_max: PREFIX_CHARS_MAX }, "", Is("asgi"),
            "Before every key and channel in Redis; `prefix` in Django's settings.";
        ConversationGroup "CONVERSATION_GROUP" Choice(&["chat", "conversation"]), "", Is("chat"),
            "How Django names a conversation's group: `chat_{id}` or `conversation_{id}`. Both are listened to.";
        ChannelFormat "CHANNEL_FORMAT" Choice(&["msgpack", "json"]), "", Is("msgpack"),
            "How messages are written; `serializer_format` in Django's settings.";
        ChannelEncryptionKeys "CHANNEL_ENCRYPTION_KEYS" Secrets, "", Unset,
            "`symmetric_encryption_keys` in Django's settings, with commas between them: the first encrypts, all decrypt.";
        ChannelCapacity "CHANNEL_CAPACITY" Integer { min: 1, max: 1_000_000 }, "messages", Is("1500"),
            "With redis-core: what waits for one process before senders drop; `capacity` in Django's settings.";
        ChannelExpiryS "CHANNEL_EXPIRY_S" Integer { min: 1, max: 86_400 }, "s", Is("60"),
            "With redis-core: how long a message waits for a process; `expiry` in Django's settings.";
        ChannelGroupExpiryS "CHANNEL_GROUP_EXPIRY_S" Integer { min: 3, max: 31_536_000 }, "s", Is("86400"),
            "With redis-core: how long a process that died stays in its groups; `group_expiry` in Django's settings.";
    }
    "Chat" {
        WelcomeMessage "WELCOME_MESSAGE" Text { chars_max: limits::CONTENT_CHARS_MAX }, "",
            Is("Vous avez matché! Commencez la conversation."), "The first message of a match.";
        MessagesPerSecond "MESSAGES_PER_SECOND" Real { min: 0.1, max: 100_000.0 }, "1/s", Is("5"),
            "Messages of one user, steadily.";
        MessagesBurst "MESSAGES_BURST" Integer { min: 1, max: 1_000_000 }, "messages", Is("10"),
            "Messages of one user at once.";
        TypingPerSecond "TYPING_PER_SECOND" Real { min: 0.1, max: 100_000.0 }, "1/s", Is("1"),
            "`typing` commands of one user; twice as many at once.";
        ReadReceiptsPerSecond "READ_RECEIPTS_PER_SECOND" Real { min: 0.1, max: 100_000.0 }, "1/s", Is("3"),
            "`read_receipt` commands of one user; twice as many at once.";
        CommandsPerSecond "COMMANDS_PER_SECOND" Real { min: 1.0, max: 1_000_000.0 }, "1/s", Is("20"),
            "Commands of one connection, of every kind; twice as many at once.";
    }
    "Connections" {
        ConnectionsMax "CONNECTIONS_MAX" Integer { min: 1, max: 10_000_000 }, "connections",
            Derived("the descriptor limit less 256"), "Open connections of this node.";
        ConnectionsPerUser "CONNECTIONS_PER_USER" Integer { min: 1, max: 10_000 }, "connections", Is("20"),
            "Sessions of one user; one more replaces the oldest.";
        ConnectionsPerIp "CONNECTIONS_PER_IP" Integer { min: 0, max: 10_000_000 }, "connections", Is("1000"),
            "Open connections of one address; 0: no limit. Proxies that are trusted are not counted.";
        ConnectsPerSecondPerIp "CONNECTS_PER_SECOND_PER_IP" Integer { min: 0, max: 1_000_000 }, "1/s", Is("200"),
            "New connections of one address, twice as many at once; 0: no limit.";
        HandshakeTimeoutS "HANDSHAKE_TIMEOUT_S" Integer { min: 1, max: 300 }, "s", Is("10"),
            "From a request's first byte to its last.";
        IdleHttpS "IDLE_HTTP_S" Integer { min: 1, max: 3_600 }, "s", Is("75"),
            "How long an HTTP connection is kept between requests.";
        HeartbeatS "HEARTBEAT_S" Integer { min: 1, max: 300 }, "s", Is("25"),
            "Between pings; a session silent for two of them is closed.";
        MessageBytes "MESSAGE_BYTES" Integer { min: 1_024, max: 1_048_576 }, "bytes", Is("65536"),
            "The longest text that a client may send.";
        OutboundBytes "OUTBOUND_BYTES" Integer { min: 65_536, max: 1_073_741_824 }, "bytes", Is("1048576"),
            "What may wait for one client before it is closed as a slow consumer.";
        OutboundSoftBytes "OUTBOUND_SOFT_BYTES" Integer { min: 16_384, max: 1_073_741_824 }, "bytes", Is("262144"),
            "What may wait for one client for OUTBOUND_SOFT_S; typing and presence are left out above it.";
        OutboundSoftS "OUTBOUND_SOFT_S" Integer { min: 1, max: 300 }, "s", Is("10"),
            "How long OUTBOUND_SOFT_BYTES may be passed.";
        WriteDelayMs "WRITE_DELAY_MS" Integer { min: 0, max: 1_000 }, "ms", Is("0"),
            "How long what is said in a busy group waits for company, so that it leaves for each session in one write: busy is a group that was written to less than this ago.";
    }
    "Log" {
        LogFormat "LOG_FORMAT" Choice(&["text", "json"]), "", Is("text"), "How log lines are written, to stderr.";
        LogLevel "LOG_LEVEL" Choice(&["error", "warn", "info", "debug"]), "", Is("info"),
            "The least important level that is written.";
    }
}

impl Key {
    /// What is declared of this setting.
    pub fn setting(self) -> &'static Setting {
        &SETTINGS[self as usize]
    }
}

impl Setting {
    /// Its key in the file: `outbound_bytes`.
    pub fn toml_key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Its flag without the dashes, `outbound-bytes`; `None` for a secret, which would show in the list of processes.
    pub fn flag(&self) -> Option<String> {
        (!self.is_secret()).then(|| self.toml_key().replace('_', "-"))
    }

    /// True exactly when its value is never shown.
    pub const fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret { .. } | Kind::Secrets)
    }

    /// The name of its variant that names a file to read the value from, `SECRET_KEY_FILE`, where it has one.
    pub fn file_name(&self) -> Option<String> {
        let may_hold_a_secret = self.is_secret() || matches!(self.kind, Kind::Url | Kind::Urls);
        may_hold_a_secret.then(|| format!("{}_FILE", self.name))
    }

    /// The default as the documents show it; empty where there is none.
    pub const fn default_text(&self) -> &'static str {
        match self.default {
            Fallback::Is(text) | Fallback::Derived(text) => text,
            Fallback::Unset => "",
        }
    }

    /// What is accepted, as the documents and the errors say it.
    pub fn bounds_text(&self) -> String {
        self.kind.to_string()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Kind::Real { min, max } => write!(f, "a number from {min} to {max}"),
            Kind::Boolean => f.write_str("true or false"),
            Kind::Address => f.write_str("an IP address"),
            Kind::Choice(words) => {
                for (index, word) in words.iter().enumerate() {
                    if index > 0 {
                        f.write_str(if index + 1 == words.len() { " or " } else { ", " })?;
                    }
                    f.write_str(word)?;
                }
                Ok(())
            }
            Kind::Text { chars_max } => write!(f, "text of at most {chars_max} characters"),
            Kind::List => f.write_str("entries with commas between them"),
            Kind::Url => f.write_str("a URL"),
            Kind::Urls => f.write_str("URLs with commas between them"),
            Kind::Secrets => f.write_str("secrets with commas between them"),
            Kind::Secret { bytes_min } => write!(f, "at least {bytes_min} bytes"),
        }
    }
}

/// The setting whose file key is `key`, and whether `key` is its `_file` variant.
pub(super) fn by_toml_key(key: &str) -> Option<(&'static Setting, bool)> {
    SETTINGS.iter().find_map(|setting| {
        if setting.toml_key() == key {
            return Some((setting, false));
        }
        let file_name = setting.file_name()?.to_ascii_lowercase();
        (file_name == key).then_some((setting, true))
    })
}

/// The file key nearest to `key`, where one is near enough to be meant.
pub(super) fn nearest_toml_key(key: &str) -> Option<String> {
    let lower = key.to_ascii_lowercase();
    SETTINGS
        .iter()
        .flat_map(|s| [Some(s.toml_key()), s.file_name().map(|name| name.to_ascii_lowercase())])
        .flatten()
        .map(|known| (edits(&lower, &known), known))
        .min()
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(2))
        .map(|(_, known)| known)
}

/// Levenshtein's distance: insertions, deletions and replacements of one byte that make `b` of `a`.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The table of one group as Markdown, as the documents print it.
pub fn markdown(group: &str) -> String {
    let mut table =
        String::from("| name | default | unit | accepts | meaning |\n|---|---|---|---|---|\n");
    for s in SETTINGS.iter().filter(|setting| setting.group == group) {
        let default = match s.default {
            Fallback::Is("") | Fallback::Unset => String::from("–"),
            Fallback::Is(text) => format!("`{text}`"),
            Fallback::Derived(text) => text.to_owned(),
        };
        let unit = if s.unit.is_empty() { "–" } else { s.unit };
        writeln!(table, "| `{}` | {default} | {unit} | {} | {} |", s.name, s.kind, s.doc)
            .expect("a String takes what is written to it");
    }
    table
}

/// The groups, in order, each once.
pub fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = SETTINGS.iter().map(|setting| setting.group).collect();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_own_setting() {
        for (index, setting) in SETTINGS.iter().enumerate() {
            assert_eq!(setting.key as usize, index);
            assert_eq!(setting.key.setting().name, setting.name);
        }
    }

    #[test]
    fn names_are_unique_and_every_setting_says_what_it_does() {
        let mut names: Vec<String> = SETTINGS
            .iter()
            .flat_map(|s| [Some(s.name.to_owned()), s.file_name()])
            .flatten()
            .collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        for setting in SETTINGS {
            assert!(setting.doc.ends_with('.'), "{}", setting.name);
            let is_number = matches!(setting.kind, Kind::Integer { .. } | Kind::Real { .. });
            assert!(is_number || setting.unit.is_empty(), "{}", setting.name);
        }
    }

    #[test]
    fn the_nearest_key_is_offered_and_a_far_one_is_not() {
        assert_eq!(nearest_toml_key("outbund_bytes").as_deref(), Some("outbound_bytes"));
        assert_eq!(nearest_toml_key("prot").as_deref(), Some("port"));
        assert_eq!(nearest_toml_key("SECRET_KEY").as_deref(), Some("secret_key"));
        assert_eq!(nearest_toml_key("favourite_colour"), None);
    }

    #[test]
    fn distances_count_edits() {
        for (a, b, distance) in [("", "abc", 3), ("kitten", "sitting", 3), ("port", "port", 0)] {
            assert_eq!(edits(a, b), distance);
        }
    }
}
