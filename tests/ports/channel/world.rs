//! Nodes of one layer, and the words that the rules speak in.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fortifun_realtime::channel::memory::MemoryLayer;
use fortifun_realtime::channel::redis::RedisLayer;
use fortifun_realtime::channel::{ChannelLayer, Delivery, Payload};
use fortifun_realtime::ids::ShardId;
use fortifun_realtime::model::{ConversationId, Group, Seq, Topic, UserId};
use fortifun_realtime::protocol::ws::encoder;
use fortifun_realtime::time::Timestamp;
use serde_json::json;

use crate::PATIENCE;
use crate::book::Book;
use crate::inbox::{Inbox, PROBE};

/// Shards of a node.
pub(crate) const SHARDS: usize = 2;

/// One layer, of one node or of more, with a store for all.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) book: Book,
}

/// A node's layer and its shards.
pub(crate) struct Node {
    pub(crate) layer: Arc<dyn ChannelLayer>,
    pub(crate) shards: Vec<Inbox>,
    /// Of a layer over Redis.
    pub(crate) bus: Option<(Arc<RedisLayer>, Vec<JoinHandle<()>>)>,
}

impl World {
    /// One node without a bus.
    pub(crate) fn memory() -> Self {
        let shards: Vec<_> = (0..SHARDS).map(|_| Inbox::default()).collect();
        let layer = Arc::new(MemoryLayer::new(shards.clone()));
        Self { nodes: vec![Node { layer, shards, bus: None }], book: Book::default() }
    }

    /// Nodes by their numbers.
    pub(crate) fn all(&self) -> std::ops::Range<usize> {
        0..self.nodes.len()
    }

    /// The last node: another one than the first, where there is one.
    pub(crate) fn last(&self) -> usize {
        self.nodes.len() - 1
    }

    /// Where a shard takes its deliveries.
    pub(crate) fn inbox(&self, node: usize, shard: usize) -> &Inbox {
        &self.nodes[node].shards[shard]
    }

    /// All inboxes.
    pub(crate) fn inboxes(&self) -> impl Iterator<Item = &Inbox> {
        self.nodes.iter().flat_map(|node| &node.shards)
    }

    /// `shard` of `node` has its first session in `group`; returns when it hears what any node says there.
    pub(crate) fn join(&self, node: usize, shard: usize, group: Group) {
        self.nodes[node].layer.join(group, ShardId(shard as u16));
        for from in self.all() {
            // What Django hears and what it does not may go by two hosts.
            for topic in [Topic::Other, Topic::OwnMessages] {
                self.probe(from, (node, shard), group, topic);
            }
        }
    }

    fn probe(&self, from: usize, (node, shard): (usize, usize), group: Group, topic: Topic) {
        let probe = format!("{PROBE}{from} {group} {topic:?}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let delivery = frame(group, "conversation_update", &probe, topic, None, false);
            self.nodes[from].publish(delivery);
            if self.inbox(node, shard).hears_probe(Duration::from_millis(20), &probe) {
                return;
            }
            assert!(Instant::now() < deadline, "node {node} does not hear {group}");
        }
    }

    /// `shard` of `node` has lost its last session in `group`.
    pub(crate) fn leave(&self, node: usize, shard: usize, group: Group) {
        self.nodes[node].layer.leave(group, ShardId(shard as u16));
    }

    /// `node` says something in `group`.
    pub(crate) fn say(&self, node: usize, group: Group, text: &str) {
        self.nodes[node].publish(event(group, text));
    }

    /// Whatever was said until now has arrived, or never will: every node has told everybody something since, and was heard.
    pub(crate) fn settle(&self, told: &str) {
        for node in self.all() {
            self.say(node, Group::General, &format!("settled {told} {node}"));
        }
        for node in self.all() {
            for inbox in self.inboxes() {
                inbox.until(&format!("settled {told} {node}"));
            }
        }
    }

    /// The texts that a shard was handed, but for those of [`World::settle`].
    pub(crate) fn heard(&self, node: usize, shard: usize) -> Vec<String> {
        let handed = self.inbox(node, shard).so_far();
        let texts = handed.into_iter().map(|one| one.text);
        texts.filter(|text| !text.starts_with("settled ")).collect()
    }

    /// Returns when no node has trouble with the layer.
    pub(crate) fn wait_for_the_bus(&self) {
        let start = Instant::now();
        while let Some(trouble) = self.nodes.iter().find_map(|node| node.layer.trouble()) {
            assert!(start.elapsed() < PATIENCE, "{trouble}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Node {
    /// As a worker publishes: it may wait.
    pub(crate) fn publish(&self, delivery: Delivery) {
        self.layer.publish(delivery, true);
    }

    /// Ends its part in the layer, and returns when all its threads have ended.
    pub(crate) fn close(&mut self) {
        let Some((layer, threads)) = self.bus.take() else { return };
        layer.close();
        let start = Instant::now();
        for thread in threads {
            while !thread.is_finished() {
                let name = thread.thread().name().unwrap_or_default();
                assert!(start.elapsed() < PATIENCE, "{name} does not end");
                std::thread::sleep(Duration::from_millis(5));
            }
            thread.join().unwrap();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // All at once; each node waits for its own threads then.
        for (layer, _) in self.nodes.iter().filter_map(|node| node.bus.as_ref()) {
            layer.close();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}

/// An event without a place that Django's consumers would have a handler for.
pub(crate) fn event(group: Group, text: &str) -> Delivery {
    frame(group, "conversation_update", text, Topic::Other, None, false)
}

/// The event of a stored message.
pub(crate) fn stored(
    group: Group,
    conversation: ConversationId,
    seq: Seq,
    text: &str,
    at: Timestamp,
) -> Delivery {
    let (name, topic) = match group {
        Group::Conversation(_) => ("message", Topic::Conversation),
        _ => ("new_message", Topic::Messages),
    };
    let mut delivery = frame(group, name, text, topic, Some((conversation, seq)), false);
    delivery.committed_at = Some(at);
    delivery
}

/// Any event.
pub(crate) fn frame(
    group: Group,
    name: &str,
    text: &str,
    topic: Topic,
    place: Option<(ConversationId, Seq)>,
    sheddable: bool,
) -> Delivery {
    // Its type first, as the encoder of events has it.
    let data = json!({ "text": text });
    let frame = encoder::text(&format!(r#"{{"type":"{name}","data":{data}}}"#));
    Delivery::new(group, Payload::Frame { frame, topic, place, except: None, sheddable })
}

/// The group of a user.
pub(crate) fn user(id: i64) -> Group {
    Group::User(UserId(id))
}

/// The clock on the wall.
pub(crate) fn wall() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64)
}
