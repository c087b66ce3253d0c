//! A node without sockets: its layer, its threads, and what its shards were given.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fortifun_fixtures::Redis;
use parking_lot::Mutex;

use crate::channel::bus::{ConversationName, Format};
use crate::channel::redis::{HostUrl, Key, Kind, RedisLayer, Settings, Surroundings, Task};
use crate::channel::{ChannelLayer as _, Delivery, Ledger, Payload, Sink, Unavailable};
use crate::ids::{NodeId, ShardId};
use crate::metrics::{Gauge, Registry};
use crate::model::{ConversationId, Group, MessageId, Seq, Standing, Topic, UserId};
use crate::protocol::ws::encoder;
use crate::time::{Mono, Now, Timestamp};

/// How long anything may take here.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Node {
    pub(super) layer: Arc<RedisLayer>,
    pub(super) inbox: Inbox,
    pub(super) metrics: Arc<Registry>,
    gaps: Arc<Mutex<Vec<Gap>>>,
    hosts: u64,
    threads: Vec<JoinHandle<()>>,
    /// Has the other end of the notes.
    _tend: Mutex<Vec<Task>>,
}

/// Something may have been missed.
#[derive(Clone, Copy, Debug)]
struct Gap {
    since: Timestamp,
    /// When it was noted.
    at: Timestamp,
}

/// What one shard was given; it takes nothing while somebody holds `gate`.
#[derive(Clone, Default)]
pub(super) struct Inbox {
    got: Arc<Mutex<Vec<Arc<Delivery>>>>,
    pub(super) gate: Arc<Mutex<()>>,
}

struct NoStore;

impl Node {
    pub(super) fn start(settings: &Settings) -> Self {
        // In the tests all masters of a cluster are named.
        let hosts = settings.hosts.len() as u64;
        let inbox = Inbox::default();
        let metrics = Arc::new(Registry::new());
        let around = Surroundings {
            me: NodeId(u128::from(random()) << 64 | u128::from(random())),
            shards: vec![Box::new(inbox.clone())],
            clock: Arc::new(now),
            random: Arc::new(random),
            metrics: Arc::clone(&metrics),
            ledger: Box::new(|| Box::new(NoStore)),
        };
        let (layer, tasks) = RedisLayer::new(settings, around).unwrap();
        // What is missed is noted, and nobody repairs it: so it can be looked at.
        let (tend, tasks): (Vec<Task>, Vec<Task>) =
            tasks.into_iter().partition(|task| task.name == "bus-tend");
        let threads = tasks.into_iter().map(|Task { name, run }| {
            std::thread::Builder::new().name(name).spawn(run).expect("threads can be started")
        });
        let mut threads: Vec<JoinHandle<()>> = threads.collect();
        let gaps: Arc<Mutex<Vec<Gap>>> = Arc::default();
        let (noted, hub) = (Arc::clone(&gaps), Arc::clone(&layer.hub));
        threads.push(std::thread::spawn(move || {
            while !hub.is_closing() {
                if let Some(since) = hub.take_gap() {
                    noted.lock().push(Gap { since, at: now().wall });
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }));
        Self { layer, inbox, metrics, gaps, hosts, threads, _tend: Mutex::new(tend) }
    }

    /// The same, once it is connected.
    pub(super) fn connected(settings: &Settings) -> Self {
        let node = Self::start(settings);
        until("it is connected", || node.layer.trouble().is_none());
        node
    }

    /// Has a session in each of `groups`, and listens to them.
    pub(super) fn join(&self, groups: &[Group]) {
        for group in groups {
            self.layer.join(*group, ShardId(0));
        }
        let hub = &self.layer.hub;
        let mut names = 0;
        for group in groups.iter().chain([&Group::General]) {
            names += hub.names().heard(*group).count();
        }
        // The channel of all nodes, and on each host that of this node.
        let expected = names as u64 + 1 + self.hosts;
        until("it listens", || self.metrics.gauge(Gauge::BusSubscriptions) == expected);
    }

    /// True exactly when what was committed at `at`, and did not come, is looked for.
    pub(super) fn looks_for(&self, at: Timestamp) -> bool {
        self.gaps.lock().iter().any(|gap| gap.since <= at && at <= gap.at)
    }

    /// How often something may have been missed.
    pub(super) fn gaps(&self) -> usize {
        self.gaps.lock().len()
    }

    pub(super) fn publish(&self, delivery: Delivery) {
        self.layer.publish(delivery, true);
    }

    /// Ends as a node does; how long that took.
    pub(super) fn close(self) -> Duration {
        let begin = Instant::now();
        self.layer.close();
        for thread in self.threads {
            thread.join().unwrap();
        }
        begin.elapsed()
    }
}

impl Inbox {
    /// The texts of all frames, in the order in which they came.
    pub(super) fn texts(&self) -> Vec<String> {
        let text = |delivery: &Arc<Delivery>| match &delivery.payload {
            Payload::Frame { frame, .. } => encoder::text_of(frame).unwrap().to_owned(),
            Payload::Control(control) => format!("{control:?}"),
        };
        self.got.lock().iter().map(text).collect()
    }

    /// Places of what came.
    pub(super) fn places(&self) -> BTreeSet<(i64, i64)> {
        let place = |delivery: &Arc<Delivery>| match delivery.payload {
            Payload::Frame { place: Some((conversation, seq)), .. } => {
                Some((conversation.0, seq.0))
            }
            _ => None,
        };
        self.got.lock().iter().filter_map(place).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.got.lock().len()
    }
}

impl Sink for Inbox {
    fn accept(&self, delivery: Arc<Delivery>, _patient: bool) {
        drop(self.gate.lock());
        self.got.lock().push(delivery);
    }

    fn ring(&self) {}
}

impl Ledger for NoStore {
    fn standings(&mut self, _: &[ConversationId]) -> Result<Vec<Standing>, Unavailable> {
        Ok(Vec::new())
    }

    fn since(
        &mut self,
        _: &[UserId],
        _: Timestamp,
        _: &mut dyn FnMut(Delivery),
    ) -> Result<(), Unavailable> {
        Ok(())
    }

    fn places(
        &mut self,
        _: &[MessageId],
    ) -> Result<Vec<(MessageId, ConversationId, Seq)>, Unavailable> {
        Ok(Vec::new())
    }
}

pub(super) fn settings(hosts: &[String]) -> Settings {
    Settings {
        hosts: hosts.iter().map(|url| HostUrl(url.clone())).collect(),
        prefix: "asgi".to_owned(),
        conversation: ConversationName::Chat,
        format: Format::Msgpack,
        keys: Vec::new(),
        kind: Kind::PubSub,
        ca_file: None,
    }
}

pub(super) fn encrypted(hosts: &[String]) -> Settings {
    Settings { keys: vec![Key("k1".to_owned())], ..settings(hosts) }
}

/// Settings for one server.
pub(super) fn over(server: &Redis) -> Settings {
    settings(&[server.url()])
}

/// A message of `conversation`, committed now.
pub(super) fn message(conversation: i64, seq: i64) -> Delivery {
    message_of(conversation, seq, "Hi")
}

/// The same, of 8 KiB.
pub(super) fn long_message(conversation: i64, seq: i64) -> Delivery {
    message_of(conversation, seq, &"x".repeat(8 * 1024))
}

fn message_of(conversation: i64, seq: i64, content: &str) -> Delivery {
    let id = conversation * 1_000_000 + seq;
    let text = format!(
        r#"{{"type":"message","message":{{"id":{id},"conversation":{conversation},"seq":{seq},"content":"{content}"}}}}"#
    );
    let payload = Payload::Frame {
        frame: encoder::text(&text),
        topic: Topic::Conversation,
        place: Some((ConversationId(conversation), Seq(seq))),
        except: None,
        sheddable: false,
    };
    let group = Group::Conversation(ConversationId(conversation));
    Delivery { committed_at: Some(now().wall), ..Delivery::new(group, payload) }
}

/// Somebody types.
pub(super) fn typing(conversation: i64) -> Delivery {
    let text = format!(
        r#"{{"type":"typing","conversation_id":{conversation},"user_id":1,"username":"u","is_typing":true}}"#
    );
    let payload = Payload::Frame {
        frame: encoder::text(&text),
        topic: Topic::Conversation,
        place: None,
        except: None,
        sheddable: true,
    };
    Delivery::new(Group::Conversation(ConversationId(conversation)), payload)
}

pub(super) fn conversation(id: i64) -> Group {
    Group::Conversation(ConversationId(id))
}

pub(super) fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let wall = Timestamp(wall.as_micros() as i64);
    Now { mono: Mono((wall.0 / 1_000) as u64), wall }
}

/// Waits until `is_so`.
#[track_caller]
pub(super) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn random() -> u64 {
    getrandom::u64().unwrap()
}
