//! Nodes on one database and one Redis.

use fortifun_fixtures::{Database, Postgres, Redis, RedisCluster};
use serde_json::Value;

use crate::support::server::UNLIMITED;
use crate::support::{Got, Server, Ws, eventually};

/// Redis PUBLISH and SUBSCRIBE.
pub(crate) const PUBSUB: &str = "redis-pubsub";
/// Lists of Redis.
pub(crate) const CORE: &str = "redis-core";

/// The nodes of one test, and what they share.
pub(crate) struct Cluster {
    // They go in this order.
    pub(crate) nodes: Vec<Server>,
    pub(crate) redis: Redis,
    /// The other masters of a Redis Cluster, of which `redis` is the first.
    masters: Vec<Redis>,
    /// `REDIS_URL`.
    urls: String,
    database: Database,
    layer: &'static str,
}

impl Cluster {
    /// So many nodes over `layer`.
    pub(crate) fn start(layer: &'static str, count: usize) -> Self {
        Self::start_with(layer, count, &[])
    }

    /// The same with further settings.
    pub(crate) fn start_with(layer: &'static str, count: usize, settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::without_nodes(layer);
        cluster.grow(count, settings);
        cluster
    }

    /// So many nodes over a Redis Cluster.
    pub(crate) fn over_redis_cluster(count: usize) -> Self {
        let shared = RedisCluster::start(0);
        let urls = shared.urls().join(",");
        let mut masters = shared.nodes;
        let redis = masters.remove(0);
        let database = Postgres::shared().database();
        let mut cluster = Self { nodes: Vec::new(), redis, masters, urls, database, layer: PUBSUB };
        cluster.grow(count, &[]);
        cluster
    }

    fn grow(&mut self, count: usize, settings: &[(&str, &str)]) {
        for _ in 0..count {
            self.add(settings);
        }
        // So that a test begins when every node speaks with Redis.
        for node in &self.nodes {
            eventually("a node is ready", || (readiness(node)["status"] == "ok").then_some(()));
        }
    }

    /// A database and a Redis.
    pub(crate) fn without_nodes(layer: &'static str) -> Self {
        let redis = Redis::start();
        let (urls, database) = (redis.url(), Postgres::shared().database());
        Self { nodes: Vec::new(), redis, masters: Vec::new(), urls, database, layer }
    }

    /// Starts another node.
    pub(crate) fn add(&mut self, settings: &[(&str, &str)]) {
        let own = [("CHANNEL_LAYER", self.layer), ("REDIS_URL", &self.urls)];
        let all = [UNLIMITED, &own, settings].concat();
        self.nodes.push(Server::on(&self.database.url(), &all));
    }

    /// The first two.
    pub(crate) fn two(&self) -> [&Server; 2] {
        [&self.nodes[0], &self.nodes[1]]
    }
}

/// What `GET /readyz` says: its body, and that it is 200 exactly where clients may come.
pub(crate) fn readiness(node: &Server) -> Value {
    let answer = node.ask("GET", "/readyz", "", None);
    let told = answer.json();
    let takes_clients = ["ok", "degraded"].map(Value::from).contains(&told["status"]);
    assert_eq!(answer.status == 200, takes_clients, "{answer:?}");
    told
}

/// The `seq` of a `message` or `new_message`.
pub(crate) fn seq_of(event: &Value) -> u64 {
    event["message"]["seq"].as_u64().unwrap_or_else(|| panic!("no message: {event}"))
}

/// Hears messages up to `last`, and fails unless they are `first..=last`, each once and in order. Other events are dropped, and so is
/// the welcome, of which a chat socket may be told that came right after it.
pub(crate) fn hear(ws: &mut Ws, first: u64, last: u64) {
    for due in first..=last {
        loop {
            match ws.got() {
                Got::Event(event) if event["message"]["seq"] == 1 => {}
                Got::Event(event) if event["message"].is_object() => {
                    assert_eq!(seq_of(&event), due, "{event}");
                    break;
                }
                Got::Event(event) => assert_ne!(event["type"], "error", "{event}"),
                other => panic!("{due} is due: {other:?}"),
            }
        }
    }
}
