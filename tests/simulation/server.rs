//! The real server on simulated sockets: shards, workers, queues, gate and channel layer, and the threads' waits as data.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fortifun_realtime::auth::addresses::Addresses;
use fortifun_realtime::auth::{Rate, Verifier};
use fortifun_realtime::channel::memory::MemoryLayer;
use fortifun_realtime::channel::{Delivery, Sink};
use fortifun_realtime::chat::{ChatLimits, Directory};
use fortifun_realtime::conn::ConnLimits;
use fortifun_realtime::conn::outbound::OutboundLimits;
use fortifun_realtime::gate::Gate;
use fortifun_realtime::ids::{NodeId, ShardId};
use fortifun_realtime::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, SETTLE_AGAIN_MS};
use fortifun_realtime::metrics::Registry;
use fortifun_realtime::protocol::http::cors;
use fortifun_realtime::protocol::http::host::AllowedHosts;
use fortifun_realtime::protocol::{http, ws};
use fortifun_realtime::shard::Shard;
use fortifun_realtime::shard::inbox::{Inbox, Note, inbox_of};
use fortifun_realtime::shard::node::{Node, Stage};
use fortifun_realtime::store::Lane;
use fortifun_realtime::store::memory::MemoryStore;
use fortifun_realtime::time::Mono;
use fortifun_realtime::wire::Encoder;
use fortifun_realtime::worker::batch::BatchLimits;
use fortifun_realtime::worker::queue::Receiver;
use fortifun_realtime::worker::{Job, Surroundings, Worker, queues_of};

use crate::faults::Mix;
use crate::net::{Clock, Net};
use crate::rng::Rng;
use crate::sim_io::{Bell, SimIo};
use crate::store::{FaultyStore, Log};

pub(crate) const SECRET: &[u8] = b"a secret of the simulation, 32 bytes and more";
pub(crate) const TEXT_BYTES: usize = 16 * 1024;
/// Between heartbeats: longer than anything that the end of a run waits for.
pub(crate) const HEARTBEAT_MS: u64 = 25_000;
pub(crate) const CLOSE_MS: u64 = 5_000;

pub(crate) struct Server {
    pub(crate) node: Arc<Node>,
    pub(crate) shards: Vec<Option<Turner>>,
    pub(crate) workers: Vec<Hand>,
    pub(crate) layer: Arc<MemoryLayer<Port>>,
    pub(crate) posts: Arc<Mutex<Posts>>,
}

/// A shard and when it runs next.
pub(crate) struct Turner {
    pub(crate) shard: Shard<SimIo>,
    pub(crate) bell: Bell,
    /// When its poll returns though nothing is ready.
    pub(crate) wakes_at: u64,
    /// Its thread is not run before.
    pub(crate) naps_until: u64,
}

/// A worker and when it runs next.
pub(crate) struct Hand {
    worker: Worker,
    queue: Receiver<Job>,
    lane: Lane,
    busy_until: Arc<AtomicU64>,
    /// When it asks again what became of a batch, though nothing waits.
    settles_at: Option<u64>,
}

/// What workers say, in order, while an inbox has no room: a worker that waits for it, as data.
pub(crate) struct Posts {
    /// Which worker runs.
    current: usize,
    waiting: Vec<VecDeque<(usize, Note)>>,
    /// Since when each worker waits for the first of them.
    since: Vec<u64>,
    inboxes: Vec<Inbox>,
    bound: usize,
    clock: Arc<Clock>,
    /// Deliveries and answers that no patience was left for.
    pub(crate) lost: (u64, u64),
}

/// One shard's inbox as the channel layer sees it.
pub(crate) struct Port {
    shard: usize,
    inbox: Inbox,
    posts: Arc<Mutex<Posts>>,
}

impl Sink for Port {
    fn accept(&self, delivery: Arc<Delivery>, patient: bool) {
        if patient {
            self.posts.lock().expect("no panic holds it").say(self.shard, Note::Delivery(delivery));
        } else {
            self.inbox.queue(Note::Delivery(delivery), false);
        }
    }

    fn ring(&self) {
        self.inbox.ring();
    }
}

impl Posts {
    fn say(&mut self, shard: usize, note: Note) {
        let waiting = &mut self.waiting[self.current];
        if waiting.is_empty() && self.inboxes[shard].len() < self.bound {
            self.inboxes[shard].queue(note, false);
        } else {
            if waiting.is_empty() {
                self.since[self.current] = self.clock.ms();
            }
            waiting.push_back((shard, note));
        }
    }

    /// True exactly when `worker` waits for an inbox.
    pub(crate) fn waits(&self, worker: usize) -> bool {
        !self.waiting[worker].is_empty()
    }

    /// Goes on with what waits: into inboxes with room, and past those that had none for too long.
    pub(crate) fn go_on(&mut self, patience_ms: u64) {
        let now = self.clock.ms();
        for (waiting, since) in self.waiting.iter_mut().zip(&mut self.since) {
            while let Some((shard, _)) = waiting.front() {
                let has_room = self.inboxes[*shard].len() < self.bound;
                if !has_room && now < *since + patience_ms {
                    break;
                }
                let (shard, note) = waiting.pop_front().expect("looked at");
                match &note {
                    _ if has_room => {}
                    Note::Answered(_) => self.lost.1 += 1,
                    _ => self.lost.0 += 1,
                }
                // Where there is no room, this is how the inbox learns of the loss.
                self.inboxes[shard].push(note);
                *since = now;
            }
        }
    }

    /// True exactly when [`Posts::go_on`] would do something.
    pub(crate) fn can_go_on(&self, patience_ms: u64) -> bool {
        let now = self.clock.ms();
        self.waiting.iter().zip(&self.since).any(|(waiting, since)| {
            waiting.front().is_some_and(|(shard, _)| {
                self.inboxes[*shard].len() < self.bound || now >= since + patience_ms
            })
        })
    }

    /// When the patience of a worker ends next.
    pub(crate) fn next_at(&self, patience_ms: u64) -> Option<u64> {
        let waits = self.waiting.iter().zip(&self.since).filter(|(waiting, _)| !waiting.is_empty());
        waits.map(|(_, since)| since + patience_ms).min()
    }
}

impl Hand {
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// True exactly when it would do something now, were it not busy.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        !self.is_idle() || self.settles_at.is_some_and(|at| at <= now)
    }

    /// When to look again, after now.
    pub(crate) fn wakes_at(&self, now: u64) -> Option<u64> {
        [Some(self.busy_until()), self.settles_at]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    /// True exactly when it knows the end of every batch.
    pub(crate) fn is_settled(&self) -> bool {
        !self.worker.is_unsettled()
    }

    pub(crate) fn busy_until(&self) -> u64 {
        self.busy_until.load(Ordering::Relaxed)
    }

    pub(crate) fn naps_until(&self, at: u64) {
        self.busy_until.fetch_max(at, Ordering::Relaxed);
    }
}

impl Server {
    pub(crate) fn start(
        mix: &Mix,
        net: &Rc<RefCell<Net>>,
        memory: &MemoryStore,
        log: &Arc<Mutex<Log>>,
        rng: &mut Rng,
    ) -> Self {
        let clock = Arc::clone(&net.borrow().clock);
        net.borrow_mut().listen(mix.shards);
        let metrics = Arc::new(Registry::new());
        let bells: Vec<Bell> = (0..mix.shards).map(|_| Bell::default()).collect();
        let (inboxes, notes): (Vec<_>, Vec<_>) = bells
            .iter()
            .map(|bell| inbox_of(mix.inbox_notes, Box::new(bell.clone()), metrics.block()))
            .unzip();
        let workers = mix.write_workers + mix.read_workers;
        let posts = Arc::new(Mutex::new(Posts {
            current: 0,
            waiting: (0..workers).map(|_| VecDeque::new()).collect(),
            since: vec![0; workers],
            inboxes: inboxes.clone(),
            bound: mix.inbox_notes,
            clock: Arc::clone(&clock),
            lost: (0, 0),
        }));
        let port = |(shard, inbox): (usize, &Inbox)| Port {
            shard,
            inbox: inbox.clone(),
            posts: Arc::clone(&posts),
        };
        let layer = Arc::new(MemoryLayer::new(inboxes.iter().enumerate().map(port).collect()));
        let (queues, workload) = queues_of(mix.write_workers, mix.write_queue, mix.read_queue);
        let encoder = Encoder::new("https://media.example/");
        let chat = chat_limits(mix);
        let node = Arc::new(Node {
            id: NodeId(7 << 96),
            gate: Gate {
                verifier: Verifier::new(&[SECRET], None, None),
                hosts: AllowedHosts::new(["localhost"]),
                origins: Vec::new(),
                is_echo_on: false,
            },
            encoder: encoder.clone(),
            cors: cors::Policy::default(),
            welcome: "Vous avez matché!".into(),
            page: None,
            directory: Directory::new(chat),
            addresses: Addresses::new(Rate::UNLIMITED, mix.connections_per_ip, 1),
            channel: layer.clone(),
            queues,
            inboxes,
            conn: conn_limits(mix),
            write_delay_ms: mix.write_delay_ms,
            chat,
            echo: conn_limits(mix),
            trusted_proxies: Vec::new(),
            connections_per_shard: 1_000,
            metrics: Arc::clone(&metrics),
            lease_s: 30,
            stage: Stage::default(),
        });
        let shards = (0..).zip(bells).zip(notes).map(|((shard, bell), notes)| {
            let io = SimIo::new(Rc::clone(net), usize::from(shard), bell.clone());
            let shard = Shard::new(ShardId(shard), io, Arc::clone(&node), notes);
            Some(Turner { shard, bell, wakes_at: clock.ms(), naps_until: 0 })
        });
        let shards = shards.collect();
        let write = workload.write.into_iter().map(|queue| (queue, Lane::Write));
        let read = (0..mix.read_workers).map(|_| (workload.read.clone(), Lane::Read));
        let workers = write
            .chain(read)
            .map(|(queue, lane)| {
                let store = FaultyStore::new(memory.clone(), Arc::clone(log), rng.fork());
                let busy_until = Arc::new(AtomicU64::new(0));
                let around = Surroundings {
                    channel: layer.clone(),
                    encoder: encoder.clone(),
                    answer: {
                        let posts = Arc::clone(&posts);
                        Box::new(move |answered| {
                            let shard = usize::from(answered.to.shard.0);
                            let note = Note::Answered(Box::new(answered));
                            posts.lock().expect("no panic holds it").say(shard, note);
                        })
                    },
                    ring: {
                        let posts = Arc::clone(&posts);
                        Box::new(move || {
                            let posts = posts.lock().expect("no panic holds it");
                            posts.inboxes.iter().for_each(Inbox::ring);
                        })
                    },
                    report: Box::new(|_| {}),
                    clock: {
                        let clock = Arc::clone(&clock);
                        Box::new(move || clock.now())
                    },
                    pause: {
                        let (clock, busy_until) = (Arc::clone(&clock), Arc::clone(&busy_until));
                        Box::new(move |ms| {
                            let until = busy_until.load(Ordering::Relaxed).max(clock.ms()) + ms;
                            busy_until.store(until, Ordering::Relaxed);
                        })
                    },
                    metrics: metrics.block(),
                };
                let batch = BatchLimits { requests: mix.batch, age_ms: 0 };
                Hand {
                    worker: Worker::new(Box::new(store), batch, around),
                    queue,
                    lane,
                    busy_until,
                    settles_at: None,
                }
            })
            .collect();
        Self { node, shards, workers, layer, posts }
    }

    /// One batch, or one read, of `worker`.
    pub(crate) fn work(&mut self, worker: usize, max: usize, now: u64) {
        self.posts.lock().expect("no panic holds it").current = worker;
        let Hand { worker, queue, lane, settles_at, .. } = &mut self.workers[worker];
        worker.step(queue, *lane, max);
        *settles_at = worker.is_unsettled().then_some(now + SETTLE_AGAIN_MS);
    }

    /// True exactly when nothing is on its way between threads.
    pub(crate) fn is_quiet(&self) -> bool {
        let posts = self.posts.lock().expect("no panic holds it");
        self.node.queues.depths() == (0, 0)
            && self.workers.iter().all(Hand::is_settled)
            && self.node.inboxes.iter().all(Inbox::is_empty)
            && posts.waiting.iter().all(VecDeque::is_empty)
    }

    /// True exactly when something waits for the end of a group's window.
    pub(crate) fn has_late(&mut self) -> bool {
        let turners = self.shards.iter_mut().flatten();
        turners
            .flat_map(|turner| turner.shard.lines_mut())
            .any(|(_, line)| line.flags.late && !line.conn.outbound().is_empty())
    }

    /// True exactly when no shard turns any more.
    pub(crate) fn is_done(&self) -> bool {
        self.shards.iter().all(Option::is_none)
    }

    /// True exactly when every connection from every address was given back.
    pub(crate) fn has_no_open_address(&self, mix: &Mix, users: i64) -> bool {
        (0..=users).all(|user| {
            let address = crate::net::address(user);
            let admit = |_| self.node.addresses.admit(address, Mono(u64::MAX / 2_000_000));
            let keys: Vec<_> = (0..mix.connections_per_ip).map_while(|n| admit(n).ok()).collect();
            let count = keys.len();
            for key in keys {
                self.node.addresses.release(key, Mono(0));
            }
            count == mix.connections_per_ip as usize
        })
    }
}

fn conn_limits(mix: &Mix) -> ConnLimits {
    ConnLimits {
        http: http::Limits {
            head_bytes: HEAD_BYTES_MAX,
            headers: HEADERS_MAX,
            target_bytes: 4 * 1024,
            body_bytes: BODY_BYTES_MAX,
        },
        ws: ws::Limits { text_bytes: TEXT_BYTES, binary_bytes: TEXT_BYTES, fragments: 64 },
        outbound: OutboundLimits {
            hard_bytes: mix.hard_bytes,
            soft_bytes: mix.soft_bytes,
            soft_ms: 10_000,
        },
        request_ms: 10_000,
        idle_ms: 60_000,
        decide_ms: 10_000,
        heartbeat_ms: HEARTBEAT_MS,
        close_ms: CLOSE_MS,
    }
}

fn chat_limits(mix: &Mix) -> ChatLimits {
    let rate = |per_second, burst| {
        if mix.has_rates { Rate::new(per_second, burst) } else { Rate::UNLIMITED }
    };
    ChatLimits {
        commands: rate(20.0, 40),
        messages: rate(5.0, 10),
        typing: rate(1.0, 3),
        receipts: rate(3.0, 6),
        connections_per_user: mix.connections_per_user,
        text_bytes: TEXT_BYTES,
        heartbeat_ms: HEARTBEAT_MS,
    }
}
