//! One run: a seed becomes a storm, the storm passes, everybody gets what is theirs, everybody leaves, nothing is left.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use fortifun_realtime::ids::{ConversationId, UserId};
use fortifun_realtime::metrics::Counter;
use fortifun_realtime::shard::inbox::Note;
use fortifun_realtime::store::memory::MemoryStore;
use fortifun_realtime::store::{Request, Store};
use fortifun_realtime::worker::{Job, Ticket};

use crate::caller::Caller;
use crate::device::{Device, Kind, Temper};
use crate::faults::{End, Mix};
use crate::net::{Clock, Net};
use crate::rng::Rng;
use crate::scene::Scene;
use crate::server::{CLOSE_MS, Server};
use crate::store::{FaultyStore, Log, open};
use crate::{invariants, panics};

pub(crate) struct World {
    pub(crate) mix: Mix,
    rng: Rng,
    pub(crate) scene: Scene,
    pub(crate) server: Server,
    pub(crate) devices: Vec<Device>,
    callers: Vec<Caller>,
    /// The note that begins the drain is still to be pushed to these shards.
    to_drain: Vec<usize>,
    steps: u64,
}

/// What became of a run.
pub(crate) struct Report {
    pub(crate) hash: u64,
    pub(crate) counts: BTreeMap<String, u64>,
}

const DRAIN_MS: u64 = 3_000;
/// Steps in one millisecond.
const STEPS_MAX: u64 = 20_000;

/// Runs a seed; panics where an invariant does not hold.
pub(crate) fn run(seed: u64, is_loud: bool) -> Report {
    let mut rng = Rng::new(seed);
    let mix = Mix::draw(&mut rng);
    let mut world = World::new(mix, rng, is_loud);
    world.scene.say(|| format!("{:#?}", world.mix));
    world.storm();
    world.calm();
    world.farewell();
    let counts = world.scene.counts.take();
    let hash = world.scene.net.borrow().trace.hash();
    Report { hash, counts }
}

impl World {
    fn new(mix: Mix, mut rng: Rng, is_loud: bool) -> Self {
        let clock = Arc::new(Clock::default());
        let net = Net::new(Arc::clone(&clock), mix.net.clone(), rng.fork());
        let net = Rc::new(RefCell::new(net));
        let memory = MemoryStore::new();
        let log = Arc::new(Mutex::new(Log::default()));
        populate(&mix, &memory, &log, &clock, &mut rng);
        open(&log).faults = mix.store.clone();
        let server = Server::start(&mix, &net, &memory, &log, &mut rng);
        let scene = Scene {
            net,
            clock,
            log,
            memory,
            users: mix.users as i64,
            token_s: mix.token_s,
            blocks: mix.blocks,
            leaves: mix.leaves,
            opens: mix.opens,
            is_halting: mix.pace.freezes > 0 || mix.pace.shard_naps > 0 || mix.pace.worker_naps > 0,
            is_loud,
            is_calm: false,
            calm_since: 0,
            has_lost: Cell::new(false),
            told: RefCell::default(),
            acknowledged: RefCell::default(),
            counts: RefCell::default(),
        };
        let devices = (0..mix.devices).map(|name| device(name, &mix, &mut rng)).collect();
        let callers = (0..3).map(|name| {
            let user = rng.between(1, mix.users as u64) as i64;
            Caller::new(name, user, rng.fork())
        });
        let callers = callers.collect();
        Self { mix, rng, scene, server, devices, callers, to_drain: Vec::new(), steps: 0 }
    }

    // The three parts of a run.

    fn storm(&mut self) {
        let middle = self.mix.storm_ms / 2;
        self.run_until(middle);
        match self.mix.end {
            End::Stays => {}
            End::Drains => self.drain(),
            End::Dies => self.restart(),
        }
        self.run_until(self.mix.storm_ms);
    }

    fn calm(&mut self) {
        self.mix.heal();
        self.scene.net.borrow_mut().faults = self.mix.net.clone();
        open(&self.scene.log).faults = self.mix.store.clone();
        self.scene.is_calm = true;
        self.scene.calm_since = self.scene.ms();
        let begin = self.scene.ms();
        let blocked = open(&self.scene.log).blocked_at.clone();
        for (blocker, blocked) in blocked.into_keys() {
            self.ask(&Request::Unblock { blocker, blocked });
        }
        if self.rng.chance(500) {
            // Another node took this one for dead.
            self.scene.memory.reset_presence();
            open(&self.scene.log).is_online.clear();
        }
        self.run_until(begin + 25_000);
        // Now everybody who missed something learns of it.
        let participants = open(&self.scene.log).participants.clone();
        for (id, members) in participants {
            if self.scene.is_live(id) {
                let sender = *members.first().expect("somebody takes part");
                self.ask(&Request::Append {
                    conversation: ConversationId(id),
                    sender: UserId(sender),
                    content: "the last word".to_owned(),
                    attachment: None,
                    client_id: None,
                });
            }
        }
        self.run_until(begin + 40_000);
        // What was said a moment ago in a busy group is late, and leaves when its window ends.
        for _ in 0..10 {
            if self.server.has_late() {
                self.run_until(self.scene.ms() + self.mix.write_delay_ms);
            }
        }
        invariants::settled(self);
    }

    fn farewell(&mut self) {
        for device in &mut self.devices {
            device.leave(&self.scene);
        }
        for caller in &mut self.callers {
            caller.leave(&self.scene);
        }
        // Whoever says goodbye is believed at once; who owes the other half of it has a little time.
        let begin = self.scene.ms();
        self.run_until(begin + CLOSE_MS + 1_000);
        invariants::deserted(self);
        self.run_until(begin + CLOSE_MS + 45_000);
        invariants::forgotten(self);
    }

    pub(crate) fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.callers.iter()
    }

    fn ask(&mut self, request: &Request) {
        let job = || Job { request: request.clone(), from: None, ticket: Ticket::Nobody };
        while self.server.node.queues.submit(job()).is_err() {
            self.step(u64::MAX);
        }
    }

    fn drain(&mut self) {
        self.server.node.stage.drain();
        self.to_drain = (0..self.mix.shards).collect();
        let begin = self.scene.ms();
        while !self.server.is_done() {
            self.step(begin + 120_000);
            let naps = self.mix.pace.shard_naps > 0 || self.mix.pace.freezes > 0;
            let allowed = DRAIN_MS + CLOSE_MS + if naps { 100_000 } else { 8_000 };
            self.scene
                .check(self.scene.ms() < begin + allowed, || "the drain takes too long".to_owned());
        }
        self.server.node.stage.stop();
        while !self.server.workers.iter().all(crate::server::Hand::is_idle) {
            self.step(u64::MAX);
        }
        self.restart();
    }

    /// The process is gone, and another begins on the same store.
    fn restart(&mut self) {
        self.look_for_losses();
        self.scene.has_lost.set(true);
        self.scene.memory.reset_presence();
        open(&self.scene.log).is_online.clear();
        let Self { mix, scene, rng, .. } = self;
        self.server = Server::start(mix, &scene.net, &scene.memory, &scene.log, rng);
    }

    /// Notes whether anything that may be lost was lost.
    fn look_for_losses(&self) {
        let metrics = &self.server.node.metrics;
        let lost = metrics.counter(Counter::InboxDropped) + metrics.counter(Counter::ShedEvents);
        if lost > 0 {
            self.scene.has_lost.set(true);
        }
        let posts = self.server.posts.lock().expect("no panic holds it");
        self.scene.count_many("lost deliveries", posts.lost.0);
        self.scene.count_many("lost answers", posts.lost.1);
    }

    // Time and threads.

    fn run_until(&mut self, end: u64) {
        while self.scene.ms() < end {
            self.step(end);
        }
        self.look_for_losses();
    }

    /// One thread or client does one thing; or time passes, until `end` at most.
    fn step(&mut self, end: u64) {
        self.push_drains();
        let actors = self.ready();
        if actors.is_empty() {
            self.steps = 0;
            return self.pass(end);
        }
        self.steps += 1;
        self.scene.check(self.steps < STEPS_MAX, || format!("busy for ever: {actors:?}"));
        match self.rng.pick(&actors) {
            Actor::Shard(shard) => self.turn(shard),
            Actor::Worker(worker) => self.work(worker),
            Actor::Posts => {
                let mut posts = self.server.posts.lock().expect("no panic holds it");
                posts.go_on(self.mix.pace.patience_ms);
            }
            Actor::Device(at) => self.devices[at].run(&self.scene),
            Actor::Caller(at) => self.callers[at].run(&self.scene),
        }
        let panics = panics::take();
        self.scene.check(panics.is_empty(), || format!("the server panicked: {panics:?}"));
    }

    fn ready(&mut self) -> Vec<Actor> {
        let now = self.scene.ms();
        let net = self.scene.net.borrow();
        let mut actors = Vec::new();
        for (at, turner) in self.server.shards.iter().enumerate() {
            let Some(turner) = turner.as_ref().filter(|turner| turner.naps_until <= now) else {
                continue;
            };
            let is_due = turner.wakes_at <= now || turner.bell.rings() || net.is_ready(at);
            if is_due || self.rng.chance(self.mix.pace.spurious / 10) {
                actors.push(Actor::Shard(at));
            }
        }
        drop(net);
        let posts = self.server.posts.lock().expect("no panic holds it");
        for (at, hand) in self.server.workers.iter().enumerate() {
            if hand.is_due(now) && hand.busy_until() <= now && !posts.waits(at) {
                actors.push(Actor::Worker(at));
            }
        }
        if posts.can_go_on(self.mix.pace.patience_ms) {
            actors.push(Actor::Posts);
        }
        drop(posts);
        let devices = self.devices.iter().enumerate();
        actors.extend(
            devices
                .filter(|(_, device)| device.is_ready(&self.scene))
                .map(|(at, _)| Actor::Device(at)),
        );
        let callers = self.callers.iter().enumerate();
        actors.extend(
            callers
                .filter(|(_, caller)| caller.is_ready(&self.scene))
                .map(|(at, _)| Actor::Caller(at)),
        );
        actors
    }

    /// Nobody has anything to do: time passes until somebody has.
    fn pass(&mut self, end: u64) {
        let now = self.scene.ms();
        let shards = self.server.shards.iter().flatten();
        let shards =
            shards.flat_map(|turner| [turner.wakes_at.max(turner.naps_until), turner.naps_until]);
        let workers = self.server.workers.iter().filter_map(|hand| hand.wakes_at(now));
        let devices = self.devices.iter().filter_map(|device| device.wakes_at(&self.scene));
        let callers =
            self.callers.iter().filter(|caller| !caller.is_gone).map(|caller| caller.next_at);
        let posts = self.server.posts.lock().expect("no panic holds it");
        let posts_at = posts.next_at(self.mix.pace.patience_ms);
        drop(posts);
        let next = shards
            .chain(workers)
            .chain(devices)
            .chain(callers)
            .chain(posts_at)
            .chain(self.scene.net.borrow().next_at())
            .filter(|at| *at > now)
            .min();
        let mut next = next.unwrap_or(now + 1_000);
        if self.rng.chance(self.mix.pace.freezes) && self.rng.chance(100) {
            next += self.rng.between(1_000, 40_000);
        }
        if self.rng.chance(self.mix.pace.clock_jumps) && self.rng.chance(100) {
            self.scene.clock.jump(self.rng.between(1_000, 120_000) as i64);
        }
        self.scene.clock.set(next.min(end.max(now + 1)));
        self.scene.net.borrow_mut().advance();
    }

    fn turn(&mut self, at: usize) {
        let now = self.scene.ms();
        let turner = self.server.shards[at].as_mut().expect("only shards that turn are ready");
        let goes_on = turner.shard.turn();
        turner.wakes_at = now + turner.shard.timeout().as_millis() as u64;
        if self.rng.chance(self.mix.pace.shard_naps) {
            turner.naps_until = now + self.rng.between(100, 3_000);
        } else if self.mix.pace.shard_ms > 0 {
            turner.naps_until = now + self.rng.below(self.mix.pace.shard_ms + 1);
        }
        invariants::bounds(&self.mix, &self.scene, turner);
        self.scene.count_many("stalled", turner.shard.core().stalled.len() as u64);
        if !goes_on {
            self.scene.net.borrow_mut().end_of_shard(at);
            self.server.shards[at] = None;
        }
    }

    fn work(&mut self, at: usize) {
        let now = self.scene.ms();
        let max = 1 + self.rng.index(self.mix.batch);
        self.server.work(at, max, now);
        if !self.server.workers[at].is_settled() {
            self.scene.count("unsettled");
        }
        let pace = &self.mix.pace;
        let nap = if self.rng.chance(pace.worker_naps) {
            self.rng.between(500, 4_000)
        } else {
            self.rng.below(pace.worker_ms + 1)
        };
        self.server.workers[at].naps_until(now + nap);
    }

    fn push_drains(&mut self) {
        let Self { to_drain, server, mix, .. } = self;
        to_drain.retain(|shard| {
            let inbox = &server.node.inboxes[*shard];
            let is_full = inbox.len() >= mix.inbox_notes;
            if !is_full {
                inbox.push(Note::Drain { within_ms: DRAIN_MS });
            }
            is_full
        });
    }
}

#[derive(Clone, Copy, Debug)]
enum Actor {
    Shard(usize),
    Worker(usize),
    Posts,
    Device(usize),
    Caller(usize),
}

/// Users who know each other, and one who knows nobody.
fn populate(mix: &Mix, memory: &MemoryStore, log: &Arc<Mutex<Log>>, clock: &Clock, rng: &mut Rng) {
    let mut store = FaultyStore::new(memory.clone(), Arc::clone(log), rng.fork());
    let now = clock.now().wall;
    let mut requests: Vec<Request> = (1..=mix.users)
        .map(|user| Request::AddUser {
            username: format!("user{user}"),
            first_name: String::new(),
            last_name: String::new(),
        })
        .collect();
    let known = mix.users as i64 - 1;
    for creator in 1..=known {
        for participant in creator + 1..=known {
            if rng.chance(800) || (creator, participant) == (1, 2) {
                requests.push(Request::Open {
                    creator: UserId(creator),
                    participant: UserId(participant),
                    content: "hello".to_owned(),
                    client_id: None,
                });
            }
        }
    }
    let outcomes = store.commit(&requests, now).expect("it does not fail yet");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    if rng.chance(300) {
        // A long past, for resumes of many pages.
        let append = |n| Request::Append {
            conversation: ConversationId(1),
            sender: UserId(1 + n % 2),
            content: format!("long ago {n}"),
            attachment: None,
            client_id: None,
        };
        let past: Vec<_> = (0..rng.between(100, 1_300) as i64).map(append).collect();
        store.commit(&past, now).expect("it does not fail yet");
    }
}

fn device(name: usize, mix: &Mix, rng: &mut Rng) -> Device {
    let user = rng.between(1, mix.users as u64) as i64;
    let temper = rng.pick(&[
        Temper::Plain,
        Temper::Plain,
        Temper::Plain,
        Temper::Slow,
        Temper::Deaf,
        Temper::Wild,
        Temper::Restless,
    ]);
    let kind = match rng.below(10) {
        0..4 => Kind::Chat,
        4..9 => Kind::Conversation(rng.between(1, 4) as i64),
        _ => Kind::Notifications,
    };
    Device::new(name, user, kind, temper, rng.fork())
}
