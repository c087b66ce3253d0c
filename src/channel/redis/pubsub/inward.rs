//! The thread that listens to one host.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;
use redis::Value;

use super::cluster::Topology;
use super::health::Health;
use super::pulse::Pulse;
use super::route::{Place, Route, SHARDED, Words};
use super::subscriptions::Subscriptions;
use crate::channel::bus::Address;
use crate::channel::redis::interest::Reader;
use crate::channel::redis::link::{Backoff, Endpoint, Fault, Link};
use crate::channel::redis::{Clock, Hub, Side};
use crate::limits::{BUS_BATCH_MAX, BUS_IDLE_MS, BUS_MARGIN_MS, BUS_SUBSCRIBE_MAX};
use crate::metrics::BusDrop;
use crate::model::Group;
use crate::time::Timestamp;

/// What the server calls the connection.
const NAME: &str = "fortifun-in";

/// One host, and what it is listened to for.
pub(super) struct Inward {
    pub(super) hub: Arc<Hub>,
    pub(super) clock: Clock,
    pub(super) words: &'static Words,
    pub(super) route: Route,
    pub(super) host: usize,
    pub(super) health: Arc<Health>,
    pub(super) endpoint: Endpoint,
    pub(super) reader: Reader,
    /// On which the sending thread says that there is something to subscribe to.
    pub(super) control: Option<String>,
    /// Ends when the sending thread does.
    pub(super) stop: Receiver<()>,
    /// In a cluster: the map by which it listens, and that map's number.
    pub(super) map: Option<(Arc<Topology>, u64)>,
}

/// One connection of it.
struct Listening<'a> {
    inward: &'a Inward,
    link: Link,
    subscriptions: Subscriptions,
    pulse: Pulse,
    /// How many channels Redis says there are.
    channels: usize,
    /// Something may be there to subscribe to.
    is_woken: bool,
    /// True exactly when all that was wanted at the start is confirmed.
    is_settled: bool,
}

/// What came.
enum Said {
    Message {
        channel: Vec<u8>,
        payload: Vec<u8>,
    },
    /// A channel is, or is not, subscribed to; so many are.
    Confirmed {
        is_wanted: bool,
        channels: usize,
    },
    Pong,
}

impl Inward {
    /// Listens until the node closes, or the map changes, on one connection after another. `missed` is since when something may
    /// not have been heard before; gives the same of the end.
    pub(super) fn run(self, mut missed: Option<Timestamp>) -> Option<Timestamp> {
        let mut backoff = Backoff::default();
        while !self.is_over() {
            let Err(fault) = self.listen(&mut missed, &mut backoff) else { break };
            self.health.is_down(self.endpoint.shown(), &fault.to_string());
            if let Some((topology, _)) = &self.map {
                topology.doubt();
            }
            let pause = Duration::from_millis(backoff.on_failure(self.hub.random()));
            // Nothing is ever sent on it: it ends early when the node closes.
            _ = self.stop.recv_timeout(pause);
        }
        missed
    }

    /// Listens to all masters of a cluster, each on a thread of its own, by one map after another until the node closes.
    pub(super) fn run_cluster(
        hub: &Arc<Hub>,
        clock: &Clock,
        topology: &Arc<Topology>,
        control: &str,
        stop: &Receiver<()>,
    ) {
        let health = Health::new(hub, Side::In(0));
        let mut missed = None;
        while !hub.is_closing() {
            let Some((generation, slots)) = topology.current() else {
                _ = stop.recv_timeout(Duration::from_millis(BUS_IDLE_MS / 10));
                continue;
            };
            let route = Route::Slots(Arc::clone(&slots));
            let endpoints: Vec<Endpoint> =
                (0..slots.masters().len()).map(|host| topology.endpoint(&slots, host)).collect();
            health.expect(&endpoints.iter().map(Endpoint::shown).collect::<Vec<_>>());
            let ends = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                for (host, endpoint) in endpoints.into_iter().enumerate() {
                    let who = endpoint.shown().to_owned();
                    let place = Place { names: hub.names(), route: &route, host };
                    let inward = Self {
                        hub: Arc::clone(hub),
                        clock: Arc::clone(clock),
                        words: &SHARDED,
                        route: route.clone(),
                        host,
                        health: Arc::clone(&health),
                        endpoint,
                        reader: topology.reader(host),
                        control: place.own_channel(control),
                        stop: stop.clone(),
                        map: Some((Arc::clone(topology), generation)),
                    };
                    let ends = &ends;
                    let listen = move || {
                        let end = inward.run(missed);
                        ends.lock().extend(end);
                    };
                    let thread = std::thread::Builder::new().name(format!("bus-in-{host}"));
                    if let Err(error) = thread.spawn_scoped(scope, listen) {
                        health.is_down(&who, &error.to_string());
                    }
                }
            });
            missed = ends.into_inner().into_iter().min();
        }
    }

    /// Listens on one connection until it ends. `missed` is since when something may not have been heard, and what is known
    /// of that when it ends.
    fn listen(&self, missed: &mut Option<Timestamp>, backoff: &mut Backoff) -> Result<(), Fault> {
        let link = Link::open(&self.endpoint, NAME, &self.clock)?;
        let own = self.own_channels();
        let groups = self.hub.interest().restart(self.reader);
        let (subscriptions, first) = Subscriptions::new(self.words, &own, groups);
        let mut listening = Listening {
            inward: self,
            link,
            subscriptions,
            pulse: Pulse::new(self.hub.now()),
            channels: 0,
            is_woken: false,
            is_settled: false,
        };
        let ended = listening.run(&first, missed, backoff);
        self.hub.listens(listening.channels, 0);
        if listening.is_settled {
            *missed = Some(listening.pulse.caught_up().plus_ms(-BUS_MARGIN_MS));
        }
        ended
    }

    /// What is listened to whoever is here.
    fn own_channels(&self) -> Vec<String> {
        let place = self.place();
        let mut channels: Vec<String> = self.control.clone().into_iter().collect();
        channels.extend(place.channel(Address::Nodes));
        channels.extend(place.channels(Group::General));
        channels
    }

    fn place(&self) -> Place<'_> {
        Place { names: self.hub.names(), route: &self.route, host: self.host }
    }

    /// True exactly when it is to end: the node closes, or another map is there.
    fn is_over(&self) -> bool {
        let is_old = self.map.as_ref().is_some_and(|(topology, map)| topology.generation() != *map);
        is_old || self.hub.is_closing()
    }
}

impl Listening<'_> {
    fn run(
        &mut self,
        first: &[u8],
        missed: &mut Option<Timestamp>,
        backoff: &mut Backoff,
    ) -> Result<(), Fault> {
        let hub = &self.inward.hub;
        self.link.send(first)?;
        let mut since_changes = 0;
        while !self.inward.is_over() {
            if self.is_woken || since_changes >= BUS_BATCH_MAX {
                self.take_changes();
                since_changes = 0;
            }
            let (words, place) = (self.inward.words, self.inward.place());
            while let Some(commands) = self.subscriptions.next_commands(words, place) {
                self.link.send(&commands)?;
            }
            if !self.is_settled && self.subscriptions.is_settled() {
                self.is_settled = true;
                self.inward.health.is_up(self.inward.endpoint.shown());
                if let Some(since) = missed.take() {
                    hub.gap(since);
                }
            }
            let now = hub.now();
            if self.pulse.is_ping_due(now) {
                self.link.send(&redis::cmd("PING").get_packed_command())?;
            }
            let wait = Duration::from_millis(self.pulse.wait_ms(now.mono));
            match self.link.receive(wait)? {
                Some(value) => {
                    since_changes += 1;
                    self.on_said(said(words, value)?, missed.is_none(), backoff)?;
                }
                None if self.pulse.is_dead(hub.now().mono) => return Err(Fault::Silent),
                // Whoever should wake this thread may have lost its own connection.
                None => self.is_woken = true,
            }
        }
        Ok(())
    }

    /// `is_first` is true while nothing can have been missed but by those who came before they were listened to.
    fn on_said(&mut self, said: Said, is_first: bool, backoff: &mut Backoff) -> Result<(), Fault> {
        let hub = &self.inward.hub;
        let now = hub.now();
        match said {
            Said::Message { channel, payload } => {
                self.pulse.on_heard(now.mono);
                self.on_message(&channel, &payload, now.wall);
            }
            Said::Confirmed { is_wanted, channels } => {
                self.pulse.on_heard(now.mono);
                hub.listens(self.channels, channels);
                self.channels = channels;
                let moved = || Fault::Refused("a slot has moved to another master".to_owned());
                let groups = self.subscriptions.on_confirmed(is_wanted).ok_or_else(moved)?;
                // After a connection was lost, one look at everything follows.
                if is_first || self.is_settled {
                    hub.heard(&groups);
                }
            }
            Said::Pong => {
                self.pulse.on_pong(now.mono);
                if self.is_settled {
                    backoff.on_success();
                }
            }
        }
        Ok(())
    }

    fn on_message(&mut self, channel: &[u8], payload: &[u8], now: Timestamp) {
        let hub = &self.inward.hub;
        if self.inward.control.as_ref().is_some_and(|control| control.as_bytes() == channel) {
            self.is_woken = true;
            return;
        }
        if hub.is_own(payload) {
            return;
        }
        let name = str::from_utf8(channel).ok().and_then(|channel| hub.names().of_pubsub(channel));
        let Some(address) = name.and_then(Address::parse) else {
            return hub.dropped(BusDrop::UnknownName);
        };
        match hub.envelope().open(payload, now) {
            Ok(opened) => hub.receive(address, opened.fields),
            Err(flaw) => hub.flawed(&flaw),
        }
        hub.wake();
    }

    fn take_changes(&mut self) {
        let changes = self.inward.hub.interest().changes(self.inward.reader, BUS_SUBSCRIBE_MAX);
        // There may be more.
        self.is_woken = changes.len() == BUS_SUBSCRIBE_MAX;
        self.subscriptions.on_changes(changes);
    }
}

/// What `value` says on a connection that subscribes.
///
/// # Errors
/// It is an error: a channel may not be listened to, or the server does not serve.
fn said(words: &Words, value: Value) -> Result<Said, Fault> {
    let unknown = || Fault::Protocol("an answer that no subscriber gets".to_owned());
    let items = match value {
        Value::Array(items) => items,
        // To a `PING` before the first subscription.
        Value::SimpleString(_) => return Ok(Said::Pong),
        // Whoever may not send it gets an answer to it all the same.
        Value::ServerError(error)
            if error.code() == "NOPERM"
                && error.details().is_some_and(|it| it.contains("ping")) =>
        {
            return Ok(Said::Pong);
        }
        Value::ServerError(error) => return Err(Fault::of_server(&error)),
        _ => return Err(unknown()),
    };
    let mut items = items.into_iter();
    let kind = items.next();
    let Some(Value::BulkString(kind)) = kind else { return Err(unknown()) };
    match (&*kind, items.next(), items.next()) {
        (kind, Some(Value::BulkString(channel)), Some(Value::BulkString(payload)))
            if kind == words.message =>
        {
            Ok(Said::Message { channel, payload })
        }
        (kind, _, Some(Value::Int(channels)))
            if kind == words.subscribed || kind == words.unsubscribed =>
        {
            let channels = usize::try_from(channels).unwrap_or_default();
            Ok(Said::Confirmed { is_wanted: kind == words.subscribed, channels })
        }
        (b"pong", ..) => Ok(Said::Pong),
        _ => Err(unknown()),
    }
}
