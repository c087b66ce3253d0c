//! A shard without its sockets: who is in which group, what waits, and how effects are carried out.
//!
//! Everything here works on one [`Line`] at a time and never looks into the table, so a slot stays borrowed while its effects
//! are carried out, and no two slots ever meet.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::groups::Groups;
use super::inbox::{Inbox, Note};
use super::lease::Lease;
use super::meters::Meters;
use super::node::Node;
use super::revocation::Poll;
use super::slot::{Line, Role};
use super::stalled::Stalled;
use super::timers::Wheel;
use super::write_delay::WriteDelay;
use crate::chat::effect::{Effect, Then};
use crate::chat::{self, Ctx};
use crate::conn::outbound::Pushed;
use crate::conn::{Due, Phase};
use crate::gate::Refusal;
use crate::ids::{ConnKey, ConnRef, ShardId, UserId};
use crate::model::{Group, close};
use crate::protocol::http::{Problem, RequestError, Response, date};
use crate::rest;
use crate::store::{Lane, Request};
use crate::time::{Mono, Now};
use crate::worker::{Job, NotQueued, Ticket};

/// See the module.
pub struct Core {
    /// Which shard.
    pub shard: ShardId,
    /// What all shards share.
    pub node: Arc<Node>,
    /// Both clocks, read once a turn.
    pub now: Now,
    /// Who is in which group here.
    pub groups: Groups,
    /// Deadlines by slot index.
    pub wheel: Wheel,
    /// This thread's counters.
    pub meters: Meters,
    /// Connections to be flushed at the end of the turn.
    pub dirty: Vec<ConnKey>,
    /// Connections to be flushed later, by group.
    pub write_delay: WriteDelay,
    /// Connections with more to read than a turn's budget.
    pub hungry: VecDeque<ConnKey>,
    /// Connections to be freed at the end of the turn.
    pub doomed: Vec<ConnKey>,
    /// Requests that found a write queue full.
    pub stalled: Stalled,
    /// True exactly when something was published since shards were last woken for it.
    has_published: bool,
    /// Users whose presence is told soon.
    pub(super) presence: VecDeque<UserId>,
    /// When.
    pub(super) presence_at: Mono,
    /// Users whose presence the store could not keep.
    pub(super) unkept: Vec<UserId>,
    /// Of shard 0: the node's lease.
    pub(super) lease: Lease,
    /// Of shard 0: when it asks for revocations.
    pub(super) revocations: Poll,
    /// Random words, taken from `Io` once a turn.
    pub random: u64,
    /// Effects for [`Core::carry_out`]; kept for its room.
    pub(super) effects: Vec<Effect>,
    /// The `Date` header of this second.
    date: (i64, String),
    sessions: u64,
}

impl Core {
    /// A shard with nothing in it.
    pub fn new(shard: ShardId, node: Arc<Node>, now: Now) -> Self {
        let meters = Meters::new(node.metrics.block());
        let write_delay = WriteDelay::new(node.write_delay_ms);
        Self {
            shard,
            node,
            now,
            groups: Groups::default(),
            wheel: Wheel::new(now.mono),
            meters,
            dirty: Vec::new(),
            write_delay,
            hungry: VecDeque::new(),
            doomed: Vec::new(),
            stalled: Stalled::default(),
            has_published: false,
            presence: VecDeque::new(),
            presence_at: Mono(0),
            unkept: Vec::new(),
            lease: Lease::default(),
            revocations: Poll::default(),
            random: 1,
            effects: Vec::new(),
            date: (0, String::new()),
            sessions: 0,
        }
    }

    /// The connection of `key`, as other threads name it.
    pub fn here(&self, key: ConnKey) -> ConnRef {
        ConnRef { shard: self.shard, key }
    }

    /// Lets `rule` work on the session of `line`, and carries out what it wants. Nothing happens where there is no session.
    pub fn with_session(
        &mut self,
        key: ConnKey,
        line: &mut Line,
        rule: impl FnOnce(&mut chat::Session, &Ctx<'_>, &mut Vec<Effect>),
    ) {
        let me = self.here(key);
        if let Role::Session(session) = &mut line.role {
            rule(session, &self.node.ctx(me, self.now), &mut self.effects);
            self.carry_out(key, line);
        }
    }

    /// Carries out the effects at hand, in order.
    pub fn carry_out(&mut self, key: ConnKey, line: &mut Line) {
        // A full queue can bring further effects; they get a list of their own.
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(frame) => self.send(key, line, frame, false),
                Effect::Complain { code, frame } => {
                    self.meters.refused(code.name());
                    self.send(key, line, frame, false);
                }
                Effect::Close { code, reason } => self.close(key, line, code, reason),
                Effect::Store { request, then } => self.ask(key, line, request, then),
                Effect::Publish(delivery) => {
                    self.node.channel.publish(delivery, false);
                    self.has_published = true;
                }
                Effect::Join(group) => self.join(group, key),
                Effect::Leave(group) => self.leave(group, key),
            }
        }
        self.effects = effects;
    }

    /// Wakes workers and shards for what was asked and published since the last call.
    pub fn ring(&mut self) {
        self.node.queues.ring();
        if std::mem::take(&mut self.has_published) {
            self.node.inboxes.iter().for_each(Inbox::ring);
        }
    }

    /// Queues a frame for a session.
    #[inline]
    pub fn send(&mut self, key: ConnKey, line: &mut Line, frame: Bytes, sheddable: bool) {
        match line.conn.send(frame, sheddable, self.now.mono, self.node.limits(&line.role)) {
            Pushed::Queued { shed } => {
                if shed > 0 {
                    self.meters.shed(shed);
                }
                self.mark_dirty(key, line);
            }
            Pushed::Shed => {
                if line.conn.phase() == Phase::Open {
                    self.meters.shed(1);
                }
            }
            Pushed::Overflow => self.give_up_on_slow_consumer(key, line),
        }
    }

    /// Closes a WebSocket after what is queued for it.
    pub fn close(&mut self, key: ConnKey, line: &mut Line, code: u16, reason: &str) {
        line.conn.close(code, reason, self.now.mono, &self.node.conn);
        self.mark_dirty(key, line);
    }

    /// Closes a WebSocket whose peer does not read: in place of what is queued, since that would never leave.
    pub fn give_up_on_slow_consumer(&mut self, key: ConnKey, line: &mut Line) {
        if line.conn.phase() == Phase::Open {
            self.meters.slow_consumer();
            let (code, reason) = (close::SLOW_CONSUMER, "slow consumer: reconnect and resume");
            line.conn.close_now(code, reason, self.now.mono, &self.node.conn);
            self.mark_dirty(key, line);
        }
    }

    /// Queues a response to the request at hand.
    pub fn respond(&mut self, key: ConnKey, line: &mut Line, response: &Response) {
        let second = self.now.wall.unix_seconds();
        if self.date.0 != second {
            self.date = (second, date::imf_fixdate(second.max(0) as u64));
        }
        if self.node.is_draining() {
            line.conn.forbid_keep_alive();
        }
        self.meters.response(response.status());
        line.conn.respond(response, &self.date.1, self.now.mono, &self.node.conn);
        self.mark_dirty(key, line);
    }

    /// Answers a request that could not be read; it is the last of its connection.
    pub fn respond_malformed(&mut self, key: ConnKey, line: &mut Line, error: RequestError) {
        self.meters.refused(error.code());
        self.respond(key, line, &Response::refusal(error));
    }

    /// Refuses a handshake: by HTTP, or with an upgrade and a close code where the client can read only that.
    pub fn refuse(
        &mut self,
        key: ConnKey,
        line: &mut Line,
        refusal: &Refusal,
        accept: Option<Vec<u8>>,
    ) {
        self.meters.handshake_refused(refusal, line.peer);
        match accept {
            None => self.respond(key, line, &refusal.response()),
            Some(head) => {
                line.conn.upgrade(head, self.now.mono);
                line.role = Role::Ended;
                self.close(key, line, refusal.close_code, refusal.code);
            }
        }
    }

    /// Puts `key` into `group`.
    pub fn join(&mut self, group: Group, key: ConnKey) {
        // Every chat session is in the general group: a list of them would only be the table again.
        if group != Group::General && self.groups.join(group, key.index) {
            self.node.channel.join(group, self.shard);
        }
    }

    /// Takes `key` out of `group`.
    pub fn leave(&mut self, group: Group, key: ConnKey) {
        if group != Group::General && self.groups.leave(group, key.index) {
            self.node.channel.leave(group, self.shard);
        }
    }

    /// Asks the store on behalf of a session. A full write queue stalls the connection, so that TCP carries the pressure to
    /// the sender; a full read queue is an error the client can wait out.
    fn ask(&mut self, key: ConnKey, line: &mut Line, request: Request, then: Then) {
        let waits = matches!(then, Then::Resume(_))
            && line.conn.outbound().len() > self.node.conn.outbound.short_bytes();
        let job = Job { request, from: Some(self.here(key)), ticket: Ticket::Chat(then) };
        if waits {
            line.deferred = Some(Box::new(job));
        } else {
            self.submit(key, line, job);
        }
    }

    /// Queues a job of a connection.
    pub fn submit(&mut self, key: ConnKey, line: &mut Line, job: Job) {
        let lane = job.request.lane();
        let Err(why) = self.node.queues.submit(job) else { return };
        let (NotQueued::Full(job) | NotQueued::Stopped(job)) = *why;
        if lane == Lane::Write && !self.node.is_stopped() {
            line.flags.stalled = true;
            self.stalled.push(job, &self.node.queues);
            return;
        }
        self.meters.busy();
        match job.ticket {
            Ticket::Chat(then) => self.with_session(key, line, |session, ctx, out| {
                chat::busy(session, then, ctx, out);
            }),
            Ticket::Rest(then) => {
                let (node, now) = (&self.node, self.now);
                let allowance = |user| node.allowance(user, now.mono);
                let response = rest::busy(&then, &node.rest_ctx(now, false, &allowance));
                self.respond(key, line, &response);
            }
            Ticket::Ready(failing) => self.respond_ready(key, line, &failing, Some("busy")),
            Ticket::Gate(knock) => {
                self.leave_pending(key, line);
                let refusal = Refusal::overloaded("busy", BUSY);
                self.refuse(key, line, &refusal, knock.closes.then_some(knock.accept));
            }
            Ticket::Presence { .. } | Ticket::Lease | Ticket::Revocations | Ticket::Nobody => {}
        }
    }

    /// True exactly when something waits to be put into a queue.
    pub fn is_waiting(&self) -> bool {
        !self.stalled.is_empty() || !self.presence.is_empty()
    }

    /// A handshake ends without a session.
    pub fn leave_pending(&mut self, key: ConnKey, line: &mut Line) {
        if let Role::Knocking { group, .. } = line.role {
            line.role = Role::Http;
            if let Some(group) = group {
                self.leave(group, key);
            }
        }
    }

    /// Ends what depends on the connection being open, frees the connection when it is over, and sets its timer. Called
    /// after anything happened to it.
    pub fn settle(&mut self, key: ConnKey, line: &mut Line) {
        let phase = line.conn.phase();
        if !matches!(phase, Phase::Head | Phase::Deciding | Phase::Open) {
            self.end_role(key, line);
        }
        if phase == Phase::Closed {
            if !line.flags.doomed {
                line.flags.doomed = true;
                self.doomed.push(key);
            }
            return;
        }
        let mut at = line.conn.deadline(self.node.limits(&line.role));
        if let Role::Session(session) = &line.role {
            at = at.min(session.deadline(self.now));
        }
        // A later deadline is set when the earlier one fires.
        if line.armed == Mono(0) || at < line.armed {
            line.armed = at.max(Mono(1));
            self.wheel.set(key.index, at);
        }
    }

    /// The timer of a connection fired.
    pub fn on_timer(&mut self, key: ConnKey, line: &mut Line) {
        line.armed = Mono(0);
        let due = line.conn.on_deadline(self.now.mono, self.node.limits(&line.role));
        match due {
            Due::Nothing | Due::Lost => {}
            Due::Queued => self.mark_dirty(key, line),
            Due::RequestTimeout => {
                let detail = "the request did not arrive in time";
                let problem = Problem::new(408, "request_timeout", detail);
                self.respond(key, line, &Response::problem(&problem));
            }
            Due::DecisionTimeout if matches!(line.role, Role::Knocking { .. }) => {
                self.leave_pending(key, line);
                self.refuse(key, line, &Refusal::overloaded("busy", BUSY), None);
            }
            Due::DecisionTimeout => {
                let problem = Problem::new(503, "busy", BUSY);
                self.respond(key, line, &Response::problem(&problem).retry_after(1));
            }
            Due::Unresponsive => self.close(key, line, close::UNRESPONSIVE, "no pong"),
            Due::SlowConsumer => self.give_up_on_slow_consumer(key, line),
        }
        if let Role::Session(session) = &line.role
            && session.deadline(self.now) <= self.now.mono
        {
            self.with_session(key, line, chat::on_deadline);
        }
    }

    /// A session's or handshake's part in groups and directory ends.
    fn end_role(&mut self, key: ConnKey, line: &mut Line) {
        self.leave_pending(key, line);
        if matches!(line.role, Role::Session(_)) {
            self.with_session(key, line, chat::close);
            let me = self.here(key);
            if let Role::Session(session) = std::mem::replace(&mut line.role, Role::Ended) {
                let code = line.conn.close_code();
                self.meters.session_ended(session.user(), session.endpoint(), code);
                self.node.directory.close(session.user(), me, self.now.mono);
            }
            line.deferred = None;
        }
    }

    /// The connection is flushed at the end of the turn.
    pub fn mark_dirty(&mut self, key: ConnKey, line: &mut Line) {
        if !line.flags.dirty {
            line.flags.dirty = true;
            self.dirty.push(key);
        }
    }

    /// The connection is read from again in this or the next turn.
    pub fn mark_hungry(&mut self, key: ConnKey, line: &mut Line) {
        if !line.flags.hungry {
            line.flags.hungry = true;
            self.hungry.push_back(key);
        }
    }

    /// Tells another shard to close a session that a newer one replaces.
    pub fn replace(&self, conn: ConnRef) {
        let reason = "replaced by a newer connection";
        self.node.inboxes[usize::from(conn.shard.0)].push(Note::Close {
            conn,
            code: close::REPLACED,
            reason,
        });
    }

    /// A name for a connection that is unique on this node and says nothing about it.
    pub fn connection_id(&mut self) -> String {
        self.sessions += 1;
        format!("{:x}-{:x}-{:x}", self.node.id.short(), self.shard.0, self.sessions)
    }
}

/// The queues are full, or no answer came in time.
const BUSY: &str = "the server is busy; try again";
