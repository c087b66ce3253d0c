//! The wiring of the server: picks implementations, starts threads, serves until it is told to stop.
//!
//! The only place that names an implementation of a port.

mod bus;
mod channel;
mod condition;
mod first_answer;
mod ledger;
mod page;
mod signals;
mod stores;
mod threads;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::addresses::Addresses;
use crate::auth::{Rate, Revocations, Verifier};
use crate::channel::ChannelLayer;
use crate::chat::{ChatLimits, Directory};
use crate::config::{self, Config};
use crate::conn::ConnLimits;
use crate::conn::outbound::OutboundLimits;
use crate::gate::Gate;
use crate::ids::{NodeId, ShardId};
use crate::limits::{
    ACCEPT_BACKLOG, BODY_BYTES_MAX, CLOSE_MS, DECIDE_MS, ECHO_BYTES_MAX, ECHO_FRAGMENTS_MAX,
    FRAGMENTS_MAX, HEAD_BYTES_MAX, HEADERS_MAX, LEASE_LAST_S,
};
use crate::metrics::Registry;
use crate::model::UserId;
use crate::protocol::http::cors;
use crate::protocol::{http, ws};
use crate::shard::Shard;
use crate::shard::inbox::{Note, Notes, inbox};
use crate::shard::mio_io::{Clock, MioIo, listen};
use crate::shard::node::{Node, Page, Stage};
use crate::store::Request;
use crate::wire::Encoder;
use crate::worker::commits::Commits;
use crate::worker::{Job, Queues, Ticket, queues};

pub use crate::channel::redis::admin::{
    Admin as Bus, BufferLimit, BusFault, BusHealth, GroupCount, HostReport, Info, SendError, Sent,
};
pub use crate::store::schema::postgres::{Health, VERSION_MIN};
pub use crate::store::schema::{Pending, Planned, Progress};
pub use bus::bus;
pub use stores::{Engine, StoreReport, inspect_store, migrate, open_store, plan_migration};

use condition::Condition;
use first_answer::{FirstAnswer, Wait};
use page::DemoPage;
use signals::Signals;
use stores::Opener;

/// What the command that starts a server adds to its settings.
pub struct Hooks {
    /// Where the figures are counted.
    pub metrics: Arc<Registry>,
    /// Called once, as soon as clients can connect, with the address that was bound.
    pub on_ready: Box<dyn FnOnce(SocketAddr) + Send>,
    /// The users of the demo page, with tokens made afresh whenever it is asked for; empty outside `demo`.
    pub demo_users: Vec<DemoUser>,
}

/// A user of the demo page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DemoUser {
    /// Who.
    pub id: UserId,
    /// The name to log in by.
    pub username: String,
    /// The name to show.
    pub first_name: String,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("PORT: cannot listen on {address}: {source}")]
pub struct PortUnavailable {
    /// Which.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Serves until SIGTERM or SIGINT, drains, and returns.
///
/// The order of the end: shards take nothing new and move their clients away; the workers commit what is queued and go; what
/// they published is sent to the other nodes; then this returns. A second signal ends the process at once.
///
/// # Errors
///
/// [`PortUnavailable`], a [`StoreError`](crate::store::StoreError), or what else kept the server from starting. A database that
/// is a server may be reached, and found not to be this program's, only after the port was opened: then this returns as well.
#[expect(clippy::needless_pass_by_value, reason = "a server owns its settings")]
pub fn run(config: Config, hooks: Hooks) -> anyhow::Result<()> {
    let Hooks { metrics, on_ready, demo_users } = hooks;
    let signals = Signals::listen()?;
    let clock = Clock::start();
    let revocations = Arc::new(Revocations::default());
    stores::prepare(&config, &revocations)?;
    let (address, listeners) = bind(config.net.address(), config.net.shards)?;

    let mut ios = Vec::new();
    let mut inboxes = Vec::new();
    for listener in listeners {
        let (io, wake) = MioIo::new(listener, clock, getrandom::u64()?)?;
        let (inbox, notes) = inbox(wake, metrics.block());
        ios.push((io, notes));
        inboxes.push(inbox);
    }
    let (queues, workload) = queues(config.store.write_workers);
    let encoder = Encoder::new(&config.net.media_url);
    let condition = Condition::of(stores::place(&config));
    let answer = FirstAnswer::awaited();
    let opener = Opener::of(&config, &answer);
    let me = new_life()?;
    let commits = Commits::default();
    let channel = channel::start(
        &config,
        &channel::Links {
            me,
            inboxes: &inboxes,
            encoder: &encoder,
            clock,
            opener: &opener,
            commits: &commits,
            metrics: &metrics,
        },
    )?;
    let workers = workers::start(
        &config,
        workload,
        &workers::Links {
            channel: Arc::clone(&channel.layer),
            encoder: encoder.clone(),
            inboxes: inboxes.clone(),
            clock,
            condition: Arc::clone(&condition),
            commits,
            opener,
        },
        &metrics,
    )?;
    let page = (config.debug || !demo_users.is_empty())
        .then(|| Arc::new(DemoPage::new(demo_users, config.auth.clone())) as Arc<dyn Page>);
    let stage = Stage::default();
    let inboxes = inboxes.clone();
    let layer = Arc::clone(&channel.layer);
    let parts = Parts {
        me,
        metrics,
        encoder,
        channel: layer,
        queues,
        inboxes,
        page,
        stage,
        revocations: Arc::clone(&revocations),
    };
    let node = Arc::new(node(&config, parts)?);

    let wait = match stores::meet(&config, &revocations) {
        Some(meet) => {
            let report = condition.report(move || clock.now().mono);
            // Not kept alive: with the node go the queues, and with those the workers.
            let node = Arc::downgrade(&node);
            let give_up = Box::new(move || {
                if let Some(node) = node.upgrade() {
                    drain(&node, 0);
                }
            });
            Some(Wait::begin(first_answer::Links { meet, answer, condition, report, give_up })?)
        }
        None => None,
    };
    let shards = start_shards(ios, &node)?;
    on_ready(address);
    let drain_ms = config.net.drain_ms;
    let stopper = Arc::clone(&node);
    let watch = signals.on_stop(move || {
        tracing::info!(drain_ms, "draining");
        drain(&stopper, drain_ms);
    })?;
    threads::join(shards);
    end_lease(&node);
    node.stage.stop();
    // With the last sender gone, the workers commit what is queued and go.
    drop(node);
    watch.end();
    threads::join(workers);
    // The workers published until now.
    channel.end();
    tracing::info!("stopped");
    wait.map_or(Ok(()), Wait::end)?;
    Ok(())
}

/// The last thing that the node asks: whoever has not come back elsewhere after the usual grace is taken offline by others.
fn end_lease(node: &Node) {
    let lease_s = LEASE_LAST_S.min(node.lease_s);
    let request = Request::Lease { node: node.id, lease_s, reap: false };
    let job = Job { request, from: None, ticket: Ticket::Nobody };
    if node.queues.submit(job).is_err() {
        tracing::warn!(
            "the write queue is full: this node's users are online until its lease ends"
        );
    }
    node.queues.ring();
}

/// Nothing new is taken, and clients are moved away within so many milliseconds; then the shards end.
fn drain(node: &Node, within_ms: u64) {
    node.stage.drain();
    for inbox in &node.inboxes {
        inbox.push_patiently(Note::Drain { within_ms });
    }
}

/// A listener for each shard, all on one port.
fn bind(
    address: SocketAddr,
    shards: usize,
) -> anyhow::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    let unavailable = |source| PortUnavailable { address, source };
    // With SO_REUSEPORT a second server of the same user would share the port and half of its clients: ask first, without.
    if address.port() != 0 {
        drop(std::net::TcpListener::bind(address).map_err(unavailable)?);
    }
    let first = listen(address, ACCEPT_BACKLOG).map_err(unavailable)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..shards {
        listeners.push(listen(address, ACCEPT_BACKLOG).map_err(unavailable)?);
    }
    Ok((address, listeners))
}

/// What [`run`] has made by the time the node is put together.
struct Parts {
    me: NodeId,
    metrics: Arc<Registry>,
    encoder: Encoder,
    channel: Arc<dyn ChannelLayer>,
    queues: Queues,
    inboxes: Vec<crate::shard::inbox::Inbox>,
    page: Option<Arc<dyn Page>>,
    stage: Stage,
    revocations: Arc<Revocations>,
}

fn node(config: &Config, parts: Parts) -> anyhow::Result<Node> {
    let Parts { me, metrics, encoder, channel, queues, inboxes, page, stage, revocations } = parts;
    let chat = chat_limits(config);
    let mut secrets = vec![config.auth.secret.expose()];
    secrets.extend(config.auth.previous.as_ref().map(config::Secret::expose));
    let verifier =
        Verifier::new(&secrets, config.auth.audience.clone(), config.auth.issuer.clone())
            .with_revocations(revocations);
    let per_ip = config.conn.connects_per_ip.map_or(Rate::UNLIMITED, rate);
    let open_max = config.conn.per_ip_max.map_or(u32::MAX, |max| max as u32);
    Ok(Node {
        id: me,
        gate: Gate {
            verifier,
            hosts: config.net.allowed_hosts.clone(),
            origins: config.net.cors_allowed_origins.clone(),
            is_echo_on: config.echo,
        },
        encoder,
        cors: cors::Policy::new(&config.net.cors_allowed_origins),
        welcome: Arc::clone(&config.chat.welcome),
        page,
        directory: Directory::new(chat),
        addresses: Addresses::new(per_ip, open_max, getrandom::u64()?),
        channel,
        queues,
        connections_per_shard: config.conn.connections_max.div_ceil(inboxes.len()),
        inboxes,
        conn: conn_limits(&config.conn),
        write_delay_ms: config.conn.write_delay_ms,
        chat,
        echo: echo_limits(&config.conn),
        trusted_proxies: config.net.trusted_proxies.clone(),
        metrics,
        lease_s: config.store.lease_s,
        stage,
    })
}

/// A name for this life of this node that no other has.
fn new_life() -> anyhow::Result<NodeId> {
    let mut digits = [0; 16];
    getrandom::fill(&mut digits)?;
    Ok(NodeId(u128::from_be_bytes(digits)))
}

fn conn_limits(config: &config::ConnLimits) -> ConnLimits {
    ConnLimits {
        http: http::Limits {
            head_bytes: HEAD_BYTES_MAX,
            headers: HEADERS_MAX,
            target_bytes: HEAD_BYTES_MAX / 2,
            body_bytes: BODY_BYTES_MAX,
        },
        ws: ws::Limits {
            text_bytes: config.message_bytes_max,
            binary_bytes: config.message_bytes_max,
            fragments: FRAGMENTS_MAX,
        },
        outbound: OutboundLimits {
            hard_bytes: config.outbound_bytes_max,
            soft_bytes: config.outbound_soft_bytes,
            soft_ms: config.outbound_soft_ms,
        },
        request_ms: config.handshake_timeout_ms,
        idle_ms: config.idle_http_ms,
        decide_ms: DECIDE_MS,
        heartbeat_ms: config.heartbeat_ms,
        close_ms: CLOSE_MS,
    }
}

/// A peer of `/_echo` may have two of the largest messages under way.
fn echo_limits(config: &config::ConnLimits) -> ConnLimits {
    let bytes = ECHO_BYTES_MAX;
    let outbound = OutboundLimits {
        hard_bytes: 2 * bytes + bytes / 2,
        soft_bytes: 2 * bytes,
        soft_ms: config.outbound_soft_ms,
    };
    let ws = ws::Limits { text_bytes: bytes, binary_bytes: bytes, fragments: ECHO_FRAGMENTS_MAX };
    ConnLimits { ws, outbound, ..conn_limits(config) }
}

fn chat_limits(config: &Config) -> ChatLimits {
    ChatLimits {
        commands: rate(config.chat.commands),
        messages: rate(config.chat.messages),
        typing: rate(config.chat.typing),
        receipts: rate(config.chat.read_receipts),
        connections_per_user: config.conn.per_user_max,
        text_bytes: config.conn.message_bytes_max,
        heartbeat_ms: config.conn.heartbeat_ms,
    }
}

fn rate(rate: config::Rate) -> Rate {
    Rate::new(rate.per_second, rate.burst)
}

fn start_shards(
    ios: Vec<(MioIo, Notes)>,
    node: &Arc<Node>,
) -> io::Result<Vec<std::thread::JoinHandle<()>>> {
    let start = |(id, (io, notes)): (usize, (MioIo, Notes))| {
        let node = Arc::clone(node);
        threads::spawn(format!("shard-{id}"), move || {
            let mut shard = Shard::new(ShardId(id as u16), io, node, notes);
            while shard.turn() {}
        })
    };
    ios.into_iter().enumerate().map(start).collect()
}
