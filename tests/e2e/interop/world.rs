//! Two servers on one bus.

use fortifun_fixtures::{Database, Postgres, Redis};
use serde_json::{Value, json};

use crate::python::Python;
use crate::support::server::UNLIMITED;
use crate::support::{Got, PATIENCE, Server, User, Ws};

/// A channel layer, as Django's settings have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    /// In our settings.
    pub(crate) ours: &'static str,
    /// In the Python parts' words.
    theirs: &'static str,
    /// With which its messages are encrypted; empty where they are not.
    key: &'static str,
}

pub(crate) const PUBSUB: Layer = Layer { ours: "redis-pubsub", theirs: "pubsub", key: "" };
pub(crate) const CORE: Layer = Layer { ours: "redis-core", theirs: "core", key: "" };
pub(crate) const SECRET_PUBSUB: Layer = Layer { key: "a key of the layer's", ..PUBSUB };
pub(crate) const SECRET_CORE: Layer = Layer { key: "a key of the layer's", ..CORE };

/// Two servers, the database and the Redis that they share.
pub(crate) struct World {
    pub(crate) nodes: [Server; 2],
    pub(crate) database: Database,
    layer: Layer,
    redis: Redis,
}

impl World {
    pub(crate) fn new(layer: Layer) -> Self {
        let redis = Redis::start();
        let database = Postgres::shared().database();
        let url = redis.url();
        let mut settings = vec![
            ("REDIS_URL", &*url),
            ("CHANNEL_LAYER", layer.ours),
            ("CONNECTIONS_PER_USER", "100"),
        ];
        if !layer.key.is_empty() {
            settings.push(("CHANNEL_ENCRYPTION_KEYS", layer.key));
        }
        settings.extend(UNLIMITED);
        let nodes = [(); 2].map(|()| Server::on(&database.url(), &settings));
        Self { nodes, database, layer, redis }
    }

    /// A script of `tests/interop` on this bus, with what else it is to know.
    pub(crate) fn python(&self, script: &'static str, more: &Value) -> Python {
        let mut config = json!({"layer": self.layer.theirs, "hosts": [self.redis.url()]});
        if !self.layer.key.is_empty() {
            config["keys"] = json!([self.layer.key]);
        }
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        Python::start(script, &config)
    }
}

/// A socket that is in a few groups, as the rules of the contract put it there.
pub(crate) struct Ear {
    pub(crate) told: String,
    pub(crate) groups: Vec<String>,
    ws: Ws,
}

impl Ear {
    /// Opens a socket of `user` on a node: with the extensions, or as the first clients do.
    pub(crate) fn open(
        world: &World,
        node: usize,
        user: &User,
        path: &str,
        is_v1: bool,
        groups: &[String],
    ) -> Self {
        let open = if is_v1 { Ws::v1 } else { Ws::plain };
        let mut ws = open(&world.nodes[node], user, path);
        ws.hears_presence = true;
        Self { told: format!("{} {path} on {node}", user.name), groups: groups.to_vec(), ws }
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, command: &Value) {
        self.ws.send(command);
    }

    /// The next event. Aside are probes, what the servers tell by themselves of whoever came, and the welcome of the match, which
    /// is so young that a server which opens a group brings it up from the store.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            let event = self.ws.next();
            let is_aside = match event["type"].as_str() {
                Some("user_status") => !event["last_activity"].is_null(),
                Some("new_message") => event["message"]["seq"] == 1,
                kind => kind == Some("probe"),
            };
            if !is_aside {
                return event;
            }
        }
    }

    /// Returns once the socket hears what Django says in each of its groups.
    pub(crate) fn wait(&mut self, speaker: &mut Python) {
        let deadline = std::time::Instant::now() + PATIENCE;
        for group in self.groups.clone() {
            loop {
                speaker.send(&group, &json!({"type": "probe", "group": group}));
                match self.ws.got_within(std::time::Duration::from_millis(50)) {
                    Some(Got::Event(event)) if event["group"] == *group => break,
                    Some(Got::Event(_)) | None => {}
                    other => panic!("{}: {other:?}", self.told),
                }
                assert!(std::time::Instant::now() < deadline, "{}: deaf in {group}", self.told);
            }
        }
    }
}
