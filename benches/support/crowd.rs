//! A real shard whose clients are in memory, with a worker and a store that are stepped by the caller's thread.
//!
//! What the kernel takes is not part of what is measured over it: a send copies nothing, and a receive copies what a client has
//! said.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fortifun_realtime::auth::addresses::Addresses;
use fortifun_realtime::auth::{Rate, Verifier, jwt};
use fortifun_realtime::channel::memory::MemoryLayer;
use fortifun_realtime::channel::{ChannelLayer, Delivery, Payload};
use fortifun_realtime::chat::{ChatLimits, Directory};
use fortifun_realtime::conn::ConnLimits;
use fortifun_realtime::conn::outbound::OutboundLimits;
use fortifun_realtime::gate::Gate;
use fortifun_realtime::ids::{ConnKey, ConversationId, NodeId, Seq, ShardId, UserId};
use fortifun_realtime::metrics::Registry;
use fortifun_realtime::model::{Group, Topic};
use fortifun_realtime::protocol::http::cors;
use fortifun_realtime::protocol::http::host::AllowedHosts;
use fortifun_realtime::protocol::ws::Opcode;
use fortifun_realtime::protocol::ws::encoder::client_frame;
use fortifun_realtime::protocol::{http, ws};
use fortifun_realtime::shard::Shard;
use fortifun_realtime::shard::inbox::{Note, Wake, inbox};
use fortifun_realtime::shard::io::{AcceptError, Io, Ready};
use fortifun_realtime::shard::node::{Node, Stage};
use fortifun_realtime::store::memory::MemoryStore;
use fortifun_realtime::store::{Lane, Request, Store as _};
use fortifun_realtime::time::{Mono, Now, Timestamp};
use fortifun_realtime::wire::Encoder;
use fortifun_realtime::worker::batch::BatchLimits;
use fortifun_realtime::worker::{Surroundings, Worker, Workload, queues};

const SECRET: &[u8] = b"a secret of the benches, 32 bytes and more";
const NOW: Now = Now { mono: Mono(1_000), wall: Timestamp(1_704_067_200_000_000) };
const CONVERSATION: ConversationId = ConversationId(1);

/// See the module. The clock stands still, so no timer fires.
pub(crate) struct Crowd {
    shard: Shard<Clients>,
    worker: Worker,
    workload: Workload,
    channel: Arc<dyn ChannelLayer>,
    /// Of the newest message that was published past the store.
    seq: i64,
}

/// Where the clients of a crowd are connected to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// One conversation; its two users have every other client each.
    Conversation,
    /// The socket that sends back what it gets.
    Echo,
}

impl Crowd {
    /// `count` clients, 0, 1, 2 …, whose handshakes are over.
    pub(crate) fn new(count: usize, door: Door) -> Self {
        let metrics = Arc::new(Registry::new());
        let (inbox, notes) = inbox(Box::new(Silent), metrics.block());
        let channel: Arc<dyn ChannelLayer> = Arc::new(MemoryLayer::new(vec![inbox.clone()]));
        let (queues, workload) = queues(1);
        let encoder = Encoder::new("/media/");
        let chat = chat_limits(count);
        let node = Node {
            id: NodeId(1),
            gate: Gate {
                verifier: Verifier::new(&[SECRET], None, None),
                hosts: AllowedHosts::new(["localhost"]),
                origins: Vec::new(),
                is_echo_on: door == Door::Echo,
            },
            encoder: encoder.clone(),
            cors: cors::Policy::default(),
            welcome: "".into(),
            page: None,
            directory: Directory::new(chat),
            addresses: Addresses::new(Rate::UNLIMITED, u32::MAX, 1),
            channel: Arc::clone(&channel),
            queues,
            inboxes: vec![inbox.clone()],
            conn: conn_limits(),
            write_delay_ms: 0,
            chat,
            echo: conn_limits(),
            trusted_proxies: Vec::new(),
            lease_s: 30,
            connections_per_shard: count,
            metrics: Arc::clone(&metrics),
            stage: Stage::default(),
        };
        let worker = Worker::new(
            Box::new(talk()),
            BatchLimits { requests: 256, age_ms: 0 },
            Surroundings {
                channel: Arc::clone(&channel),
                encoder,
                answer: Box::new(move |answered| {
                    inbox.push(Note::Answered(Box::new(answered)));
                }),
                ring: Box::new(|| {}),
                report: Box::new(|_| {}),
                clock: Box::new(|| NOW),
                pause: Box::new(|_| {}),
                metrics: metrics.block(),
            },
        );
        let shard = Shard::new(ShardId(0), Clients::new(count, door), Arc::new(node), notes);
        let mut crowd = Self { shard, worker, workload, channel, seq: 1 };
        crowd.turn();
        while crowd.work() || crowd.shard.io_mut().keys.len() < count {
            crowd.turn();
        }
        // A connection is read from in the turn after the one that accepts it.
        crowd.turn();
        while crowd.work() {
            crowd.turn();
        }
        crowd.turn();
        crowd.take_sent();
        assert!(crowd.is_all_sent());
        let members = crowd.shard.core().groups.members(Group::Conversation(CONVERSATION)).len();
        assert_eq!(members, if door == Door::Conversation { count } else { 0 });
        crowd
    }

    /// Has `client` send `text`: the next turn finds it ready to be read.
    pub(crate) fn say(&mut self, client: usize, text: &[u8]) {
        let clients = self.shard.io_mut();
        client_frame(Opcode::Text, true, [0x37, 0xfa, 0x21, 0x3d], text, &mut clients.said[client]);
        clients.speaking.push(client);
    }

    /// Publishes `frame` to the conversation, as if it held the next message.
    pub(crate) fn publish(&mut self, frame: &Bytes) {
        self.seq += 1;
        let payload = Payload::Frame {
            frame: frame.clone(),
            topic: Topic::Conversation,
            place: Some((CONVERSATION, Seq(self.seq))),
            except: None,
            sheddable: false,
        };
        self.channel.publish(Delivery::new(Group::Conversation(CONVERSATION), payload), true);
    }

    /// One turn of the shard.
    pub(crate) fn turn(&mut self) {
        self.shard.turn();
    }

    /// Does what waits in the workers' queues. False when nothing did.
    pub(crate) fn work(&mut self) -> bool {
        let mut is_busy = self.worker.step(&self.workload.write[0], Lane::Write, 256);
        while self.worker.step(&self.workload.read, Lane::Read, 1) {
            is_busy = true;
        }
        is_busy
    }

    /// Bytes that have left since this was last asked.
    pub(crate) fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.shard.io_mut().sent_bytes)
    }

    /// True exactly when nothing waits in the outbound of any client.
    pub(crate) fn is_all_sent(&mut self) -> bool {
        self.shard.lines_mut().all(|(_, line)| line.conn.outbound().is_empty())
    }
}

/// A `message` command of usual length; `number` makes its `client_id`.
pub(crate) fn command(number: u64) -> String {
    format!(
        r#"{{"type":"message","content":"Hello, how are you? See you at eight?","client_id":"01956f3c-7b2e-7000-8000-{number:012}"}}"#
    )
}

/// The clients, and what the shard asks of the system. They take whatever they are sent.
struct Clients {
    /// By client: what it has said, and nobody has received yet.
    said: Vec<Vec<u8>>,
    /// By client, of those that were accepted.
    keys: Vec<ConnKey>,
    /// Who has said something since the last poll.
    speaking: Vec<usize>,
    accepted: usize,
    sent_bytes: u64,
}

impl Clients {
    fn new(count: usize, door: Door) -> Self {
        let said = (0..count).map(|client| handshake(door, UserId(1 + client as i64 % 2)));
        let (keys, speaking) = (Vec::new(), Vec::new());
        Self { said: said.collect(), keys, speaking, accepted: 0, sent_bytes: 0 }
    }
}

/// By its number.
struct Client(usize);

impl Io for Clients {
    type Socket = Client;

    fn poll(&mut self, _: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        if self.accepted < self.said.len() {
            ready.push(Ready::Listener);
        }
        ready.extend(self.speaking.drain(..).map(|client| Ready::Conn {
            key: self.keys[client],
            readable: true,
            ended: false,
            writable: false,
        }));
        Ok(())
    }

    fn now(&mut self) -> Now {
        NOW
    }

    fn accept(&mut self) -> Result<(Client, IpAddr), AcceptError> {
        if self.accepted == self.said.len() {
            return Err(AcceptError::Empty);
        }
        self.accepted += 1;
        Ok((Client(self.accepted - 1), Ipv4Addr::LOCALHOST.into()))
    }

    fn register(&mut self, client: &mut Client, key: ConnKey) -> io::Result<()> {
        assert_eq!(client.0, self.keys.len(), "they are registered as they are accepted");
        self.keys.push(key);
        // As epoll does: what is ready when it is registered is told.
        self.speaking.push(client.0);
        Ok(())
    }

    fn recv(&mut self, client: &mut Client, buf: &mut [u8]) -> io::Result<usize> {
        let said = &mut self.said[client.0];
        if said.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = said.len();
        buf[..count].copy_from_slice(said);
        said.clear();
        Ok(count)
    }

    fn send(&mut self, _: &mut Client, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = slices.iter().map(|slice| slice.len()).sum::<usize>();
        self.sent_bytes += count as u64;
        Ok(count)
    }

    fn shut(&mut self, _: &mut Client) {}

    fn close(&mut self, _: Client) {}

    fn stop_listening(&mut self) {}

    fn random(&mut self) -> u64 {
        1
    }
}

/// The caller turns the shard itself.
struct Silent;

impl Wake for Silent {
    fn wake(&self) {}
}

/// Two users and their conversation.
fn talk() -> MemoryStore {
    let mut store = MemoryStore::new();
    let user = |name: &str| Request::AddUser {
        username: name.to_owned(),
        first_name: String::new(),
        last_name: String::new(),
    };
    let open = Request::Open {
        creator: UserId(1),
        participant: UserId(2),
        content: "first".to_owned(),
        client_id: None,
    };
    let outcomes = store.commit(&[user("one"), user("other"), open], NOW.wall).expect("commits");
    assert!(outcomes.iter().all(Result::is_ok));
    store
}

fn handshake(door: Door, user: UserId) -> Vec<u8> {
    let path = match door {
        Door::Conversation => format!("/ws/conversations/{CONVERSATION}/"),
        Door::Echo => "/_echo".to_owned(),
    };
    let token = jwt::issue(SECRET, user, 3_600, NOW.wall, 1);
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    head.into_bytes()
}

fn conn_limits() -> ConnLimits {
    ConnLimits {
        http: http::Limits {
            head_bytes: 8_192,
            headers: 64,
            target_bytes: 4_096,
            body_bytes: 1_024,
        },
        ws: ws::Limits { text_bytes: 65_536, binary_bytes: 65_536, fragments: 64 },
        outbound: OutboundLimits { hard_bytes: 1 << 20, soft_bytes: 1 << 18, soft_ms: 10_000 },
        request_ms: 10_000,
        idle_ms: 60_000,
        decide_ms: 10_000,
        heartbeat_ms: 25_000,
        close_ms: 5_000,
    }
}

fn chat_limits(connections_per_user: usize) -> ChatLimits {
    ChatLimits {
        commands: Rate::UNLIMITED,
        messages: Rate::UNLIMITED,
        typing: Rate::UNLIMITED,
        receipts: Rate::UNLIMITED,
        connections_per_user,
        text_bytes: 65_536,
        heartbeat_ms: 25_000,
    }
}
