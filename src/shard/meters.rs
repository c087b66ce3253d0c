//! What a shard counts and says, in the words of the shard. Lines that a peer can cause are for `LOG_LEVEL=debug`.

use std::net::IpAddr;
use std::sync::Arc;

use crate::gate::Refusal;
use crate::metrics::{
    Auth, Block, CloseCode, Counter, Direction, Endpoint as Use, Gauge, Handshake, Histogram,
    Queue, Refusal as Reason, Route, StatusClass,
};
use crate::model::{Endpoint, UserId};

/// One shard's counters.
pub struct Meters {
    block: Arc<Block>,
    route: Route,
    open: [u64; 5],
}

impl Meters {
    /// Counts in `block`.
    pub fn new(block: Arc<Block>) -> Self {
        Self { block, route: Route::Other, open: [0; 5] }
    }

    /// A frame came in.
    #[inline]
    pub fn frame_in(&self) {
        self.block.add(Counter::Frames(Direction::In), 1);
    }

    /// Frames were queued for as many sessions.
    #[inline]
    pub fn fanned_out(&self, sessions: u64) {
        self.block.add(Counter::Frames(Direction::Out), sessions);
        self.block.observe(Histogram::FanoutSessions, sessions);
    }

    /// A committed message reached the outbound of its sessions this long after.
    pub fn delivered(&self, micros: u64) {
        self.block.observe(Histogram::Delivery, micros);
    }

    /// Bytes came in.
    pub fn received(&self, bytes: usize) {
        self.block.add(Counter::Bytes(Direction::In), bytes as u64);
    }

    /// Bytes went out.
    pub fn sent(&self, bytes: usize) {
        self.block.add(Counter::Bytes(Direction::Out), bytes as u64);
    }

    /// Typing or presence was dropped for a slow peer.
    pub fn shed(&self, frames: u32) {
        self.block.add(Counter::ShedEvents, u64::from(frames));
    }

    /// A peer was given up as slow.
    pub fn slow_consumer(&self) {
        self.block.add(Counter::SlowConsumers, 1);
    }

    /// A queue to the workers was full.
    pub fn busy(&self) {
        self.block.add(Counter::Refused(Reason::Busy), 1);
    }

    /// Something was refused by this code; one that is none of the metric's is not counted.
    pub fn refused(&self, code: &str) {
        if let Some(reason) = Reason::named(code) {
            self.block.add(Counter::Refused(reason), 1);
        }
    }

    /// A connection was refused because of a limit.
    pub fn connection_refused(&self, reason: Reason) {
        self.block.add(Counter::Refused(reason), 1);
    }

    /// Accepting failed.
    pub fn accept_failed(&self) {
        self.block.add(Counter::AcceptErrors, 1);
    }

    /// The request at hand goes to this route.
    pub fn route(&mut self, name: &str) {
        self.route = Route::named(name).unwrap_or(Route::Other);
    }

    /// The request at hand was answered.
    pub fn response(&self, status: u16) {
        self.block.add(Counter::HttpRequests(self.route, StatusClass::of(status)), 1);
    }

    /// A handshake was refused.
    pub fn handshake_refused(&self, refusal: &Refusal, peer: IpAddr) {
        tracing::debug!(code = refusal.code, %peer, "handshake refused");
        let outcome = match refusal.status {
            426 => Handshake::UpgradeRequired,
            503 => Handshake::Unavailable,
            _ => Handshake::named(refusal.code).unwrap_or(Handshake::BadHandshake),
        };
        self.block.add(Counter::Handshakes(outcome), 1);
        if let Some(auth) = Auth::named(refusal.code) {
            self.block.add(Counter::Auth(auth), 1);
        }
    }

    /// A handshake ended in a WebSocket.
    pub fn handshake_accepted(&self) {
        self.block.add(Counter::Handshakes(Handshake::Accepted), 1);
    }

    /// A session began.
    pub fn session_began(&mut self, user: UserId, endpoint: Endpoint, peer: IpAddr) {
        tracing::debug!(user = user.0, endpoint = endpoint.name(), %peer, "session began");
        self.block.add(Counter::Auth(Auth::Accepted), 1);
        self.count(use_of(endpoint), 1);
    }

    /// A session ended with this close code.
    pub fn session_ended(&mut self, user: UserId, endpoint: Endpoint, code: u16) {
        tracing::debug!(user = user.0, endpoint = endpoint.name(), code, "session ended");
        self.block.add(Counter::Disconnects(CloseCode::of(code)), 1);
        self.count(use_of(endpoint), -1);
    }

    /// Connections in all, timers that are armed, and what waits in this shard's queues.
    pub fn depths(&mut self, connections: usize, timers: usize, inbox: usize, stalled: usize) {
        let sessions: u64 = self.open[..3].iter().sum();
        let others = (connections as u64).saturating_sub(sessions);
        self.block.set(Gauge::ConnectionsOpen(Use::Http), others);
        self.block.set(Gauge::TimersArmed, timers as u64);
        self.block.set(Gauge::QueueDepth(Queue::Inbox), inbox as u64);
        self.block.set(Gauge::QueueDepth(Queue::Stalled), stalled as u64);
    }

    /// What waits for the workers; one shard says it for the node.
    pub fn queues(&self, write: usize, read: usize) {
        self.block.set(Gauge::QueueDepth(Queue::Write), write as u64);
        self.block.set(Gauge::QueueDepth(Queue::Read), read as u64);
    }

    /// A turn ended after working this long.
    pub fn turn(&self, busy_micros: u64) {
        self.block.add(Counter::ShardTurns, 1);
        self.block.add(Counter::ShardBusy, busy_micros);
    }

    fn count(&mut self, endpoint: Use, change: i64) {
        let open = &mut self.open[endpoint as usize];
        *open = open.saturating_add_signed(change);
        self.block.set(Gauge::ConnectionsOpen(endpoint), *open);
    }
}

const fn use_of(endpoint: Endpoint) -> Use {
    match endpoint {
        Endpoint::Chat => Use::Chat,
        Endpoint::Conversation(_) => Use::Conversation,
        Endpoint::Notifications => Use::Notifications,
    }
}
