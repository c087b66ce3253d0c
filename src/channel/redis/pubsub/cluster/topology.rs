//! The map of the cluster as it is known now, and the thread that keeps it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use parking_lot::Mutex;
use redis::Value;

use super::slots::Slots;
use crate::channel::redis::interest::Reader;
use crate::channel::redis::link::{Backoff, Endpoint, Fault, Link};
use crate::channel::redis::{Clock, Hub, Side};
use crate::limits::{BUS_ANSWER_MS, BUS_MAP_MS};

/// What the server calls the connection.
const NAME: &str = "fortifun-map";

/// See the module.
pub(in super::super) struct Topology {
    hub: Arc<Hub>,
    clock: Clock,
    /// The nodes that the settings name; user, password and authorities are the same for all.
    seeds: Vec<Endpoint>,
    /// How often the map has changed; 0 while there is none.
    generation: AtomicU64,
    slots: Mutex<Option<Arc<Slots>>>,
    /// By master's place in the map: who listens there.
    readers: Mutex<Vec<Reader>>,
    doubt: Sender<()>,
    doubted: Receiver<()>,
}

impl Topology {
    pub(super) fn new(hub: &Arc<Hub>, clock: &Clock, seeds: Vec<Endpoint>) -> Self {
        let (doubt, doubted) = bounded(1);
        Self {
            hub: Arc::clone(hub),
            clock: Arc::clone(clock),
            seeds,
            generation: AtomicU64::default(),
            slots: Mutex::default(),
            readers: Mutex::default(),
            doubt,
            doubted,
        }
    }

    /// Counts the maps.
    pub(in super::super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The map and its number; `None` until there is one.
    pub(in super::super) fn current(&self) -> Option<(u64, Arc<Slots>)> {
        let slots = self.slots.lock();
        Some((self.generation(), Arc::clone(slots.as_ref()?)))
    }

    /// Somebody was sent elsewhere, or found nobody: the map is read again soon.
    pub(in super::super) fn doubt(&self) {
        _ = self.doubt.try_send(());
    }

    /// Where the `host`th master of `slots` is.
    pub(in super::super) fn endpoint(&self, slots: &Slots, host: usize) -> Endpoint {
        let (name, port) = &slots.masters()[host];
        self.seeds[0].at(name, *port)
    }

    /// Who listens to the `host`th master.
    pub(in super::super) fn reader(&self, host: usize) -> Reader {
        let mut readers = self.readers.lock();
        while readers.len() <= host {
            readers.push(self.hub.interest().reader());
        }
        readers[host]
    }

    /// Reads the map, again and again, until the node closes: `stop` is disconnected then.
    pub(super) fn run(&self, stop: &Receiver<()>) {
        let mut link: Option<(Link, Endpoint)> = None;
        let (mut failures, mut doubts) = (Backoff::default(), Backoff::default());
        let mut turn = 0;
        while !self.hub.is_closing() {
            let read = match &mut link {
                Some((link, endpoint)) => read(link, endpoint),
                None => self.find(&mut turn).map(|(found, slots)| {
                    link = Some(found);
                    slots
                }),
            };
            let wait_ms = match read {
                Ok(slots) => {
                    self.learn(slots);
                    failures.on_success();
                    BUS_MAP_MS
                }
                Err(fault) => {
                    link = None;
                    if self.generation() == 0 {
                        self.hub.is_down(Side::In(0), &fault.to_string());
                        self.hub.is_down(Side::Out(0), &fault.to_string());
                    }
                    failures.on_failure(self.hub.random())
                }
            };
            select! {
                recv(self.doubted) -> _ => {
                    // Whoever was asked last may be the one that does not know.
                    link = None;
                    // While slots move, or a master is away, it is doubted all the time.
                    let pause_ms = doubts.on_failure(self.hub.random());
                    _ = stop.recv_timeout(Duration::from_millis(pause_ms));
                }
                recv(stop) -> _ => return,
                default(Duration::from_millis(wait_ms)) => doubts.on_success(),
            }
        }
    }

    fn learn(&self, slots: Slots) {
        let mut known = self.slots.lock();
        if known.as_deref() == Some(&slots) {
            return;
        }
        tracing::info!(masters = slots.masters().len(), "the cluster of the bus is mapped");
        *known = Some(Arc::new(slots));
        self.generation.fetch_add(1, Ordering::Release);
        drop(known);
        self.hub.outbox().nudge();
    }

    /// Asks one node after another, those of the map first, beginning behind the one that was asked last.
    fn find(&self, turn: &mut usize) -> Result<((Link, Endpoint), Slots), Fault> {
        let mut nodes = Vec::new();
        if let Some((_, slots)) = self.current() {
            nodes.extend((0..slots.masters().len()).map(|host| self.endpoint(&slots, host)));
        }
        nodes.extend(self.seeds.iter().cloned());
        let mut last = Err(Fault::Unreachable("no node is known".to_owned()));
        for _ in 0..nodes.len() {
            if self.hub.is_closing() {
                break;
            }
            *turn += 1;
            let endpoint = nodes[*turn % nodes.len()].clone();
            let asked = Link::open(&endpoint, NAME, &self.clock)
                .and_then(|mut link| read(&mut link, &endpoint).map(|slots| (link, slots)));
            match asked {
                Ok((link, slots)) => return Ok(((link, endpoint), slots)),
                Err(fault) => last = Err(fault),
            }
        }
        last
    }
}

/// The map as the node at `endpoint` knows it, to which `link` is.
///
/// # Errors
/// It does not answer, or is no node of a cluster.
pub(in crate::channel::redis) fn read(
    link: &mut Link,
    endpoint: &Endpoint,
) -> Result<Slots, Fault> {
    let ask = redis::cmd("CLUSTER").arg("SLOTS").get_packed_command();
    let answer = link.query(&ask, 1, Duration::from_millis(BUS_ANSWER_MS))?;
    Slots::read(answer.first().unwrap_or(&Value::Nil), endpoint.host())
}
