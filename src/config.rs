//! Settings: defaults < file < environment < flags, checked, into one [`Config`] whose parts are passed by value.
//!
//! Pure: what the shell read comes in as [`Sources`]. Every error names its key, and all of them are told at once. What
//! exists is declared once, in [`SETTINGS`].

mod channel;
mod database;
mod error;
mod kinds;
mod network;
mod postgres_url;
mod reader;
mod redis_url;
mod secret;
mod settings;
mod sources;
mod tls;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

pub use channel::{ChannelFormat, ChannelKind, ChannelSettings, ConversationGroup};
pub use database::{Database, PostgresSettings};
pub use error::{ConfigError, ConfigErrors, Origin};
pub use kinds::{
    AuthSettings, ChatLimits, ConnLimits, LogLevel, LogSettings, NetSettings, Rate, StoreSettings,
};
pub use postgres_url::TlsMode;
pub use redis_url::RedisHost;
pub use secret::{REDACTED, Secret, redact_url, redact_urls};
pub use settings::{Fallback, Key, Kind, SETTINGS, Setting, groups, markdown};
pub use sources::{Machine, Sources};

use crate::limits;
use crate::protocol::http::host::{AllowedHosts, DEBUG_HOSTS};
use database::Named;
use postgres_url::RootCert;
use reader::Reader;
use sources::ReadFile;

/// Descriptors that are not for clients: listeners, epolls, wakers, databases, logs, and what the system opens by itself.
pub const DESCRIPTORS_RESERVED: u64 = 256;

const MEMORY_WARNING: &str = "DATABASE_URL: `memory:` is for benchmarks: NOTHING IS KEPT, every message is lost when this process ends";

/// Checked settings of the whole server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Development: the demo page, and a `SECRET_KEY` that is made up.
    pub debug: bool,
    /// True exactly when the `/_echo` socket exists.
    pub echo: bool,
    /// Where the server listens, and whom it answers.
    pub net: NetSettings,
    /// Bounds of connections.
    pub conn: ConnLimits,
    /// Bounds of users and sessions.
    pub chat: ChatLimits,
    /// Tokens.
    pub auth: AuthSettings,
    /// The database.
    pub store: StoreSettings,
    /// Fan-out between threads, nodes and Django.
    pub channel: ChannelSettings,
    /// The log.
    pub log: LogSettings,
    /// What works and yet should not stay so, one line each.
    pub warnings: Vec<String>,
    /// Each setting as it holds, in the order of [`SETTINGS`].
    pub effective: Vec<Effective>,
}

/// One setting as it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    /// Which.
    pub key: Key,
    /// Its value, redacted where it is secret; empty where it is not set.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

impl Config {
    /// Merges and checks the settings.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, in the order of [`SETTINGS`]; unknown keys of the file come first.
    pub fn load(sources: &Sources<'_>) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let values = sources::merge(sources, &mut errors);
        let mut reader = Reader { values, errors };
        let mut warnings = Vec::new();
        let debug = reader.boolean(Key::Debug);
        let echo = reader.boolean(Key::Echo);
        let store = store(&mut reader, sources.read_file);
        bench(&mut reader, echo, &store.database, &mut warnings);
        let channel = channel::read(&mut reader, &store.database, sources.read_file, &mut warnings);
        let config = Self {
            debug,
            echo,
            net: net(&mut reader, debug, sources.machine),
            auth: auth(&mut reader, debug, sources.machine, &mut warnings),
            store,
            channel,
            chat: chat(&mut reader),
            conn: conn(&mut reader, sources.machine, &mut warnings),
            log: log(&mut reader),
            warnings: Vec::new(),
            effective: Vec::new(),
        };
        if config.net.allowed_hosts.is_any() && !debug {
            warnings.push("ALLOWED_HOSTS: `*` lets any host and any web origin in".to_owned());
        }
        if !reader.errors.is_empty() {
            return Err(ConfigErrors(reader.errors));
        }
        let effective = effective(&reader, &config);
        Ok(Self { warnings, effective, ..config })
    }

    /// The settings that `pairs` of names and values make on a machine with one core and a million descriptors; for tests
    /// and for programs that hold a server inside.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Result<Self, ConfigErrors> {
        Self::load(&Sources {
            file: None,
            env: &|name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            },
            flags: &BTreeMap::new(),
            read_file: &|_| Err("no files here".to_owned()),
            machine: Machine { cores: 1, descriptors_max: 1_000_000, random: [7; 32] },
        })
    }
}

/// The limits of a server with no settings.
impl Default for ChatLimits {
    fn default() -> Self {
        defaults().chat
    }
}

/// The limits of a server with no settings, on a machine with a million descriptors.
impl Default for ConnLimits {
    fn default() -> Self {
        defaults().conn
    }
}

fn defaults() -> Config {
    Config::from_pairs(&[("DEBUG", "true")]).expect("the defaults are within their own bounds")
}

fn net(reader: &mut Reader, debug: bool, machine: Machine) -> NetSettings {
    let shards = machine.cores.clamp(1, limits::SHARDS_MAX) as u64;
    let hosts = match &reader.values[Key::AllowedHosts as usize] {
        // What Django allows with DEBUG on and nothing said.
        Some(raw) if debug && raw.origin == Origin::Default => DEBUG_HOSTS.join(","),
        Some(raw) => raw.text.clone(),
        None => String::new(),
    };
    let allowed_hosts = network::parse_hosts(&hosts).unwrap_or_else(|(entry, why)| {
        reader.refuse(Key::AllowedHosts, &format!("`{entry}` {why}"));
        AllowedHosts::default()
    });
    let media_url = reader.text(Key::MediaUrl).unwrap_or_default();
    let is_prefix = ["/", "http://", "https://"].iter().any(|start| media_url.starts_with(start));
    reader.require(
        is_prefix && media_url.ends_with('/'),
        &[Key::MediaUrl],
        "must begin with `/` or `https://` and end with `/`",
    );
    NetSettings {
        host: reader.address(Key::Host),
        port: reader.integer(Key::Port, 0) as u16,
        shards: reader.integer(Key::Shards, shards) as usize,
        allowed_hosts,
        cors_allowed_origins: reader.list(Key::CorsAllowedOrigins, network::parse_origin),
        trusted_proxies: reader.list(Key::TrustedProxies, network::parse_network),
        media_url: media_url.into(),
        drain_ms: seconds(reader, Key::DrainS),
    }
}

fn auth(
    reader: &mut Reader,
    debug: bool,
    machine: Machine,
    warnings: &mut Vec<String>,
) -> AuthSettings {
    let mut secret = |reader: &mut Reader, key: Key| {
        let text = reader.text(key)?;
        let Kind::Secret { bytes_min } = key.setting().kind else {
            unreachable!("{key:?} is declared a secret")
        };
        if text.len() < bytes_min {
            let why = format!(
                "must be at least {bytes_min} bytes long; make one with: openssl rand -base64 48"
            );
            if debug {
                warnings.push(format!("{}: {why}", key.setting().name));
            } else {
                reader.refuse(key, &why);
            }
        }
        Some(Secret::new(&text))
    };
    let own = secret(reader, Key::SecretKey);
    let previous = secret(reader, Key::SecretKeyPrevious);
    let own = own.unwrap_or_else(|| {
        if debug {
            warnings.push(
                "SECRET_KEY: not set, so one was made up; no token outlives this process"
                    .to_owned(),
            );
        } else {
            reader.require(
                false,
                &[Key::SecretKey],
                "must be set with DEBUG off; make one with: openssl rand -base64 48",
            );
        }
        Secret::new(&hex(&machine.random))
    });
    AuthSettings {
        secret: own,
        previous,
        audience: reader.text(Key::JwtAudience),
        issuer: reader.text(Key::JwtIssuer),
    }
}

fn store(reader: &mut Reader, read_file: ReadFile<'_>) -> StoreSettings {
    let url = reader.text(Key::DatabaseUrl).unwrap_or_default();
    let connect_timeout_ms = seconds(reader, Key::DatabaseConnectTimeoutS);
    let statement_timeout_ms = seconds(reader, Key::DatabaseStatementTimeoutS);
    let database = match Named::parse(&url) {
        Ok(Named::Sqlite(path)) => Database::Sqlite(path),
        Ok(Named::Postgres(url)) => {
            let in_url_ms = url.connect_timeout_s.map(|seconds| seconds * 1_000);
            let in_url_ms = in_url_ms.filter(|_| !reader.is_set(Key::DatabaseConnectTimeoutS));
            let (tls, ca_file) = trust(reader, url.tls, url.root_cert, read_file);
            Database::Postgres(Box::new(PostgresSettings {
                url: url.url,
                tls,
                ca_file,
                connect_timeout_ms: in_url_ms.unwrap_or(connect_timeout_ms),
                statement_timeout_ms,
            }))
        }
        Ok(Named::Memory { users }) => Database::Memory { users },
        Err(why) => {
            reader.refuse(Key::DatabaseUrl, &why);
            Database::Sqlite("fortifun.db".into())
        }
    };
    let is_sqlite = matches!(database, Database::Sqlite(_));
    let is_server = matches!(database, Database::Postgres(_));
    let write_workers = reader.integer(Key::WriteWorkers, if is_server { 2 } else { 1 }) as usize;
    reader.require(
        write_workers == 1 || !is_sqlite,
        &[Key::WriteWorkers, Key::DatabaseUrl],
        "must be 1 with SQLite, which has one writer",
    );
    StoreSettings {
        database,
        write_workers,
        read_workers: reader.integer(Key::ReadWorkers, 1) as usize,
        batch_max: reader.integer(Key::BatchMax, 1) as usize,
        batch_age_ms: reader.integer(Key::BatchAgeMs, 0),
        lease_s: reader.integer(Key::LeaseS, 30) as u32,
    }
}

/// Lets nobody run on a database that keeps nothing who has not asked for benchmarks.
fn bench(reader: &mut Reader, echo: bool, database: &Database, warnings: &mut Vec<String>) {
    if !matches!(database, Database::Memory { .. }) {
        return;
    }
    reader.require(
        echo,
        &[Key::DatabaseUrl, Key::Echo],
        "keeps nothing and is for benchmarks: it needs ECHO on; name a database that keeps what is sent",
    );
    warnings.push(MEMORY_WARNING.to_owned());
}

/// Whom to believe to be the database, by the URL (`sslmode` and `sslrootcert`) and the setting, which holds against it: the
/// URL may be Django's.
fn trust(
    reader: &mut Reader,
    mode: Option<TlsMode>,
    in_url: Option<RootCert>,
    read_file: ReadFile<'_>,
) -> (TlsMode, Option<PathBuf>) {
    let (by, root_cert) = match reader.text(Key::DatabaseCaFile) {
        Some(path) => (Key::DatabaseCaFile, Some(RootCert::File(path.into()))),
        None => (Key::DatabaseUrl, in_url),
    };
    let fallback = if root_cert.is_some() { TlsMode::VerifyFull } else { TlsMode::Prefer };
    let mode = mode.unwrap_or(fallback);
    if root_cert.is_some() && matches!(mode, TlsMode::Disable | TlsMode::Prefer) {
        let why = format!(
            "names whom to trust, and sslmode={} of the URL verifies nobody; use verify-full",
            mode.name()
        );
        reader.refuse(by, &why);
    }
    let Some(RootCert::File(path)) = root_cert else { return (mode, None) };
    if let Err(why) = tls::check_authorities(&path, read_file) {
        reader.refuse(by, &why);
    }
    (mode, Some(path))
}

fn chat(reader: &mut Reader) -> ChatLimits {
    let welcome = reader.text(Key::WelcomeMessage).unwrap_or_default();
    reader.require(!welcome.trim().is_empty(), &[Key::WelcomeMessage], "must not be empty");
    let messages = Rate {
        per_second: reader.real(Key::MessagesPerSecond),
        burst: reader.integer(Key::MessagesBurst, 1) as u32,
    };
    // Buckets live as long as a user counts as online; one that fills later would be refilled by reconnecting.
    reader.require(
        messages.refill_ms() <= limits::OFFLINE_GRACE_MS,
        &[Key::MessagesBurst, Key::MessagesPerSecond],
        "must refill within 15 s at MESSAGES_PER_SECOND",
    );
    let rate = |reader: &mut Reader, key| Rate::with_double_burst(reader.real(key));
    ChatLimits {
        messages,
        typing: rate(reader, Key::TypingPerSecond),
        read_receipts: rate(reader, Key::ReadReceiptsPerSecond),
        commands: rate(reader, Key::CommandsPerSecond),
        welcome: welcome.trim().into(),
    }
}

fn conn(reader: &mut Reader, machine: Machine, warnings: &mut Vec<String>) -> ConnLimits {
    let for_clients = machine.descriptors_max.saturating_sub(DESCRIPTORS_RESERVED).max(1);
    let connections_max = reader.integer(Key::ConnectionsMax, for_clients.min(10_000_000));
    if connections_max > for_clients {
        warnings.push(format!(
            "CONNECTIONS_MAX: {connections_max} connections do not fit the limit of {} descriptors; raise it with LimitNOFILE={} or ulimit -Hn",
            machine.descriptors_max,
            connections_max + DESCRIPTORS_RESERVED,
        ));
    }
    let connects = reader.integer(Key::ConnectsPerSecondPerIp, 0);
    let limits = ConnLimits {
        connections_max: connections_max as usize,
        per_user_max: reader.integer(Key::ConnectionsPerUser, 1) as usize,
        per_ip_max: Some(reader.integer(Key::ConnectionsPerIp, 0) as usize).filter(|max| *max > 0),
        connects_per_ip: (connects > 0).then(|| Rate::with_double_burst(connects as f64)),
        handshake_timeout_ms: seconds(reader, Key::HandshakeTimeoutS),
        idle_http_ms: seconds(reader, Key::IdleHttpS),
        heartbeat_ms: seconds(reader, Key::HeartbeatS),
        message_bytes_max: reader.integer(Key::MessageBytes, 0) as usize,
        outbound_bytes_max: reader.integer(Key::OutboundBytes, 0) as usize,
        outbound_soft_bytes: reader.integer(Key::OutboundSoftBytes, 0) as usize,
        outbound_soft_ms: seconds(reader, Key::OutboundSoftS),
        write_delay_ms: reader.integer(Key::WriteDelayMs, 0),
    };
    reader.require(
        limits.outbound_soft_bytes < limits.outbound_bytes_max,
        &[Key::OutboundSoftBytes, Key::OutboundBytes],
        "must be less than OUTBOUND_BYTES",
    );
    reader.require(
        limits.message_bytes_max < limits.outbound_bytes_max,
        &[Key::MessageBytes, Key::OutboundBytes],
        "must be less than OUTBOUND_BYTES",
    );
    limits
}

fn log(reader: &mut Reader) -> LogSettings {
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug];
    LogSettings {
        is_json: reader.choice(Key::LogFormat) == 1,
        level: levels[reader.choice(Key::LogLevel)],
    }
}

fn seconds(reader: &mut Reader, key: Key) -> u64 {
    reader.integer(key, 0) * 1_000
}

/// Each setting as `check-config` shows it.
fn effective(reader: &Reader, config: &Config) -> Vec<Effective> {
    SETTINGS
        .iter()
        .map(|setting| {
            let raw = reader.values[setting.key as usize].as_ref();
            let value = match (setting.key, raw) {
                (Key::Shards, None) => config.net.shards.to_string(),
                (Key::WriteWorkers, None) => config.store.write_workers.to_string(),
                (Key::ConnectionsMax, None) => config.conn.connections_max.to_string(),
                (Key::ChannelLayer, None) => config.channel.kind.name().to_owned(),
                (Key::SecretKey, None) => REDACTED.to_owned(),
                (Key::AllowedHosts, Some(raw)) if config.debug && raw.origin == Origin::Default => {
                    DEBUG_HOSTS.join(",")
                }
                (_, Some(raw)) => sources::shown(setting, &raw.text),
                (_, None) => String::new(),
            };
            Effective {
                key: setting.key,
                value,
                origin: raw.map_or(Origin::Default, |raw| raw.origin),
            }
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes what is written to it");
        text
    })
}

#[cfg(test)]
mod tests;
