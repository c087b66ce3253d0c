//! The thread that listens to one host.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use redis::Value;

use super::pulse::Pulse;
use super::subscriptions::{Place, Subscriptions};
use crate::channel::bus::Address;
use crate::channel::redis::interest::Reader;
use crate::channel::redis::link::{Backoff, Endpoint, Fault, Link};
use crate::channel::redis::{Clock, Hub, Side};
use crate::limits::{BUS_BATCH_MAX, BUS_MARGIN_MS, BUS_SUBSCRIBE_MAX};
use crate::metrics::BusDrop;
use crate::model::Group;
use crate::time::Timestamp;

/// What the server calls the connection.
const NAME: &str = "fortifun-in";

/// One host, and what it is listened to for.
pub(super) struct Inward {
    pub(super) hub: Arc<Hub>,
    pub(super) clock: Clock,
    pub(super) host: usize,
    pub(super) endpoint: Endpoint,
    pub(super) reader: Reader,
    /// On which the sending thread says that there is something to subscribe to.
    pub(super) control: String,
    /// Ends when the sending thread does.
    pub(super) stop: Receiver<()>,
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
    /// So many channels are subscribed to.
    Confirmed {
        channels: usize,
    },
    Pong,
}

impl Inward {
    /// Listens until the node closes, on one connection after another.
    pub(super) fn run(self) {
        let side = Side::In(self.host);
        let mut backoff = Backoff::default();
        let mut missed = None;
        while !self.hub.is_closing() {
            let Err(fault) = self.listen(&mut missed, &mut backoff) else { break };
            self.hub.is_down(side, &fault.to_string());
            let pause = Duration::from_millis(backoff.on_failure(self.hub.random()));
            // Nothing is ever sent on it: it ends early when the node closes.
            _ = self.stop.recv_timeout(pause);
        }
    }

    /// Listens on one connection until it ends. `missed` is since when something may not have been heard, and what is known
    /// of that when it ends.
    fn listen(&self, missed: &mut Option<Timestamp>, backoff: &mut Backoff) -> Result<(), Fault> {
        let link = Link::open(&self.endpoint, NAME, &self.clock)?;
        let own = self.own_channels();
        let (subscriptions, first) =
            Subscriptions::new(&own, self.hub.interest().restart(self.reader));
        let mut listening = Listening {
            inward: self,
            link,
            subscriptions,
            pulse: Pulse::new(self.hub.now()),
            channels: 0,
            is_woken: false,
            is_settled: false,
        };
        let ended = listening.run(&first.get_packed_command(), missed, backoff);
        self.hub.listens(listening.channels, 0);
        if listening.is_settled {
            *missed = Some(listening.pulse.caught_up().plus_ms(-BUS_MARGIN_MS));
        }
        ended
    }

    /// What is listened to whoever is here.
    fn own_channels(&self) -> Vec<String> {
        let place = self.place();
        let mut channels = vec![self.control.clone()];
        channels.extend(place.channel(Address::Nodes));
        channels.extend(place.channels(Group::General));
        channels
    }

    fn place(&self) -> Place<'_> {
        Place { names: self.hub.names(), ring: self.hub.ring(), host: self.host }
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
        while !hub.is_closing() {
            if self.is_woken || since_changes >= BUS_BATCH_MAX {
                self.take_changes();
                since_changes = 0;
            }
            while let Some(command) = self.subscriptions.next_command(self.inward.place()) {
                self.link.send(&command.get_packed_command())?;
            }
            if !self.is_settled && self.subscriptions.is_settled() {
                self.is_settled = true;
                hub.is_up(Side::In(self.inward.host));
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
                    self.on_said(said(value)?, missed.is_none(), backoff);
                }
                None if self.pulse.is_dead(hub.now().mono) => return Err(Fault::Silent),
                // Whoever should wake this thread may have lost its own connection.
                None => self.is_woken = true,
            }
        }
        Ok(())
    }

    /// `is_first` is true while nothing can have been missed but by those who came before they were listened to.
    fn on_said(&mut self, said: Said, is_first: bool, backoff: &mut Backoff) {
        let hub = &self.inward.hub;
        let now = hub.now();
        match said {
            Said::Message { channel, payload } => {
                self.pulse.on_heard(now.mono);
                self.on_message(&channel, &payload, now.wall);
            }
            Said::Confirmed { channels } => {
                self.pulse.on_heard(now.mono);
                hub.listens(self.channels, channels);
                self.channels = channels;
                let groups = self.subscriptions.on_confirmed();
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
    }

    fn on_message(&mut self, channel: &[u8], payload: &[u8], now: Timestamp) {
        let hub = &self.inward.hub;
        if channel == self.inward.control.as_bytes() {
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
fn said(value: Value) -> Result<Said, Fault> {
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
        (b"message", Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) => {
            Ok(Said::Message { channel, payload })
        }
        (b"subscribe" | b"unsubscribe", _, Some(Value::Int(channels))) => {
            Ok(Said::Confirmed { channels: usize::try_from(channels).unwrap_or_default() })
        }
        (b"pong", ..) => Ok(Said::Pong),
        _ => Err(unknown()),
    }
}
