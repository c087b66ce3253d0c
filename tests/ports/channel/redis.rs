//! Layers over private servers, and what holds for those alone.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fortifun_fixtures::Redis;
use fortifun_realtime::channel::Sink;
use fortifun_realtime::channel::bus::{ConversationName, Format};
use fortifun_realtime::channel::redis::{HostUrl, Key, Kind, RedisLayer, Settings, Surroundings};
use fortifun_realtime::ids::NodeId;
use fortifun_realtime::metrics::Registry;
use fortifun_realtime::model::{ConversationId, Group, UserId};
use fortifun_realtime::time::{Mono, Now};

use crate::PATIENCE;
use crate::book::Book;
use crate::inbox::Inbox;
use crate::world::{Node, SHARDS, World, user, wall};

const NODES: usize = 2;
const PASSWORD: &str = "secret-of-the-bus";

/// One of the two layers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layer {
    PubSub,
    Core,
}

/// Servers, and how they are spoken to.
pub(crate) struct Ground {
    pub(crate) hosts: Vec<Redis>,
    settings: Settings,
}

impl Ground {
    /// One host, as Django's settings have it without saying more.
    pub(crate) fn plain(layer: Layer) -> Self {
        let host = Redis::start();
        let url = host.url();
        Self::of(layer, vec![host], vec![url])
    }

    /// Two hosts with passwords, one of them with TLS, and everything in other words: encrypted, in JSON, by names of the
    /// deployment's own.
    pub(crate) fn guarded(layer: Layer) -> Self {
        let password = ["--requirepass", PASSWORD];
        let hosts = vec![Redis::start_tls(&password), Redis::start_with(&password)];
        let urls = hosts.iter().map(|host| HostUrl(host.url_as("", PASSWORD))).collect();
        let settings = Settings {
            conversation: ConversationName::Conversation,
            format: Format::Json,
            keys: ["a configured key", "an older key"].map(|key| Key(key.to_owned())).into(),
            ca_file: Some(hosts[0].ca_file()),
            ..settings(layer, urls)
        };
        Self { hosts, settings }
    }

    /// These hosts, by these URLs.
    pub(crate) fn of(layer: Layer, hosts: Vec<Redis>, urls: Vec<String>) -> Self {
        let settings = settings(layer, urls.into_iter().map(HostUrl).collect());
        Self { hosts, settings }
    }

    /// Two nodes on these hosts that no others share a name with; both are connected.
    pub(crate) fn world(&self) -> World {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let world = self.world_of(&format!("world{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        world.wait_for_the_bus();
        world
    }

    /// The same with names of their own; they may not be connected yet.
    pub(crate) fn world_of(&self, prefix: &str) -> World {
        let settings = Settings { prefix: prefix.to_owned(), ..self.settings.clone() };
        let book = Book::default();
        World { nodes: (0..NODES).map(|_| node(&settings, &book)).collect(), book }
    }
}

fn settings(layer: Layer, hosts: Vec<HostUrl>) -> Settings {
    Settings {
        hosts,
        prefix: "asgi".to_owned(),
        conversation: ConversationName::Chat,
        format: Format::Msgpack,
        keys: Vec::new(),
        kind: match layer {
            Layer::PubSub => Kind::PubSub,
            Layer::Core => Kind::Core { capacity: 1_500, expiry_s: 60, group_expiry_s: 86_400 },
        },
        ca_file: None,
    }
}

fn node(settings: &Settings, book: &Book) -> Node {
    let shards: Vec<_> = (0..SHARDS).map(|_| Inbox::default()).collect();
    let start = Instant::now();
    let random = || RandomState::new().hash_one(0);
    let ledger = book.clone();
    let around = Surroundings {
        me: NodeId(u128::from(random()) << 64 | u128::from(random())),
        shards: shards.iter().map(|shard| Box::new(shard.clone()) as Box<dyn Sink>).collect(),
        clock: Arc::new(move || Now {
            mono: Mono(start.elapsed().as_millis() as u64),
            wall: wall(),
        }),
        random: Arc::new(random),
        metrics: Arc::new(Registry::new()),
        ledger: Box::new(|| Box::new(ledger)),
    };
    let (layer, tasks) = RedisLayer::new(settings, around).unwrap();
    let threads = tasks
        .into_iter()
        .map(|task| std::thread::Builder::new().name(task.name).spawn(task.run).unwrap())
        .collect();
    let bus = Some((Arc::clone(&layer), threads));
    Node { layer, shards, bus }
}

/// Local deliveries go on without Redis, its absence and its return are told, and what was stored meanwhile comes. Its hosts go
/// in turn.
pub(crate) fn outlives(mut ground: Ground) {
    let world = ground.world();
    let (group, conversation, participant) = (user(5), ConversationId(6), UserId(5));
    for node in world.all() {
        world.join(node, 0, group);
    }
    for round in 0..3 {
        let away = round % ground.hosts.len();
        ground.hosts[away].kill();
        let start = Instant::now();
        for (number, node) in world.nodes.iter().enumerate() {
            let trouble = loop {
                if let Some(trouble) = node.layer.trouble() {
                    break trouble;
                }
                assert!(start.elapsed() < PATIENCE, "node {number} does not notice");
                std::thread::sleep(Duration::from_millis(5));
            };
            let host = format!("127.0.0.1:{}", ground.hosts[away].port());
            assert!(trouble.contains(&host), "{trouble}");
            let text = format!("alone {round} {number}");
            world.say(number, group, &text);
            world.inbox(number, 0).until(&text);
        }
        let text = format!("stored {round}");
        for delivery in world.book.commit(conversation, &[participant], &text) {
            world.nodes[0].publish(delivery);
        }
        world.inbox(0, 0).until(&text);
        ground.hosts[away].resume();
        world.wait_for_the_bus();
        world.inbox(1, 0).until(&text);
        world.settle(&format!("round {round}"));
    }
    // Once each, and in order.
    for node in world.all() {
        let mut texts = world.heard(node, 0);
        texts.retain(|text| text.starts_with("stored "));
        assert_eq!(texts, ["stored 0", "stored 1", "stored 2"], "node {node}");
    }
}

/// A layer that is closed sends what it has, ends its threads, and is in no group and no key of Redis any more.
pub(crate) fn leaves_nothing(layer: Layer) {
    let ground = Ground::plain(layer);
    let mut world = ground.world_of("asgi");
    world.wait_for_the_bus();
    let host = &ground.hosts[0];
    for id in 1..=20 {
        world.join(0, 0, user(id));
        world.join(0, 1, Group::Conversation(ConversationId(id)));
    }
    world.join(1, 0, user(1));
    let seen = match layer {
        Layer::PubSub => host.command(&["PUBSUB", "CHANNELS"]).texts(),
        Layer::Core => host.command(&["KEYS", "*"]).texts(),
    };
    assert!(seen.len() >= 40, "the test would see them: {seen:?}");
    for n in 0..1_000 {
        world.say(0, user(1), &format!("last words {n}"));
    }
    world.nodes[0].close();
    world.inbox(1, 0).until("last words 999");
    let words = world.heard(1, 0);
    assert_eq!(words, (0..1_000).map(|n| format!("last words {n}")).collect::<Vec<_>>());
    world.nodes[1].close();
    assert_eq!(host.command(&["PUBSUB", "CHANNELS"]).texts(), Vec::<String>::new());
    assert_eq!(host.command(&["KEYS", "*"]).texts(), Vec::<String>::new());
}
