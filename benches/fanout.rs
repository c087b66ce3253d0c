//! One message to a thousand sessions of one conversation, in one turn of a real shard: from its inbox until the outbound of
//! every session is empty again. What the kernel takes is not part of it.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
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
use fortifun_realtime::worker::{Surroundings, Worker, queues};

const SESSIONS: u32 = 1_000;
const SECRET: &[u8] = b"a secret of the benches, 32 bytes and more";
const NOW: Now = Now { mono: Mono(1_000), wall: Timestamp(1_704_067_200_000_000) };
const CONVERSATION: ConversationId = ConversationId(1);

/// Clients that have sent a handshake, take whatever they are sent, and say nothing more.
struct BenchIo {
    handshake: Vec<u8>,
    waiting: u32,
    sent_bytes: u64,
}

/// True until the handshake was received.
struct Client(bool);

impl Io for BenchIo {
    type Socket = Client;

    fn poll(&mut self, _: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        if self.waiting > 0 {
            ready.push(Ready::Listener);
        }
        Ok(())
    }

    fn now(&mut self) -> Now {
        NOW
    }

    fn accept(&mut self) -> Result<(Client, IpAddr), AcceptError> {
        self.waiting = self.waiting.checked_sub(1).ok_or(AcceptError::Empty)?;
        Ok((Client(true), Ipv4Addr::LOCALHOST.into()))
    }

    fn register(&mut self, _: &mut Client, _: ConnKey) -> io::Result<()> {
        Ok(())
    }

    fn recv(&mut self, client: &mut Client, buf: &mut [u8]) -> io::Result<usize> {
        if !std::mem::take(&mut client.0) {
            return Err(ErrorKind::WouldBlock.into());
        }
        buf[..self.handshake.len()].copy_from_slice(&self.handshake);
        Ok(self.handshake.len())
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

/// The bench turns the shard itself.
struct Silent;

impl Wake for Silent {
    fn wake(&self) {}
}

fn fanout(criterion: &mut Criterion) {
    let (mut shard, channel) = crowd();
    let mut seq = 1;
    let mut group = criterion.benchmark_group("fanout");
    group.throughput(Throughput::Elements(SESSIONS.into()));
    for (name, len) in [("message_400", 400), ("message_4k", 4_096)] {
        let frame = Bytes::from(vec![b'x'; len]);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    seq += 1;
                    message(&frame, seq)
                },
                |delivery| {
                    let before = shard.io_mut().sent_bytes;
                    channel.publish(delivery, true);
                    shard.turn();
                    let sent = shard.io_mut().sent_bytes - before;
                    assert_eq!(sent, u64::from(SESSIONS) * len as u64, "all of it has left");
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn message(frame: &Bytes, seq: i64) -> Delivery {
    let payload = Payload::Frame {
        frame: frame.clone(),
        topic: Topic::Conversation,
        place: Some((CONVERSATION, Seq(seq))),
        except: None,
        sheddable: false,
    };
    Delivery::new(Group::Conversation(CONVERSATION), payload)
}

/// A shard with the sessions of one conversation, and the channel layer that leads to it.
fn crowd() -> (Shard<BenchIo>, Arc<dyn ChannelLayer>) {
    let metrics = Arc::new(Registry::new());
    let (inbox, notes) = inbox(Box::new(Silent), metrics.block());
    let channel: Arc<dyn ChannelLayer> = Arc::new(MemoryLayer::new(vec![inbox.clone()]));
    let (queues, workload) = queues(1);
    let encoder = Encoder::new("/media/");
    let chat = chat_limits();
    let node = Node {
        id: NodeId(1),
        gate: Gate {
            verifier: Verifier::new(&[SECRET], None, None),
            hosts: AllowedHosts::new(["localhost"]),
            origins: Vec::new(),
            is_echo_on: false,
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
        chat,
        echo: conn_limits(),
        trusted_proxies: Vec::new(),
        lease_s: 30,
        connections_per_shard: SESSIONS as usize,
        metrics: Arc::clone(&metrics),
        stage: Stage::default(),
    };
    let mut worker = Worker::new(
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
    let io = BenchIo { handshake: handshake(), waiting: SESSIONS, sent_bytes: 0 };
    let mut shard = Shard::new(ShardId(0), io, Arc::new(node), notes);
    let group = Group::Conversation(CONVERSATION);
    let mut is_busy = true;
    while is_busy || shard.io_mut().waiting > 0 {
        shard.turn();
        is_busy = worker.step(&workload.read, Lane::Read, 1);
        is_busy |= worker.step(&workload.write[0], Lane::Write, 256);
        while worker.step(&workload.read, Lane::Read, 1) {}
    }
    shard.turn();
    assert_eq!(shard.core().groups.members(group).len(), SESSIONS as usize);
    (shard, channel)
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

fn handshake() -> Vec<u8> {
    let token = jwt::issue(SECRET, UserId(1), 3_600, NOW.wall, 1);
    let head = format!(
        "GET /ws/conversations/{CONVERSATION}/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
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

fn chat_limits() -> ChatLimits {
    ChatLimits {
        commands: Rate::UNLIMITED,
        messages: Rate::UNLIMITED,
        typing: Rate::UNLIMITED,
        receipts: Rate::UNLIMITED,
        connections_per_user: SESSIONS as usize,
        text_bytes: 65_536,
        heartbeat_ms: 25_000,
    }
}

criterion_group!(benches, fanout);
criterion_main!(benches);
