//! Nodes without sockets, and processes of Django's that are only keys.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fortifun_fixtures::Redis;
use parking_lot::Mutex;

use crate::channel::bus::{ConversationName, Envelope, Format, Layer, Opened};
use crate::channel::redis::link::{Endpoint, Link};
use crate::channel::redis::{Clock, HostUrl, Kind, RedisLayer, Settings, Surroundings};
use crate::channel::{ChannelLayer as _, Delivery, Ledger, Payload, Sink, Unavailable};
use crate::ids::{NodeId, ShardId};
use crate::metrics::{Counter, Registry};
use crate::model::{ConversationId, Group, MessageId, Seq, Standing, Topic, UserId};
use crate::protocol::ws::encoder;
use crate::time::{Mono, Now, Timestamp};

/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A node with one shard whose sessions take everything.
pub(super) struct Node {
    pub(super) layer: Arc<RedisLayer>,
    pub(super) me: NodeId,
    metrics: Arc<Registry>,
    inbox: Arc<Inbox>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Inbox(Mutex<Vec<Arc<Delivery>>>);

struct Shard(Arc<Inbox>);

struct Empty;

/// Django's defaults, but for the capacity, which is the design's.
pub(super) fn settings(hosts: &[&Redis]) -> Settings {
    Settings {
        hosts: hosts.iter().map(|redis| HostUrl(redis.url())).collect(),
        prefix: "asgi".to_owned(),
        conversation: ConversationName::Chat,
        format: Format::Msgpack,
        keys: Vec::new(),
        kind: Kind::Core { capacity: 1_500, expiry_s: 60, group_expiry_s: 86_400 },
        ca_file: None,
    }
}

pub(super) fn of_capacity(settings: Settings, capacity: u32) -> Settings {
    Settings { kind: Kind::Core { capacity, expiry_s: 60, group_expiry_s: 86_400 }, ..settings }
}

pub(super) const fn conversation(id: i64) -> Group {
    Group::Conversation(ConversationId(id))
}

pub(super) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(since.as_micros() as i64)
}

/// Random bits: each state is keyed with other ones.
fn random() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[track_caller]
pub(super) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}: never");
        pause(5);
    }
}

pub(super) fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

impl Node {
    /// A node that is connected.
    pub(super) fn start(settings: &Settings) -> Self {
        let node = Self::begin(settings);
        eventually("connected", || node.layer.trouble().is_none());
        node
    }

    /// A node that need not be connected.
    pub(super) fn begin(settings: &Settings) -> Self {
        let start = Instant::now();
        let metrics = Arc::new(Registry::new());
        let inbox = Arc::new(Inbox::default());
        let me = NodeId(u128::from(random()) << 64 | u128::from(random()));
        let around = Surroundings {
            me,
            shards: vec![Box::new(Shard(Arc::clone(&inbox)))],
            clock: Arc::new(move || Now {
                mono: Mono(start.elapsed().as_millis() as u64),
                wall: wall(),
            }),
            random: Arc::new(random),
            metrics: Arc::clone(&metrics),
            ledger: Box::new(|| Box::new(Empty)),
        };
        let (layer, tasks) = RedisLayer::new(settings, around).unwrap();
        let threads = tasks.into_iter().map(|task| std::thread::spawn(task.run)).collect();
        Self { layer, me, metrics, inbox, threads }
    }

    /// A session comes to `group`; Redis knows when this returns.
    pub(super) fn join(&self, group: Group, redis: &Redis) {
        self.layer.join(group, ShardId(0));
        let member = format!("specific.{}!{group}", self.me);
        eventually("a member", || members(redis, &group.to_string()).contains(&member));
    }

    pub(super) fn leave(&self, group: Group) {
        self.layer.leave(group, ShardId(0));
    }

    /// Publishes the event `message` that says `word`.
    pub(super) fn say(&self, group: Group, word: &str) {
        self.publish(
            group,
            &format!(r#"{{"type":"message","message":{{"word":"{word}"}}}}"#),
            false,
        );
    }

    /// Publishes a `typing`.
    pub(super) fn typing(&self, group: Group) {
        self.publish(group, r#"{"type":"typing","user_id":1,"is_typing":true}"#, true);
    }

    /// The words of the messages that sessions here got, in their order.
    pub(super) fn words(&self) -> Vec<String> {
        let inbox = self.inbox.0.lock();
        let texts = inbox.iter().filter_map(|delivery| match &delivery.payload {
            Payload::Frame { frame, .. } => encoder::text_of(frame),
            Payload::Control(_) => None,
        });
        texts
            .filter_map(|text| {
                let event: serde_json::Value = serde_json::from_str(text).unwrap();
                event["message"]["word"].as_str().map(str::to_owned)
            })
            .collect()
    }

    #[track_caller]
    pub(super) fn hears(&self, words: &[&str]) {
        let start = Instant::now();
        while self.words() != words {
            assert!(start.elapsed() < PATIENCE, "heard {:?}, not {words:?}", self.words());
            pause(5);
        }
    }

    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.metrics.counter(counter)
    }

    /// Closes the node and waits for its threads: how long that took.
    pub(super) fn close(&mut self) -> Duration {
        let start = Instant::now();
        self.layer.close();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        start.elapsed()
    }

    fn publish(&self, group: Group, text: &str, sheddable: bool) {
        let frame = encoder::text_with(text.len(), |out| out.extend_from_slice(text.as_bytes()));
        let topic = Topic::Conversation;
        let payload = Payload::Frame { frame, topic, place: None, except: None, sheddable };
        let committed_at = (!sheddable).then(wall);
        self.layer.publish(Delivery { group, payload, committed_at }, true);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.layer.close();
    }
}

/// A connection as the engine has them.
pub(super) fn link(redis: &Redis) -> Link {
    let start = wall();
    let clock: Clock =
        Arc::new(move || Now { mono: Mono((wall().0 - start.0) as u64 / 1_000), wall: wall() });
    let endpoint = Endpoint::parse(&HostUrl(redis.url()), None).unwrap();
    Link::open(&endpoint, "test", &clock).unwrap()
}

/// The members of the group called `name`.
pub(super) fn members(redis: &Redis, name: &str) -> Vec<String> {
    redis.command(&["ZRANGE", &format!("asgi:group:{name}"), "0", "-1"]).texts()
}

/// A channel of a process of Django's that does not read, as a member of the group called `name`.
pub(super) fn add_member(redis: &Redis, name: &str, channel: &str) {
    let score = (wall().0 / 1_000_000).to_string();
    redis.command(&["ZADD", &format!("asgi:group:{name}"), &score, channel]);
}

/// What waits in the queue at `key`, in the order in which it will be read.
pub(super) fn queued(redis: &Redis, key: &str) -> Vec<Opened> {
    let envelope = Envelope::new(Layer::Core { expiry_s: 60 }, Format::Msgpack, []);
    let fortifun_fixtures::Reply::List(all) = redis.command(&["ZRANGE", key, "0", "-1"]) else {
        panic!("no list");
    };
    let bytes = all.into_iter().map(|reply| match reply {
        fortifun_fixtures::Reply::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    });
    bytes.map(|bytes| envelope.open(&bytes, wall()).unwrap()).collect()
}

/// The words of messages that wait in a queue.
pub(super) fn words_of(opened: &[Opened]) -> Vec<&str> {
    let mut words = Vec::new();
    for opened in opened {
        let message = opened.fields.get("message").and_then(|message| message.as_map());
        words.extend(message.and_then(|it| it.get("word")).and_then(|word| word.as_text()));
    }
    words
}

impl Sink for Shard {
    fn accept(&self, delivery: Arc<Delivery>, _patient: bool) {
        self.0.0.lock().push(delivery);
    }

    fn ring(&self) {}
}

impl Ledger for Empty {
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
