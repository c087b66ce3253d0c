//! How the servers of the bus are.

use redis::{Cmd, Value};

use super::hosts::Hosts;
use super::{Admin, Fault, Link, Trouble, ask, read};
use crate::channel::redis::link::Endpoint;
use crate::time::Timestamp;

/// One server, and what it said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostReport {
    /// Which, without user and password.
    pub place: String,
    /// True exactly when it is spoken to as one of a Redis Cluster.
    pub is_of_cluster: bool,
    /// How it is; an error where it cannot be spoken with.
    pub health: Result<BusHealth, Fault>,
}

/// How a server is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BusHealth {
    /// What it says of itself; `None` where this user may not ask.
    pub info: Option<Info>,
    /// From a `PING` to its answer, the least of a few, µs.
    pub ping_micros: i64,
    /// What may wait for a connection that is subscribed; `None` where this user may not ask.
    pub buffer_limit: Option<BufferLimit>,
    /// Its clock, and ours half-way between question and answer; `None` where this user may not ask.
    pub clocks: Option<(Timestamp, Timestamp)>,
    /// What this user may not do and the layer does, as the server says it.
    pub denied: Vec<String>,
    /// From sending a message to receiving it, µs.
    pub round_trip: Result<i64, Fault>,
}

/// What a server says of itself.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Info {
    /// Its version, as Redis numbers them: `7.0.15`.
    pub version: String,
    /// True exactly when it follows another server.
    pub is_replica: bool,
    /// True exactly when it is one of a Redis Cluster.
    pub is_cluster: bool,
    /// Bytes in use.
    pub memory: u64,
    /// Bytes that it may use; 0: as many as there are.
    pub maxmemory: u64,
    /// What it does when it may use no more.
    pub maxmemory_policy: String,
    /// Connections.
    pub clients: u64,
    /// Connections that it takes; 0 where it does not say.
    pub maxclients: u64,
}

/// What may wait for a connection before it is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BufferLimit {
    /// At once, bytes; 0: no limit.
    pub hard_bytes: u64,
    /// For `soft_s`, bytes; 0: no limit.
    pub soft_bytes: u64,
    /// Seconds.
    pub soft_s: u64,
}

/// How often a server is pinged.
const PINGS: usize = 5;

impl Admin {
    /// Looks at each server, or each master of a cluster. Nothing stays of it.
    pub fn examine(&self) -> Vec<HostReport> {
        let report = |health: Result<BusHealth, Trouble>, place: &str| HostReport {
            place: place.to_owned(),
            is_of_cluster: self.is_cluster,
            health: health.map_err(|trouble| trouble.fault),
        };
        let hosts = match self.hosts() {
            Ok(hosts) => hosts,
            Err(trouble) => {
                let place = trouble.place.clone();
                return vec![report(Err(trouble), &place)];
            }
        };
        let examine = |(host, endpoint): (usize, &Endpoint)| {
            let health = self.on(endpoint, |link| self.health(link, (&hosts, host)));
            report(health, endpoint.shown())
        };
        hosts.endpoints.iter().enumerate().map(examine).collect()
    }

    fn health(&self, link: &mut Link, at: (&Hosts, usize)) -> Result<BusHealth, Fault> {
        let mut ping_micros = i64::MAX;
        for _ in 0..PINGS {
            let start = self.micros();
            allowed::<Value>(link, &redis::cmd("PING"))?;
            ping_micros = ping_micros.min(self.micros() - start);
        }
        let info = allowed::<String>(link, &redis::cmd("INFO"))?.map(|text| Info::read(&text));
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("client-output-buffer-limit");
        let limits = allowed::<Vec<String>>(link, &command)?;
        let start = self.micros();
        let time = allowed::<(i64, i64)>(link, &redis::cmd("TIME"))?;
        let ours = Timestamp(i64::midpoint(start, self.micros()));
        let (denied, round_trip) = self.try_out(link, at)?;
        Ok(BusHealth {
            info,
            ping_micros,
            buffer_limit: limits.and_then(|words| BufferLimit::read(words.last()?)),
            clocks: time.map(|(s, micros)| (Timestamp(s * 1_000_000 + micros), ours)),
            denied,
            round_trip,
        })
    }
}

/// The answer to `command`; `None` where the user may not send it, or the server does not know it.
fn allowed<T: redis::FromRedisValue>(link: &mut Link, command: &Cmd) -> Result<Option<T>, Fault> {
    match ask::<Value>(link, command) {
        Ok(answer) => read(answer).map(Some),
        Err(Fault::Denied(_) | Fault::Refused(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

impl Info {
    /// Reads the answer to `INFO`: `name:value` lines.
    fn read(text: &str) -> Self {
        let value = |name: &str| {
            let of_name = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned());
            text.lines().find_map(of_name).unwrap_or_default()
        };
        let number = |name| value(name).parse().unwrap_or(0);
        Self {
            version: value("redis_version"),
            is_replica: value("role") == "slave",
            is_cluster: value("cluster_enabled") == "1",
            memory: number("used_memory"),
            maxmemory: number("maxmemory"),
            maxmemory_policy: value("maxmemory_policy"),
            clients: number("connected_clients"),
            maxclients: number("maxclients"),
        }
    }
}

impl BufferLimit {
    /// Reads `normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60`.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace().skip_while(|word| *word != "pubsub").skip(1);
        let mut number = || words.next()?.parse().ok();
        Some(Self { hard_bytes: number()?, soft_bytes: number()?, soft_s: number()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read() {
        let text = "# Server\r\nredis_version:7.0.15\r\n\r\n# Clients\r\nconnected_clients:3\r\n\
                    maxclients:10000\r\n# Memory\r\nused_memory:100\r\nused_memory_human:100B\r\n\
                    maxmemory:2048\r\nmaxmemory_policy:allkeys-lru\r\n# Replication\r\nrole:slave\r\n\
                    # Cluster\r\ncluster_enabled:1\r\n";
        let info = Info::read(text);
        assert_eq!(info.version, "7.0.15");
        assert!(info.is_replica && info.is_cluster);
        assert_eq!((info.memory, info.maxmemory), (100, 2_048));
        assert_eq!(info.maxmemory_policy, "allkeys-lru");
        assert_eq!((info.clients, info.maxclients), (3, 10_000));
        assert_eq!(Info::read("nonsense"), Info::default());
    }

    #[test]
    fn the_limit_of_subscribers_is_found_among_the_others() {
        let text = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        let limit = BufferLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_s: 60 };
        assert_eq!(BufferLimit::read(text), Some(limit));
        for text in ["", "normal 0 0 0", "pubsub 1 2"] {
            assert_eq!(BufferLimit::read(text), None);
        }
    }
}
