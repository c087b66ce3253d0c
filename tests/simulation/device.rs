//! A phone with one socket: it connects, says things, notices what it is told, gets lost and comes back.

mod hear;
mod say;

use std::collections::{BTreeMap, BTreeSet};

use fortifun_realtime::auth::jwt;
use fortifun_realtime::ids::UserId;
use fortifun_realtime::protocol::ws::Opcode;

use crate::net::{SockId, address};
use crate::peer::{frame, handshake, text};
use crate::rng::Rng;
use crate::scene::Scene;
use crate::server::SECRET;
use crate::stream::Stream;

/// Which socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Chat,
    Conversation(i64),
    Notifications,
}

/// How its owner behaves while the storm lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Temper {
    Plain,
    /// Reads a little at a time.
    Slow,
    /// Reads nothing at all.
    Deaf,
    /// Sends what it should not.
    Wild,
    /// Comes and goes.
    Restless,
}

pub(crate) struct Device {
    pub(crate) name: usize,
    pub(crate) user: i64,
    pub(crate) kind: Kind,
    pub(crate) is_v1: bool,
    pub(crate) temper: Temper,
    pub(crate) link: Option<Link>,
    pub(crate) next_at: u64,
    reads_at: u64,
    /// It stays away.
    pub(crate) is_gone: bool,
    rng: Rng,
    /// The newest place before which it misses nothing, by conversation.
    seen: BTreeMap<i64, i64>,
    /// What it said and was not told the fate of, by `client_id`: where and what.
    outbox: BTreeMap<String, (i64, String)>,
    words: u64,
    /// A message of another to acknowledge, by conversation.
    unread: BTreeMap<i64, i64>,
}

/// One connection of a device.
pub(crate) struct Link {
    pub(crate) sock: SockId,
    pub(crate) is_open: bool,
    bytes: Vec<u8>,
    has_hello: bool,
    /// Our close frame was sent, or theirs came.
    pub(crate) is_closing: bool,
    pub(crate) streams: BTreeMap<i64, Stream>,
    /// Commands with a `ref` that were not answered.
    pub(crate) asked: BTreeMap<String, Asked>,
    /// Messages without a `ref` that were not answered.
    pub(crate) said: BTreeMap<String, i64>,
    /// Conversations that `?since=` asks for: an error without a `ref` is about them as long as one is left.
    since: BTreeSet<i64>,
    /// Who types where.
    pub(crate) typing: BTreeMap<(i64, i64), u64>,
    expires_us: i64,
    opened_at: u64,
    /// When it last asked something with a `ref`.
    asked_at: u64,
    /// What it sent may be read as anything, so nothing is owed to it.
    pub(crate) has_raved: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Asked {
    Plain,
    /// A message, by its `client_id` and conversation.
    Message(Option<String>, i64),
    Resume(i64),
}

impl Link {
    /// True exactly when everything that was asked over it has to be answered.
    fn is_owed(&self) -> bool {
        self.is_open && !self.is_closing && !self.has_raved
    }
}

impl Device {
    pub(crate) fn new(name: usize, user: i64, kind: Kind, temper: Temper, mut rng: Rng) -> Self {
        Self {
            name,
            user,
            kind,
            is_v1: rng.chance(750),
            temper,
            link: None,
            next_at: rng.below(3_000),
            reads_at: 0,
            is_gone: false,
            rng,
            seen: BTreeMap::new(),
            outbox: BTreeMap::new(),
            words: 0,
            unread: BTreeMap::new(),
        }
    }

    /// True exactly when it would do something now.
    pub(crate) fn is_ready(&self, scene: &Scene) -> bool {
        if self.is_gone && self.link.is_none() {
            return false;
        }
        let now = scene.ms();
        self.next_at <= now
            || self.link.as_ref().is_some_and(|link| {
                self.hears(scene) && self.reads_at <= now && scene.net.borrow().has_news(link.sock)
            })
    }

    /// When to look again, after now.
    pub(crate) fn wakes_at(&self, scene: &Scene) -> Option<u64> {
        let reads = self.link.as_ref().filter(|link| scene.net.borrow().has_news(link.sock));
        let reads = reads.filter(|_| self.hears(scene)).map(|_| self.reads_at);
        let acts = (!self.is_gone || self.link.is_some()).then_some(self.next_at);
        reads.into_iter().chain(acts).filter(|at| *at > scene.ms()).min()
    }

    pub(crate) fn run(&mut self, scene: &Scene) {
        if self.hears(scene) && self.reads_at <= scene.ms() {
            self.receive(scene);
        }
        if self.next_at > scene.ms() {
            return;
        }
        let pause = if scene.is_calm { (200, 900) } else { (20, 900) };
        self.next_at = scene.ms() + self.rng.between(pause.0, pause.1);
        match &self.link {
            None if self.is_gone => {}
            None => self.connect(scene),
            Some(link) if link.is_open && !link.is_closing => self.act(scene),
            Some(_) => {}
        }
    }

    /// The last thing a device does.
    pub(crate) fn leave(&mut self, scene: &Scene) {
        self.is_gone = true;
        let Some(link) = &self.link else { return };
        let sock = link.sock;
        let mut net = scene.net.borrow_mut();
        match self.rng.below(3) {
            0 if link.is_owed() => {
                net.client_sends(
                    sock,
                    &frame(Opcode::Close, &1000_u16.to_be_bytes(), &mut self.rng),
                );
            }
            1 => {
                net.reset(sock);
                drop(net);
                self.link = None;
            }
            _ => {
                net.client_closes(sock);
                drop(net);
                self.link = None;
            }
        }
    }

    fn hears(&self, scene: &Scene) -> bool {
        scene.is_calm || self.temper != Temper::Deaf
    }

    // Connecting.

    fn connect(&mut self, scene: &Scene) {
        let Some(sock) = scene.net.borrow_mut().connect(address(self.user)) else {
            self.next_at = scene.ms() + self.rng.between(500, 2_000);
            return;
        };
        let now = scene.clock.now().wall;
        let ttl = if scene.is_calm { 3_600 } else { scene.token_s as i64 };
        let token = self.token(ttl, scene);
        let expires_us = (now.unix_seconds() + ttl) * 1_000_000;
        let mut streams = BTreeMap::new();
        let (path, since) = match self.kind {
            Kind::Chat => {
                // A refusal does not say of which conversation it is, so only one is asked for where some may be refused.
                let most = if scene.blocks || scene.leaves { 1 } else { usize::MAX };
                let known: Vec<String> =
                    self.seen.iter().take(most).map(|(id, seq)| format!("{id}:{seq}")).collect();
                for (at, (id, seq)) in self.seen.iter().enumerate() {
                    let mut stream = Stream::starts_after(*seq);
                    if at < most {
                        stream.asks_after(*seq);
                    } else {
                        stream.is_broken = true;
                    }
                    streams.insert(*id, stream);
                }
                ("/ws/chat/".to_owned(), known.join(","))
            }
            Kind::Conversation(id) => {
                let since = self.seen.get(&id).map(|seq| {
                    let mut stream = Stream::starts_after(*seq);
                    stream.asks_after(*seq);
                    streams.insert(id, stream);
                    seq.to_string()
                });
                (format!("/ws/conversations/{id}"), since.unwrap_or_default())
            }
            Kind::Notifications => ("/ws/notifications/".to_owned(), String::new()),
        };
        let query = if since.is_empty() { String::new() } else { format!("?since={since}") };
        scene.say(|| format!("device {} ({}) connects to {path}{query}", self.name, self.user));
        let by_header = self.rng.chance(500);
        let mut bytes = handshake(&format!("{path}{query}"), &token, self.is_v1, by_header);
        // Frames may come before the answer to the handshake.
        if self.rng.chance(50) {
            bytes.extend(text(r#"{"type":"ping"}"#, &mut self.rng));
        }
        scene.net.borrow_mut().client_sends(sock, &bytes);
        self.link = Some(Link {
            sock,
            is_open: false,
            bytes: Vec::new(),
            has_hello: false,
            is_closing: false,
            since: streams.iter().filter(|(_, s)| s.is_resuming()).map(|(id, _)| *id).collect(),
            streams,
            asked: BTreeMap::new(),
            asked_at: 0,
            said: BTreeMap::new(),
            typing: BTreeMap::new(),
            expires_us,
            opened_at: scene.ms(),
            has_raved: false,
        });
    }

    fn token(&mut self, ttl_s: i64, scene: &Scene) -> String {
        jwt::issue(SECRET, UserId(self.user), ttl_s, scene.clock.now().wall, self.rng.word().into())
    }

    fn lost(&mut self, scene: &Scene) {
        if let Some(link) = self.link.take() {
            scene.say(|| format!("device {} ({}) is off", self.name, self.user));
            scene.net.borrow_mut().client_closes(link.sock);
            for (id, stream) in &link.streams {
                if let Some(newest) = stream.newest() {
                    let seen = self.seen.entry(*id).or_insert(newest);
                    *seen = (*seen).max(newest);
                }
            }
        }
        let patience = if scene.is_calm { 1_500 } else { 4_000 };
        self.next_at = self.next_at.max(scene.ms() + self.rng.between(50, patience));
    }
}
