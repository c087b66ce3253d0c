//! What each part of the server is told, by value.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::database::Database;
use super::secret::Secret;
use crate::protocol::http::forwarded::IpNet;
use crate::protocol::http::host::AllowedHosts;

/// Where the server listens, and whom it answers.
#[derive(Clone, Debug)]
pub struct NetSettings {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Event loops, 1 to [`crate::limits::SHARDS_MAX`].
    pub shards: usize,
    /// What `Host` and `Origin` may name.
    pub allowed_hosts: AllowedHosts,
    /// Web origins that may call from a browser, in lower case.
    pub cors_allowed_origins: Vec<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Goes before storage keys of pictures and attachments; ends with `/`.
    pub media_url: Arc<str>,
    /// Milliseconds over which clients are moved away.
    pub drain_ms: u64,
}

impl NetSettings {
    /// Host and port together.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

/// How often something may happen: a bucket that holds `burst` and fills at `per_second`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    /// Steadily.
    pub per_second: f64,
    /// At once; at least 1.
    pub burst: u32,
}

impl Rate {
    /// The rate whose burst is two seconds' worth.
    pub(super) fn with_double_burst(per_second: f64) -> Self {
        Self { per_second, burst: (per_second * 2.0).ceil().max(1.0) as u32 }
    }

    /// Milliseconds in which an empty bucket fills.
    pub fn refill_ms(&self) -> u64 {
        (f64::from(self.burst) / self.per_second * 1_000.0).ceil() as u64
    }
}

/// Bounds of one connection, and of connections together.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ConnLimits {
    /// Open connections of this node.
    pub connections_max: usize,
    /// Sessions of one user; one more replaces the oldest.
    pub per_user_max: usize,
    /// Open connections of one address; `None`: no limit.
    pub per_ip_max: Option<usize>,
    /// New connections of one address; `None`: no limit.
    pub connects_per_ip: Option<Rate>,
    /// From a request's first byte to its last, ms.
    pub handshake_timeout_ms: u64,
    /// How long an HTTP connection is kept between requests, ms.
    pub idle_http_ms: u64,
    /// Between pings, ms; two without a pong end the session.
    pub heartbeat_ms: u64,
    /// The longest text of a client, bytes.
    pub message_bytes_max: usize,
    /// What may wait for one client, bytes.
    pub outbound_bytes_max: usize,
    /// What may wait for `outbound_soft_ms`, bytes; less than `outbound_bytes_max`.
    pub outbound_soft_bytes: usize,
    /// How long `outbound_soft_bytes` may be passed, ms.
    pub outbound_soft_ms: u64,
    /// How long what is said in a busy group waits for company, milliseconds.
    pub write_delay_ms: u64,
}

/// What users and sessions may do, and what a match says.
#[derive(Clone, PartialEq, Debug)]
pub struct ChatLimits {
    /// Messages of one user. Its bucket fills within [`crate::limits::OFFLINE_GRACE_MS`].
    pub messages: Rate,
    /// `typing` commands of one user.
    pub typing: Rate,
    /// `read_receipt` commands of one user.
    pub read_receipts: Rate,
    /// Commands of one connection.
    pub commands: Rate,
    /// The first message of a match; 1 to [`crate::limits::CONTENT_CHARS_MAX`] characters.
    pub welcome: Arc<str>,
}

/// How tokens are signed and verified.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// Signs and verifies.
    pub secret: Secret,
    /// Verifies only.
    pub previous: Option<Secret>,
    /// The `aud` that a token must carry.
    pub audience: Option<String>,
    /// The `iss` that a token must carry.
    pub issuer: Option<String>,
}

/// The database and the threads that speak to it.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Which.
    pub database: Database,
    /// Threads that commit.
    pub write_workers: usize,
    /// Threads that read.
    pub read_workers: usize,
    /// Requests in one transaction, at most [`crate::limits::WRITE_QUEUE_MAX`].
    pub batch_max: usize,
    /// How long a batch waits for company, ms.
    pub batch_age_ms: u64,
    /// How long a node counts as alive after it was last heard of, seconds.
    pub lease_s: u32,
}

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogSettings {
    /// For programs rather than people.
    pub is_json: bool,
    /// The least important level that is written.
    pub level: LogLevel,
}

/// Importance of a log line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// Something of ours is broken.
    Error,
    /// Something needs an eye.
    Warn,
    /// Changes of state.
    Info,
    /// For finding out.
    Debug,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_in_burst_over_rate() {
        assert_eq!(Rate { per_second: 5.0, burst: 10 }.refill_ms(), 2_000);
        assert_eq!(Rate::with_double_burst(0.1), Rate { per_second: 0.1, burst: 1 });
        assert_eq!(Rate::with_double_burst(1.5).burst, 3);
    }
}
