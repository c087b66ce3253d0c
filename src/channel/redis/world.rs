//! A hub without Redis, for tests: its clock is set by hand, its shards keep what they are given, its store is a list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::tend::{Note, Tend};
use super::{HostUrl, Hub, Kind, Settings, Surroundings};
use crate::channel::bus::{ConversationName, Format};
use crate::channel::{Delivery, Ledger, Payload, Sink, Unavailable};
use crate::ids::NodeId;
use crate::limits::BUS_CHECK_MAX;
use crate::metrics::Registry;
use crate::model::{Control, ConversationId, Group, MessageId, Seq, Standing, Topic, UserId};
use crate::protocol::ws::encoder;
use crate::time::{Mono, Now, Timestamp};

pub(super) const ME: NodeId = NodeId(1);
pub(super) const OTHER: NodeId = NodeId(2);

/// The clock at the start, so that "earlier" is something.
const START_MS: u64 = 1_000_000;

pub(super) struct World {
    pub(super) hub: Arc<Hub>,
    pub(super) metrics: Arc<Registry>,
    pub(super) store: Arc<Stored>,
    pub(super) notes: Receiver<Note>,
    clock: Arc<AtomicU64>,
    given: Vec<Arc<Mutex<Vec<Arc<Delivery>>>>>,
}

/// What the store has.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) standings: Mutex<BTreeMap<ConversationId, Standing>>,
    /// When, in whose conversation, and its place.
    pub(super) messages: Mutex<Vec<(Timestamp, UserId, ConversationId, Seq)>>,
    pub(super) places: Mutex<Vec<(MessageId, ConversationId, Seq)>>,
    pub(super) is_away: AtomicBool,
    pub(super) asked: AtomicUsize,
    /// Called while standings are read.
    pub(super) meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

struct Shard(Arc<Mutex<Vec<Arc<Delivery>>>>);

impl Sink for Shard {
    fn accept(&self, delivery: Arc<Delivery>, _patient: bool) {
        self.0.lock().push(delivery);
    }

    fn ring(&self) {}
}

pub(super) fn settings() -> Settings {
    Settings {
        hosts: vec![HostUrl("redis://u:p@h".to_owned())],
        prefix: "asgi".to_owned(),
        conversation: ConversationName::Chat,
        format: Format::Msgpack,
        keys: Vec::new(),
        kind: Kind::PubSub,
        ca_file: None,
    }
}

impl World {
    pub(super) fn new() -> Self {
        let given: Vec<Arc<Mutex<Vec<Arc<Delivery>>>>> = (0..3).map(|_| Arc::default()).collect();
        let clock = Arc::new(AtomicU64::new(START_MS));
        let metrics = Arc::new(Registry::new());
        let read = Arc::clone(&clock);
        let drawn = AtomicU64::new(0);
        let around = Surroundings {
            me: ME,
            shards: given.iter().map(|given| Box::new(Shard(Arc::clone(given))) as _).collect(),
            clock: Arc::new(move || now(read.load(Ordering::SeqCst))),
            // A multiplicative hash of a count.
            random: Arc::new(move || {
                drawn.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst) >> 32
            }),
            metrics: Arc::clone(&metrics),
            ledger: Box::new(|| Box::new(Reader(Arc::default()))),
        };
        let (hub, notes, _) = Hub::parts(&settings(), around);
        Self { hub, metrics, store: Arc::default(), notes, clock, given }
    }

    pub(super) fn now(&self) -> Now {
        now(self.clock.load(Ordering::SeqCst))
    }

    /// The time, `ms` ago.
    pub(super) fn ago(&self, ms: i64) -> Timestamp {
        self.now().wall.plus_ms(-ms)
    }

    /// Time goes on, and nobody looks.
    pub(super) fn skip(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    /// A millisecond at a time, as the thread that ends waits would live it.
    pub(super) fn pass(&self, ms: u64) {
        for _ in 0..ms {
            self.clock.fetch_add(1, Ordering::SeqCst);
            self.hub.expire_waits(self.now().mono);
        }
    }

    pub(super) fn tend(&self) -> Tend<'_> {
        Tend::new(&self.hub, Box::new(Reader(Arc::clone(&self.store))))
    }

    /// What the thread that asks the store does within `ms`.
    pub(super) fn live(&self, tend: &mut Tend<'_>, ms: u64) {
        for _ in 0..ms {
            self.notes.try_iter().for_each(|note| tend.take(note));
            tend.step();
            self.pass(1);
        }
    }

    /// What shard `n` was given since it was last asked.
    pub(super) fn given(&self, shard: usize) -> Vec<Arc<Delivery>> {
        std::mem::take(&mut self.given[shard].lock())
    }

    /// The places of messages that shard 0 was given.
    pub(super) fn seqs(&self) -> Vec<i64> {
        self.given(0)
            .iter()
            .filter_map(|delivery| place(delivery))
            .map(|(_, Seq(seq))| seq)
            .collect()
    }

    /// The orders that shard 0 was given.
    pub(super) fn orders(&self) -> Vec<(Group, Control)> {
        let order = |delivery: &Arc<Delivery>| match delivery.payload {
            Payload::Control(control) => Some((delivery.group, control)),
            Payload::Frame { .. } => None,
        };
        self.given(0).iter().filter_map(order).collect()
    }
}

struct Reader(Arc<Stored>);

impl Reader {
    fn ask(&self, about: usize) -> Result<(), Unavailable> {
        assert!(about <= BUS_CHECK_MAX, "{about} at once");
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let is_away = self.0.is_away.load(Ordering::SeqCst);
        if is_away { Err(Unavailable("away".to_owned())) } else { Ok(()) }
    }
}

impl Ledger for Reader {
    fn standings(&mut self, ids: &[ConversationId]) -> Result<Vec<Standing>, Unavailable> {
        self.ask(ids.len())?;
        let found = ids.iter().filter_map(|id| self.0.standings.lock().get(id).cloned()).collect();
        if let Some(meanwhile) = self.0.meanwhile.lock().take() {
            meanwhile();
        }
        Ok(found)
    }

    fn since(
        &mut self,
        users: &[UserId],
        since: Timestamp,
        f: &mut dyn FnMut(Delivery),
    ) -> Result<(), Unavailable> {
        self.ask(users.len())?;
        let mut found = self.0.messages.lock().clone();
        found.sort_unstable_by_key(|(_, _, conversation, seq)| (*conversation, *seq));
        for (at, user, conversation, seq) in found {
            if at >= since && users.contains(&user) {
                f(message(Group::Conversation(conversation), conversation, seq.0));
                let mut delivery = message(Group::User(user), conversation, seq.0);
                delivery.committed_at = Some(at);
                f(delivery);
            }
        }
        Ok(())
    }

    fn places(
        &mut self,
        messages: &[MessageId],
    ) -> Result<Vec<(MessageId, ConversationId, Seq)>, Unavailable> {
        self.ask(messages.len())?;
        let places = self.0.places.lock();
        Ok(places.iter().filter(|(id, ..)| messages.contains(id)).copied().collect())
    }
}

fn now(ms: u64) -> Now {
    Now { mono: Mono(ms), wall: Timestamp(ms as i64 * 1_000) }
}

/// A message of a conversation, for `group`.
pub(super) fn message(group: Group, conversation: ConversationId, seq: i64) -> Delivery {
    let frame = encoder::text(&format!(
        r#"{{"type":"message","message":{{"id":{seq},"conversation_id":{conversation},"seq":{seq}}}}}"#
    ));
    let place = Some((conversation, Seq(seq)));
    frame_of(group, frame, place, false)
}

/// Something of which no more than its name matters.
pub(super) fn event(group: Group, sheddable: bool) -> Delivery {
    frame_of(group, encoder::text(r#"{"type":"typing"}"#), None, sheddable)
}

pub(super) fn place(delivery: &Delivery) -> Option<(ConversationId, Seq)> {
    match delivery.payload {
        Payload::Frame { place, .. } => place,
        Payload::Control(_) => None,
    }
}

fn frame_of(
    group: Group,
    frame: Bytes,
    place: Option<(ConversationId, Seq)>,
    sheddable: bool,
) -> Delivery {
    let topic = Topic::Conversation;
    Delivery::new(group, Payload::Frame { frame, topic, place, except: None, sheddable })
}
