//! What is wrong with the servers of the channel layer. Pure: what they said is an argument.

use super::finding::Finding;
use crate::config::ChannelKind;
use crate::server::{BufferLimit, BusFault, BusHealth, HostReport, Info};

/// The oldest version that has `BZPOPMIN`, by which the core layer waits.
const VERSION_CORE: [u32; 2] = [5, 0];
/// The oldest version that has sharded pub/sub.
const VERSION_SHARDED: [u32; 2] = [7, 0];
/// The oldest version that has users, which a URL with a name before the password needs; older ones get no fixes.
const VERSION_KEPT: [u32; 2] = [6, 0];
/// A `PING` above this is longer than everything else that a message waits for, µs.
const PING_MICROS: i64 = 5_000;
/// What may wait for a node while it restarts nothing and reads nothing: what Redis allows by default, bytes.
const BUFFER_HARD_BYTES: u64 = 32 << 20;
/// The same, for some time.
const BUFFER_SOFT_BYTES: u64 = 8 << 20;
/// How far two clocks may be apart, µs.
const SKEW_MICROS: i64 = 5_000_000;

/// How the server is spoken with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Pub/sub that every server has.
    PubSub,
    /// That of a Redis Cluster.
    Sharded,
    /// Groups and queues.
    Core,
}

/// One server after the other, in the order of `REDIS_URL`.
pub(super) fn examine(reports: &[HostReport], kind: ChannelKind) -> Vec<Finding> {
    let mut findings = Vec::new();
    for HostReport { place, is_of_cluster, health } in reports {
        let before = format!("channel layer: {place}");
        let layer = match kind {
            ChannelKind::RedisCore => Layer::Core,
            _ if *is_of_cluster => Layer::Sharded,
            _ => Layer::PubSub,
        };
        match health {
            // Whoever may not read the map gets nowhere.
            Err(fault @ BusFault::Denied(_)) if layer == Layer::Sharded => {
                findings.push(Finding::fail(
                    format!("{before}: {fault}"),
                    format!("correct REDIS_URL, or on every node: {}", layer.rights()),
                ));
            }
            Err(fault) => findings.push(Finding::fail(
                format!("{before}: {fault}"),
                "correct REDIS_URL, or start it: redis-cli -u \"$REDIS_URL\" PING",
            )),
            Ok(health) => findings.extend(of_server(&before, health, layer)),
        }
    }
    findings
}

fn of_server(before: &str, health: &BusHealth, layer: Layer) -> Vec<Finding> {
    let mut findings = vec![ping(before, health.ping_micros)];
    match &health.info {
        None => findings.push(Finding::warn(
            format!("{before}: this user may not ask how it is"),
            "redis-cli ACL SETUSER … +info +config|get +time",
        )),
        Some(info) => {
            findings.push(version(before, &info.version, layer));
            findings.extend(role(before, info, layer));
            findings.extend(memory(before, info, layer));
            findings.extend(clients(before, info));
        }
    }
    if layer != Layer::Core {
        findings.extend(health.buffer_limit.map(|limit| buffer(before, limit)));
    }
    findings.extend(clock(before, health, layer));
    if layer == Layer::Core {
        findings.push(permissions(before, &health.denied));
    }
    findings.push(match &health.round_trip {
        Ok(micros) => Finding::ok(format!("{before}: a message came back in {}", millis(*micros))),
        Err(fault) => {
            Finding::fail(format!("{before}: a message did not come back: {fault}"), layer.rights())
        }
    });
    findings
}

fn ping(before: &str, micros: i64) -> Finding {
    let what = format!("{before}: answers in {}", millis(micros));
    if micros > PING_MICROS {
        Finding::warn(what, "bring it nearer; redis-cli --latency, SLOWLOG GET")
    } else {
        Finding::ok(what)
    }
}

fn version(before: &str, version: &str, layer: Layer) -> Finding {
    let what = format!("{before}: version {version}");
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    let found = [numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)];
    if layer == Layer::Sharded && found < VERSION_SHARDED {
        Finding::fail(
            format!("{what}; sharded pub/sub came with 7.0"),
            "upgrade it, or name a server by itself",
        )
    } else if layer == Layer::Core && found < VERSION_CORE {
        Finding::fail(
            format!("{what}; the core layer waits by BZPOPMIN, which came with 5.0"),
            "upgrade it, or use CHANNEL_LAYER=redis-pubsub here and in Django",
        )
    } else if found < VERSION_KEPT {
        Finding::warn(format!("{what} has no users and gets no fixes"), "upgrade it")
    } else {
        Finding::ok(what)
    }
}

fn role(before: &str, info: &Info, layer: Layer) -> Vec<Finding> {
    let mut findings = Vec::new();
    if info.is_replica {
        findings.push(Finding::fail(
            format!("{before}: follows another server: what is published here stays here"),
            "name the primary in REDIS_URL",
        ));
    }
    if info.is_cluster {
        let what = format!("{before}: is one of a Redis Cluster");
        findings.extend(match layer {
            Layer::Sharded => None,
            Layer::PubSub => Some(Finding::warn(
                format!("{what}, which hands every message to all of it"),
                "without Django on the bus: REDIS_URL=redis+cluster://…; else a server by itself",
            )),
            Layer::Core => Some(Finding::fail(
                format!("{what}, which has only a part of the groups"),
                "name a server by itself, or use CHANNEL_LAYER=redis-pubsub here and in Django",
            )),
        });
    }
    findings
}

/// Groups and queues have a time to live, so whatever is evicted may be one of them. Pub/sub keeps nothing.
fn memory(before: &str, info: &Info, layer: Layer) -> Option<Finding> {
    if layer != Layer::Core {
        return None;
    }
    let policy = &info.maxmemory_policy;
    if info.maxmemory == 0 {
        return Some(Finding::ok(format!(
            "{before}: maxmemory-policy is {policy}, without a limit"
        )));
    }
    let percent = info.memory.saturating_mul(100) / info.maxmemory;
    let what = format!("{before}: maxmemory-policy is {policy}, {percent} % of maxmemory in use");
    Some(if policy != "noeviction" {
        Finding::warn(
            format!("{what}; when it is full it takes groups away, and nodes fall out of them"),
            "redis-cli CONFIG SET maxmemory-policy noeviction   # and in redis.conf",
        )
    } else if percent >= 90 {
        Finding::warn(what, "redis-cli CONFIG SET maxmemory …   # or a server for the bus alone")
    } else {
        Finding::ok(what)
    })
}

fn clients(before: &str, info: &Info) -> Option<Finding> {
    let (used, max) = (info.clients, info.maxclients);
    let what = format!("{before}: {used} of {max} connections are taken");
    (max > 0).then(|| {
        if used.saturating_mul(10) > max.saturating_mul(9) {
            Finding::warn(what, "redis-cli CONFIG SET maxclients …   # and LimitNOFILE of its unit")
        } else {
            Finding::ok(what)
        }
    })
}

/// Redis closes a subscriber that takes its messages too slowly; the node then looks into the database for what it missed.
fn buffer(before: &str, limit: BufferLimit) -> Finding {
    let BufferLimit { hard_bytes, soft_bytes, soft_s } = limit;
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let what = format!(
        "{before}: client-output-buffer-limit pubsub is {}, {} for {soft_s} s",
        mib(hard_bytes),
        mib(soft_bytes),
    );
    let is_low = |bytes, least| bytes > 0 && bytes < least;
    if is_low(hard_bytes, BUFFER_HARD_BYTES) || is_low(soft_bytes, BUFFER_SOFT_BYTES) {
        Finding::warn(
            format!("{what}; a node that pauses is cut off, and reads what it missed anew"),
            "redis-cli CONFIG SET client-output-buffer-limit 'pubsub 64mb 16mb 60'   # and in redis.conf",
        )
    } else {
        Finding::ok(what)
    }
}

/// With the core layer every sender says by its own clock who is too long in a group, and what too long in a queue.
fn clock(before: &str, health: &BusHealth, layer: Layer) -> Option<Finding> {
    let (theirs, ours) = health.clocks?;
    let ahead = theirs.0 - ours.0;
    if layer != Layer::Core || ahead.abs() <= SKEW_MICROS {
        return None;
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let what = format!("{before}: its clock is {} s {side} ours", ahead.abs() / 1_000_000);
    Some(Finding::warn(what, "timedatectl set-ntp true   # on all machines that send"))
}

fn permissions(before: &str, denied: &[String]) -> Finding {
    if denied.is_empty() {
        return Finding::ok(format!("{before}: the user may do what is needed"));
    }
    Finding::fail(
        format!("{before}: the user may not do all that is needed: {}", denied.join("; ")),
        Layer::Core.rights(),
    )
}

impl Layer {
    /// What a user of it needs, these commands included, with the prefix that is usual.
    const fn rights(self) -> &'static str {
        match self {
            Self::Core => {
                "redis-cli ACL SETUSER … '~asgi*' +@connection +@sortedset +eval +evalsha +expire +get +set +exists +del +scan"
            }
            Self::PubSub => "redis-cli ACL SETUSER … '&asgi__group__*' +@connection +@pubsub",
            Self::Sharded => {
                "redis-cli ACL SETUSER … '&asgi__group__*' +@connection +@pubsub +cluster|slots"
            }
        }
    }
}

fn millis(micros: i64) -> String {
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict::{self, Fail, Ok as Well, Warn};
    use super::*;
    use crate::time::Timestamp;
    use ChannelKind::{RedisCore, RedisPubSub};

    const NOW: Timestamp = Timestamp(1_704_067_200_000_000);

    fn info() -> Info {
        Info {
            version: "7.0.15".to_owned(),
            memory: 10,
            maxmemory: 100,
            maxmemory_policy: "noeviction".to_owned(),
            clients: 9,
            maxclients: 10,
            ..Info::default()
        }
    }

    fn well() -> BusHealth {
        BusHealth {
            info: Some(info()),
            ping_micros: 240,
            buffer_limit: Some(BufferLimit {
                hard_bytes: 32 << 20,
                soft_bytes: 8 << 20,
                soft_s: 60,
            }),
            clocks: Some((NOW, NOW)),
            denied: Vec::new(),
            round_trip: Ok(1_500),
        }
    }

    #[track_caller]
    fn check(kind: ChannelKind, health: BusHealth, verdict: Verdict, part: &str) {
        check_in((kind, false), health, verdict, part);
    }

    #[track_caller]
    fn check_in(
        (kind, is_of_cluster): (ChannelKind, bool),
        health: BusHealth,
        verdict: Verdict,
        part: &str,
    ) {
        let place = "redis://cache:6379/0".to_owned();
        let report = HostReport { place, is_of_cluster, health: Ok(health) };
        let findings = examine(&[report], kind);
        let is_it = |finding: &&Finding| finding.verdict == verdict && finding.what.contains(part);
        let found = findings.iter().find(is_it);
        assert!(
            found.is_some_and(|found| found.mend.is_empty() == (verdict == Well)),
            "{findings:?}"
        );
        let others = findings.iter().filter(|finding| finding.verdict != Well).count();
        assert_eq!(others, usize::from(verdict != Well), "{findings:?}");
        assert!(findings.iter().all(|f| f.what.starts_with("channel layer: redis://cache:6379/0")));
    }

    fn with(change: impl FnOnce(&mut Info)) -> BusHealth {
        let mut info = info();
        change(&mut info);
        BusHealth { info: Some(info), ..well() }
    }

    #[test]
    fn each_thing_that_is_wrong_is_told_by_itself() {
        for kind in [RedisPubSub, RedisCore] {
            check(kind, well(), Well, "answers in 0.24 ms");
            check(kind, well(), Well, "a message came back in 1.50 ms");
            check(kind, well(), Well, "version 7.0.15");
            check(kind, BusHealth { ping_micros: 5_001, ..well() }, Warn, "answers in 5.00 ms");
            check(kind, BusHealth { info: None, ..well() }, Warn, "may not ask");
            check(kind, with(|info| info.is_replica = true), Fail, "follows another");
            check(kind, with(|info| info.clients = 10), Warn, "10 of 10 connections");
            let lost = BusHealth { round_trip: Err(silent()), ..well() };
            check(kind, lost, Fail, "did not come back");
        }
    }

    #[test]
    fn each_layer_has_needs_of_its_own() {
        let old = |version: &str| with(|info| info.version = version.to_owned());
        check(RedisCore, old("4.0.9"), Fail, "BZPOPMIN");
        check(RedisCore, old("5.0.14"), Warn, "no users");
        check(RedisPubSub, old("4.0.9"), Warn, "no users");
        check(RedisCore, with(|info| info.is_cluster = true), Fail, "Redis Cluster");
        check(RedisPubSub, with(|info| info.is_cluster = true), Warn, "Redis Cluster");
        let sharded = (RedisPubSub, true);
        check_in(sharded, with(|info| info.is_cluster = true), Well, "version 7.0.15");
        check_in(sharded, old("6.2.7"), Fail, "sharded pub/sub came with 7.0");
        for policy in ["allkeys-lru", "volatile-ttl"] {
            let evicts = || with(|info| info.maxmemory_policy = policy.to_owned());
            check(RedisCore, evicts(), Warn, "takes groups away");
            check(RedisPubSub, evicts(), Well, "version");
        }
        let endless = with(|info| {
            info.maxmemory_policy = "allkeys-lru".to_owned();
            info.maxmemory = 0;
        });
        check(RedisCore, endless, Well, "without a limit");
        check(RedisCore, with(|info| info.memory = 90), Warn, "90 % of maxmemory");
        let denied = BusHealth { denied: vec!["no 'zadd'".to_owned()], ..well() };
        check(RedisCore, denied, Fail, "no 'zadd'");
        let late = Some((Timestamp(NOW.0 - 6_000_000), NOW));
        check(RedisCore, BusHealth { clocks: late, ..well() }, Warn, "6 s behind ours");
        check(RedisPubSub, BusHealth { clocks: late, ..well() }, Well, "version");
    }

    #[test]
    fn a_small_buffer_matters_to_subscribers() {
        let with = |hard_bytes, soft_bytes| BusHealth {
            buffer_limit: Some(BufferLimit { hard_bytes, soft_bytes, soft_s: 60 }),
            ..well()
        };
        check(RedisPubSub, well(), Well, "32 MiB, 8 MiB for 60 s");
        check(RedisPubSub, with((32 << 20) - 1, 8 << 20), Warn, "31 MiB");
        check(RedisPubSub, with(32 << 20, (8 << 20) - 1), Warn, "7 MiB");
        check(RedisPubSub, with(0, 0), Well, "0 MiB, 0 MiB");
        check(RedisCore, with(1, 1), Well, "version");
    }

    #[test]
    fn a_server_that_cannot_be_spoken_with_is_one_failure() {
        let place = "redis://cache".to_owned();
        let report = HostReport { place, is_of_cluster: false, health: Err(silent()) };
        let [finding] = &examine(&[report], RedisCore)[..] else { panic!() };
        assert_eq!(finding.verdict, Fail);
        assert!(finding.what.contains("does not answer"), "{finding:?}");
    }

    fn silent() -> crate::server::BusFault {
        crate::server::BusFault::Silent
    }
}
