//! The network between clients and shards: bytes under way, small buffers, edges that come once and late.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use fortifun_realtime::ids::ConnKey;
use fortifun_realtime::shard::io::{AcceptError, Ready};
use fortifun_realtime::time::{Mono, Now, Timestamp};

use crate::faults::NetFaults;
use crate::rng::{Rng, Trace};

/// Both clocks of the world; all parts read the same.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ms: AtomicU64,
    /// What the wall clock was set forward, milliseconds.
    jumped_ms: AtomicI64,
}

/// 2024-01-01T00:00:00Z.
const BEGIN_US: i64 = 1_704_067_200_000_000;

impl Clock {
    pub(crate) fn ms(&self) -> u64 {
        self.ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, ms: u64) {
        self.ms.fetch_max(ms, Ordering::Relaxed);
    }

    pub(crate) fn jump(&self, ms: i64) {
        self.jumped_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Now {
        let ms = self.ms();
        let wall_ms = ms as i64 + self.jumped_ms.load(Ordering::Relaxed);
        Now { mono: Mono(1_000 + ms), wall: Timestamp(BEGIN_US + wall_ms * 1_000) }
    }
}

/// One end-to-end connection.
pub(crate) type SockId = usize;

pub(crate) struct Net {
    pub(crate) clock: Arc<Clock>,
    pub(crate) faults: NetFaults,
    pub(crate) trace: Trace,
    rng: Rng,
    socks: Vec<Sock>,
    listeners: Vec<Listener>,
    /// Registered sockets of each shard that are not closed.
    live: Vec<Vec<SockId>>,
}

#[derive(Default)]
struct Listener {
    backlog: VecDeque<SockId>,
    has_edge: bool,
    is_open: bool,
}

struct Sock {
    shard: usize,
    ip: IpAddr,
    key: Option<ConnKey>,
    /// On their way to the server, with the time of their arrival.
    flight: VecDeque<(u64, Vec<u8>)>,
    fin_at: Option<u64>,
    /// Arrived at the server.
    arrived: VecDeque<u8>,
    has_fin: bool,
    /// Sent by the server and not taken by the client yet.
    buffer: VecDeque<u8>,
    capacity: usize,
    /// A send found no room: room is told.
    is_blocked: bool,
    is_shut: bool,
    /// The client closed it.
    is_left: bool,
    /// The server freed it.
    is_closed: bool,
    /// Either side, or the network, broke it.
    is_reset: bool,
    edge_at: Option<u64>,
}

/// What a client finds at its end.
pub(crate) enum Arrived {
    /// These bytes; perhaps none.
    Bytes(Vec<u8>),
    /// The server has shut its half, and everything before was read.
    End,
    /// Broken.
    Reset,
}

impl Net {
    pub(crate) fn new(clock: Arc<Clock>, faults: NetFaults, rng: Rng) -> Self {
        Self {
            clock,
            faults,
            trace: Trace::default(),
            rng,
            socks: Vec::new(),
            listeners: Vec::new(),
            live: Vec::new(),
        }
    }

    /// As many shards listen; who waits at the old ones, or is connected, is broken.
    pub(crate) fn listen(&mut self, shards: usize) {
        for sock in &mut self.socks {
            if !sock.is_closed {
                sock.is_closed = true;
                sock.is_reset = true;
            }
        }
        let listener = || Listener { is_open: true, ..Listener::default() };
        self.listeners = std::iter::repeat_with(listener).take(shards).collect();
        self.live = vec![Vec::new(); shards];
    }

    // The clients' side.

    /// The kernel gives the connection to one of the listeners. `None`: refused.
    pub(crate) fn connect(&mut self, ip: IpAddr) -> Option<SockId> {
        let open: Vec<usize> =
            (0..self.listeners.len()).filter(|shard| self.listeners[*shard].is_open).collect();
        if open.is_empty() {
            return None;
        }
        let shard = self.rng.pick(&open);
        let id = self.socks.len();
        let (low, high) = self.faults.buffer;
        let capacity = self.rng.between(low, high) as usize;
        self.socks.push(Sock {
            shard,
            ip,
            key: None,
            flight: VecDeque::new(),
            fin_at: None,
            arrived: VecDeque::new(),
            has_fin: false,
            buffer: VecDeque::new(),
            capacity,
            is_blocked: false,
            is_shut: false,
            is_left: false,
            is_closed: false,
            is_reset: false,
            edge_at: None,
        });
        let listener = &mut self.listeners[shard];
        listener.backlog.push_back(id);
        listener.has_edge = true;
        Some(id)
    }

    /// Sends, in pieces that arrive one after the other.
    pub(crate) fn client_sends(&mut self, id: SockId, mut bytes: &[u8]) {
        let now = self.clock.ms();
        let mut at = self.socks[id].flight.back().map_or(now, |(at, _)| *at);
        while !bytes.is_empty() {
            let len = if self.rng.chance(self.faults.cut) {
                1 + self.rng.index(bytes.len())
            } else {
                bytes.len()
            };
            let (piece, rest) = bytes.split_at(len);
            at = at.max(now + self.rng.below(self.faults.latency_ms + 1));
            self.socks[id].flight.push_back((at, piece.to_vec()));
            bytes = rest;
        }
        self.arrive(id);
    }

    /// The client shuts its half, after what it sent.
    pub(crate) fn client_shuts(&mut self, id: SockId) {
        let sock = &mut self.socks[id];
        let last = sock.flight.back().map_or(0, |(at, _)| *at);
        sock.fin_at = Some(last.max(self.clock.ms()));
        self.arrive(id);
    }

    /// The client closes: what it did not read, or is sent now, is answered by a reset.
    pub(crate) fn client_closes(&mut self, id: SockId) {
        self.socks[id].is_left = true;
        if self.socks[id].buffer.is_empty() {
            self.client_shuts(id);
        } else {
            self.reset(id);
        }
    }

    /// The client, or the network, breaks it.
    pub(crate) fn reset(&mut self, id: SockId) {
        self.socks[id].is_reset = true;
        self.edge(id);
    }

    /// At most `max` of what the server sent.
    pub(crate) fn client_receives(&mut self, id: SockId, max: usize) -> Arrived {
        let sock = &mut self.socks[id];
        if sock.is_reset {
            return Arrived::Reset;
        }
        if sock.buffer.is_empty() {
            return if sock.is_shut || sock.is_closed {
                Arrived::End
            } else {
                Arrived::Bytes(Vec::new())
            };
        }
        let len = max.min(sock.buffer.len());
        let bytes: Vec<u8> = sock.buffer.drain(..len).collect();
        if sock.is_blocked && len > 0 && !sock.is_closed {
            sock.is_blocked = false;
            self.edge(id);
        }
        Arrived::Bytes(bytes)
    }

    /// True exactly when [`Net::client_receives`] has something to tell.
    pub(crate) fn has_news(&self, id: SockId) -> bool {
        let sock = &self.socks[id];
        sock.is_reset || !sock.buffer.is_empty() || sock.is_shut || sock.is_closed
    }

    // The shards' side.

    /// True exactly when `shard` would not block now.
    pub(crate) fn is_ready(&self, shard: usize) -> bool {
        let now = self.clock.ms();
        self.listeners[shard].has_edge
            || self.live[shard].iter().any(|id| self.socks[*id].edge_at.is_some_and(|at| at <= now))
    }

    /// When something arrives or is told next, after now.
    pub(crate) fn next_at(&self) -> Option<u64> {
        let socks = self.socks.iter().filter(|sock| !sock.is_closed);
        socks
            .flat_map(|sock| {
                [
                    sock.flight.front().map(|(at, _)| *at),
                    sock.fin_at.filter(|_| !sock.has_fin),
                    sock.edge_at,
                ]
            })
            .flatten()
            .filter(|at| *at > self.clock.ms())
            .min()
    }

    /// Time has passed.
    pub(crate) fn advance(&mut self) {
        for id in 0..self.socks.len() {
            if !self.socks[id].is_closed {
                self.arrive(id);
            }
        }
    }

    pub(crate) fn poll(&mut self, shard: usize, ready: &mut Vec<Ready>) {
        let now = self.clock.ms();
        if std::mem::take(&mut self.listeners[shard].has_edge) {
            ready.push(Ready::Listener);
        }
        for id in &self.live[shard] {
            let sock = &mut self.socks[*id];
            let Some(key) = sock.key.filter(|_| sock.edge_at.is_some_and(|at| at <= now)) else {
                continue;
            };
            sock.edge_at = None;
            // As epoll does: an edge tells all that is ready.
            ready.push(Ready::Conn {
                key,
                readable: !sock.arrived.is_empty() || sock.has_fin || sock.is_reset,
                ended: sock.has_fin || sock.is_reset,
                writable: sock.buffer.len() < sock.capacity || sock.is_reset,
            });
        }
    }

    pub(crate) fn accept(&mut self, shard: usize) -> Result<(SockId, IpAddr), AcceptError> {
        let (aborted, exhausted) = (self.faults.accept_aborted, self.faults.accept_exhausted);
        if self.listeners[shard].backlog.is_empty() {
            return Err(AcceptError::Empty);
        }
        if self.rng.chance(exhausted) {
            return Err(AcceptError::Exhausted(io::Error::other("no descriptors")));
        }
        let id = self.listeners[shard].backlog.pop_front().expect("looked at above");
        if self.rng.chance(aborted) {
            self.socks[id].is_closed = true;
            self.socks[id].is_reset = true;
            return Err(AcceptError::Aborted(ErrorKind::ConnectionAborted.into()));
        }
        Ok((id, self.socks[id].ip))
    }

    pub(crate) fn register(&mut self, id: SockId, key: ConnKey) -> io::Result<()> {
        if self.rng.chance(self.faults.register_failed) {
            return Err(io::Error::other("no memory"));
        }
        let sock = &mut self.socks[id];
        assert!(sock.key.is_none(), "a socket is registered once");
        sock.key = Some(key);
        self.live[sock.shard].push(id);
        // As epoll does: what is ready when it is registered is told.
        self.edge(id);
        Ok(())
    }

    pub(crate) fn recv(&mut self, id: SockId, buf: &mut [u8]) -> io::Result<usize> {
        self.hinder(id)?;
        let sock = &mut self.socks[id];
        assert!(!sock.is_closed, "a freed socket is not read");
        let len = buf.len().min(sock.arrived.len());
        if len == 0 {
            return if sock.has_fin { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        for (place, byte) in buf.iter_mut().zip(sock.arrived.drain(..len)) {
            *place = byte;
        }
        self.trace.note(b'r', id as u64, &buf[..len]);
        Ok(len)
    }

    pub(crate) fn send(&mut self, id: SockId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.hinder(id)?;
        assert!(
            !self.socks[id].is_closed && !self.socks[id].is_shut,
            "a shut socket is not written"
        );
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        assert!(total > 0, "nothing is not sent");
        let room = self.socks[id].capacity.saturating_sub(self.socks[id].buffer.len());
        if room == 0 || self.rng.chance(self.faults.no_send) {
            self.socks[id].is_blocked = true;
            if room > 0 {
                self.edge(id);
            }
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut len = room.min(total);
        if self.rng.chance(self.faults.short_send) {
            len = 1 + self.rng.index(len);
        }
        let mut left = len;
        for slice in slices {
            let piece = &slice[..left.min(slice.len())];
            self.socks[id].buffer.extend(piece);
            self.trace.note(b's', id as u64, piece);
            left -= piece.len();
        }
        if self.socks[id].is_left {
            self.reset(id);
        }
        Ok(len)
    }

    pub(crate) fn shut(&mut self, id: SockId) {
        self.socks[id].is_shut = true;
    }

    pub(crate) fn close(&mut self, id: SockId) {
        let sock = &mut self.socks[id];
        assert!(!sock.is_closed, "a socket is freed once");
        sock.is_closed = true;
        // What was not read makes the kernel send a reset, which overtakes what is under way.
        if !sock.arrived.is_empty() && self.rng.chance(500) {
            sock.is_reset = true;
        }
        self.trace.note(b'c', id as u64, &[]);
        let shard = sock.shard;
        self.live[shard].retain(|live| *live != id);
    }

    /// Breaks what a shard leaves behind at its end.
    pub(crate) fn end_of_shard(&mut self, shard: usize) {
        self.stop_listening(shard);
        for id in std::mem::take(&mut self.live[shard]) {
            self.socks[id].is_closed = true;
        }
    }

    pub(crate) fn stop_listening(&mut self, shard: usize) {
        let listener = &mut self.listeners[shard];
        listener.is_open = false;
        listener.has_edge = false;
        for id in std::mem::take(&mut listener.backlog) {
            self.socks[id].is_closed = true;
            self.socks[id].is_reset = true;
        }
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.rng.word()
    }

    /// Sockets that are registered and not freed.
    pub(crate) fn live(&self) -> usize {
        self.live.iter().map(Vec::len).sum()
    }

    fn hinder(&mut self, id: SockId) -> io::Result<()> {
        if self.rng.chance(self.faults.reset) {
            self.socks[id].is_reset = true;
        }
        if self.socks[id].is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.rng.chance(self.faults.interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    /// What is due arrives; each arrival is an edge.
    fn arrive(&mut self, id: SockId) {
        let now = self.clock.ms();
        let sock = &mut self.socks[id];
        let mut has_news = false;
        while sock.flight.front().is_some_and(|(at, _)| *at <= now) {
            let (_, bytes) = sock.flight.pop_front().expect("looked at");
            sock.arrived.extend(bytes);
            has_news = true;
        }
        if !sock.has_fin && sock.flight.is_empty() && sock.fin_at.is_some_and(|at| at <= now) {
            sock.has_fin = true;
            has_news = true;
        }
        if has_news {
            self.edge(id);
        }
    }

    /// Something changed: the shard is told, perhaps a little later, and together with what changes meanwhile.
    fn edge(&mut self, id: SockId) {
        if self.socks[id].key.is_none() || self.socks[id].is_closed {
            return;
        }
        let at = self.clock.ms() + self.rng.below(self.faults.late_ms + 1);
        let sock = &mut self.socks[id];
        sock.edge_at = Some(sock.edge_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// The address of a user's devices.
pub(crate) fn address(user: i64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, user as u8))
}
