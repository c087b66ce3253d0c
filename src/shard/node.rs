//! What all shards of a node share, and none of them changes: settings, rules, queues and tables with locks of their own.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use bytes::Bytes;

use super::inbox::Inbox;
use super::slot::Role;
use crate::auth::addresses::Addresses;
use crate::channel::ChannelLayer;
use crate::chat::{ChatLimits, Ctx, Directory, Kind};
use crate::conn::ConnLimits;
use crate::gate::Gate;
use crate::ids::{ConnRef, NodeId, UserId};
use crate::metrics::Registry;
use crate::protocol::http::cors;
use crate::protocol::http::forwarded::IpNet;
use crate::rest::{self, Allowance};
use crate::time::{Mono, Now};
use crate::wire::Encoder;
use crate::worker::Queues;

/// See the module.
pub struct Node {
    /// This life of this node; random.
    pub id: NodeId,
    /// Judges handshakes.
    pub gate: Gate,
    /// Writes frames.
    pub encoder: Encoder,
    /// `CORS_ALLOWED_ORIGINS`.
    pub cors: cors::Policy,
    /// The first message of the conversation that a match opens.
    pub welcome: Arc<str>,
    /// The page at `/`, where there is one.
    pub page: Option<Arc<dyn Page>>,
    /// Users who are here.
    pub directory: Directory,
    /// Addresses that are connected.
    pub addresses: Addresses,
    /// Fan-out.
    pub channel: Arc<dyn ChannelLayer>,
    /// To the workers.
    pub queues: Queues,
    /// To the shards, by number.
    pub inboxes: Vec<Inbox>,
    /// Bounds of connections.
    pub conn: ConnLimits,
    /// How long what is said in a busy group waits for company, milliseconds: `WRITE_DELAY_MS`.
    pub write_delay_ms: u64,
    /// Bounds of the chat.
    pub chat: ChatLimits,
    /// Bounds of connections to `/_echo`.
    pub echo: ConnLimits,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections that one shard takes.
    pub connections_per_shard: usize,
    /// Every thread's counters.
    pub metrics: Arc<Registry>,
    /// How long the node counts as alive after it was last heard of, seconds: `LEASE_S`.
    pub lease_s: u32,
    /// How far the end has come.
    pub stage: Stage,
}

/// Makes the page at `/`.
pub trait Page: Send + Sync {
    /// The page now: HTML, and its `Content-Security-Policy`.
    fn render(&self, now: Now) -> (Bytes, String);
}

/// Serving, draining or stopped; moves one way.
#[derive(Debug, Default)]
pub struct Stage {
    stage: AtomicU8,
    /// Shards that have drained.
    done: AtomicUsize,
}

impl Node {
    /// What the rules may look at, for the session of `me`.
    pub fn ctx(&self, me: ConnRef, now: Now) -> Ctx<'_> {
        Ctx {
            me,
            now,
            encoder: &self.encoder,
            directory: &self.directory,
            verifier: &self.gate.verifier,
            limits: &self.chat,
        }
    }

    /// The bounds of a connection in this role.
    pub fn limits(&self, role: &Role) -> &ConnLimits {
        match role {
            Role::Echo => &self.echo,
            Role::Http | Role::Knocking { .. } | Role::Session(_) | Role::Ended => &self.conn,
        }
    }

    /// What a REST request may look at. `allowance` is [`Node::allowance`] at the same time.
    pub fn rest_ctx<'a>(
        &'a self,
        now: Now,
        is_https: bool,
        allowance: &'a dyn Fn(UserId) -> Allowance,
    ) -> rest::Ctx<'a> {
        rest::Ctx {
            now,
            encoder: &self.encoder,
            verifier: &self.gate.verifier,
            hosts: &self.gate.hosts,
            cors: &self.cors,
            allowance,
            welcome: &self.welcome,
            is_https,
            has_page: self.page.is_some(),
        }
    }

    /// Takes one message from what `user` may send: sockets and REST spend from one bucket.
    pub fn allowance(&self, user: UserId, now: Mono) -> Allowance {
        let taken = self.directory.take(user, Kind::Messages, now);
        let remaining = self.directory.remaining(user, Kind::Messages, now);
        Allowance { rate: self.chat.messages, remaining, taken }
    }

    /// True exactly when `peer` is a proxy that says for whom it speaks.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(peer))
    }

    /// True exactly when no new work is taken.
    pub fn is_draining(&self) -> bool {
        self.stage.stage.load(Ordering::Relaxed) >= 1
    }

    /// True exactly when every shard but one is done.
    pub fn is_last_shard(&self) -> bool {
        self.stage.done.load(Ordering::Relaxed) + 1 >= self.inboxes.len()
    }

    /// True exactly when the workers are going.
    pub fn is_stopped(&self) -> bool {
        self.stage.stage.load(Ordering::Relaxed) >= 2
    }
}

impl Stage {
    /// No new work is taken from now on.
    pub fn drain(&self) {
        self.stage.fetch_max(1, Ordering::Relaxed);
    }

    /// The workers are going.
    pub fn stop(&self) {
        self.stage.fetch_max(2, Ordering::Relaxed);
    }

    /// A shard has drained and is done; each says it once.
    pub fn shard_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}
