//! Bytes of one connection to requests and texts, and those to the rules; answers of workers back to their askers.

use super::core::Core;
use super::slot::{Line, Role};
use crate::auth::AuthError;
use crate::auth::addresses::Over;
use crate::chat::{self, Opening, Pending};
use crate::conn::{Phase, Received};
use crate::gate::{self, Knock, Refusal, Verdict};
use crate::ids::ConnKey;
use crate::metrics::CONTENT_TYPE;
use crate::model::{Command, Endpoint, Envelope, Group};
use crate::protocol::http::forwarded::client_addr;
use crate::protocol::http::{Head, Request as HttpRequest, Response};
use crate::protocol::ws::encoder;
use crate::rest::{self, Handled, Ops, Part};
use crate::store::{self, Failure, Reply};
use crate::wire;
use crate::worker::{Answered, Job, Ticket};

impl Core {
    /// Walks what a connection received. What cannot be walked now is kept with it, and it is not read from until then.
    pub fn walk(&mut self, key: ConnKey, line: &mut Line, buf: &mut [u8]) {
        let mut pos = 0;
        while pos < buf.len() {
            let before = pos;
            match line.conn.phase() {
                Phase::Head => self.walk_request(key, line, buf, &mut pos),
                Phase::Open if !line.flags.stalled => {
                    pos = buf.len() - self.walk_frames(key, line, &mut buf[before..]);
                }
                Phase::Closing => {
                    let (mut bytes, now) = (&mut buf[pos..], self.now.mono);
                    let limits = self.node.limits(&line.role);
                    while line.conn.next_text(&mut bytes, now, limits).is_some() {}
                    // The peer's close frame may have been among it: then the end is settled with the flush.
                    return self.mark_dirty(key, line);
                }
                Phase::Open | Phase::Deciding => {}
                Phase::Lingering | Phase::Closed => return,
            }
            if pos == before {
                break;
            }
        }
        line.conn.keep(&buf[pos..]);
    }

    fn walk_request(&mut self, key: ConnKey, line: &mut Line, buf: &[u8], pos: &mut usize) {
        match line.conn.next_request(buf, pos, self.now.mono, &self.node.conn) {
            None => {
                // An interim response may be queued.
                if !line.conn.outbound().is_empty() {
                    self.mark_dirty(key, line);
                }
            }
            Some(Err(error)) => self.respond_malformed(key, line, error),
            Some(Ok(request)) => self.on_request(key, line, &request),
        }
    }

    /// Walks frames; returns how many bytes are left, because the session may not go on now.
    fn walk_frames(&mut self, key: ConnKey, line: &mut Line, buf: &mut [u8]) -> usize {
        let mut bytes = buf;
        while line.conn.phase() == Phase::Open && !line.flags.stalled {
            let limits = self.node.limits(&line.role);
            let Some(received) = line.conn.next_text(&mut bytes, self.now.mono, limits) else {
                break;
            };
            self.meters.frame_in();
            match received {
                Received::Text(text) => self.on_text(key, line, &text),
                Received::Binary(payload) => self.on_binary(key, line, &payload),
                Received::Control | Received::Broken(_) => self.mark_dirty(key, line),
                Received::SlowConsumer => self.give_up_on_slow_consumer(key, line),
            }
        }
        bytes.len()
    }

    fn on_text(&mut self, key: ConnKey, line: &mut Line, text: &str) {
        match &line.role {
            Role::Session(_) => match wire::decode(text) {
                Ok(envelope) => self.with_session(key, line, |session, ctx, out| {
                    chat::handle(session, &envelope, ctx, out);
                }),
                Err(fault) => self.with_session(key, line, |session, ctx, out| {
                    chat::refuse(session, &fault, ctx, out);
                }),
            },
            Role::Echo => self.send(key, line, encoder::text(text), false),
            Role::Http | Role::Knocking { .. } | Role::Ended => {}
        }
    }

    fn on_binary(&mut self, key: ConnKey, line: &mut Line, payload: &[u8]) {
        match line.role {
            Role::Echo => self.send(key, line, encoder::binary(payload), false),
            _ => self.close(key, line, 1003, "texts only"),
        }
    }

    fn on_request(&mut self, key: ConnKey, line: &mut Line, request: &HttpRequest<'_>) {
        let head = &request.head;
        let is_socket = gate::is_socket(head.path());
        self.meters.route(if is_socket { "socket" } else { rest::route_name(head.path()) });
        if let Err(refusal) = self.admit_address(line, head, is_socket) {
            line.conn.forbid_keep_alive();
            let accept = is_socket.then(|| gate::accept_to_close(head)).flatten();
            return self.refuse(key, line, &refusal, accept);
        }
        if is_socket {
            return self.on_knock(key, line, head);
        }
        let forwarded_proto = head.header("x-forwarded-proto");
        let is_https = line.flags.proxied && forwarded_proto.is_some_and(|proto| proto == "https");
        let (node, now) = (&self.node, self.now);
        let allowance = |user| node.allowance(user, now.mono);
        let handled = rest::handle(request, &node.rest_ctx(now, is_https, &allowance));
        match handled {
            Handled::Respond(response) => self.respond(key, line, &response),
            Handled::Await { request, then } => {
                let job = Job { request, from: Some(self.here(key)), ticket: Ticket::Rest(then) };
                self.submit(key, line, job);
            }
            Handled::Ops(ops) => self.on_ops(key, line, ops),
        }
    }

    fn on_ops(&mut self, key: ConnKey, line: &mut Line, ops: Ops) {
        let response = match ops {
            Ops::Healthz => rest::healthz(),
            Ops::Metrics => Response::with_body(200, CONTENT_TYPE, self.node.metrics.render()),
            Ops::Page => match &self.node.page {
                Some(page) => {
                    let (html, policy) = page.render(self.now);
                    Response::with_body(200, "text/html; charset=utf-8", html)
                        .header("Content-Security-Policy", policy)
                        .header("Cache-Control", "no-store")
                }
                // The route is there only with a page.
                None => Response::new(404),
            },
            Ops::Readyz => return self.on_readyz(key, line),
        };
        self.respond(key, line, &response);
    }

    fn on_readyz(&mut self, key: ConnKey, line: &mut Line) {
        let trouble = self.node.channel.trouble().map(|why| (Part::ChannelLayer, why));
        let mut failing: Vec<_> = trouble.into_iter().collect();
        if self.node.is_draining() {
            failing.push((Part::Draining, "clients are being moved away".to_owned()));
            return self.respond_ready(key, line, &failing, None);
        }
        let from = Some(self.here(key));
        let ticket = Ticket::Ready(failing);
        self.submit(key, line, Job { request: store::Request::Ping, from, ticket });
    }

    /// `store` is what is wrong with the store beside what else is `failing`.
    pub(super) fn respond_ready(
        &mut self,
        key: ConnKey,
        line: &mut Line,
        failing: &[(Part, String)],
        store: Option<&str>,
    ) {
        let failing = failing.iter().map(|(part, why)| (*part, &**why));
        let failing: Vec<_> = failing.chain(store.map(|why| (Part::Store, why))).collect();
        self.respond(key, line, &rest::readyz(&failing));
    }

    fn on_knock(&mut self, key: ConnKey, line: &mut Line, head: &Head<'_>) {
        match self.node.gate.judge(head, self.now.wall) {
            Verdict::Refuse(refusal, accept) => self.refuse(key, line, &refusal, accept),
            Verdict::Echo(accept) => {
                line.conn.upgrade(accept, self.now.mono);
                line.role = Role::Echo;
                self.meters.handshake_accepted();
                self.mark_dirty(key, line);
            }
            Verdict::Ask(knock, _) if self.node.is_draining() => {
                let refusal = Refusal::overloaded("draining", "this node is draining");
                self.refuse(key, line, &refusal, knock.closes.then_some(knock.accept));
            }
            Verdict::Ask(knock, request) => {
                // The group is joined before the store is asked, so that nothing falls between what it saw and what comes live.
                let group = match knock.endpoint {
                    Endpoint::Conversation(id) => Some(Group::Conversation(id)),
                    Endpoint::Chat | Endpoint::Notifications => None,
                };
                if let Some(group) = group {
                    self.join(group, key);
                }
                let pending = Pending::default();
                line.role = Role::Knocking { user: knock.user, group, pending };
                let ticket = Ticket::Gate(knock);
                self.submit(key, line, Job { request, from: Some(self.here(key)), ticket });
            }
        }
    }

    /// A worker has answered.
    pub fn on_answered(&mut self, key: ConnKey, line: &mut Line, answered: Answered) {
        let Answered { ticket, outcome, echo, .. } = answered;
        match ticket {
            Ticket::Chat(then) => self.with_session(key, line, |session, ctx, out| {
                chat::complete(session, then, outcome, echo, ctx, out);
            }),
            Ticket::Rest(then) if line.conn.phase() == Phase::Deciding => {
                let (node, now) = (&self.node, self.now);
                let allowance = |user| node.allowance(user, now.mono);
                let response =
                    rest::complete(then, outcome, &node.rest_ctx(now, false, &allowance));
                self.respond(key, line, &response);
            }
            Ticket::Gate(knock) if line.conn.phase() == Phase::Deciding => {
                self.on_admission(key, line, *knock, outcome);
            }
            Ticket::Ready(failing) if line.conn.phase() == Phase::Deciding => {
                let store = match &outcome {
                    Err(Failure::Store(error)) => Some(error.kind.name()),
                    Ok(_) | Err(Failure::Refused(_)) => None,
                };
                self.respond_ready(key, line, &failing, store);
            }
            Ticket::Rest(_)
            | Ticket::Gate(_)
            | Ticket::Ready(_)
            | Ticket::Presence { .. }
            | Ticket::Lease
            | Ticket::Revocations
            | Ticket::Nobody => {}
        }
    }

    fn on_admission(
        &mut self,
        key: ConnKey,
        line: &mut Line,
        knock: Knock,
        outcome: store::Outcome,
    ) {
        let (card, admission) = match outcome {
            Ok(Reply::Admitted { user, conversation }) => (user, conversation),
            Ok(_) => {
                debug_assert!(false, "Admit is answered by Admitted");
                let refusal = Refusal::overloaded("internal", "the server erred");
                self.leave_pending(key, line);
                return self.refuse(key, line, &refusal, knock.closes.then_some(knock.accept));
            }
            Err(failure) => {
                self.leave_pending(key, line);
                let refusal = Refusal::of(&failure);
                return self.refuse(key, line, &refusal, knock.closes.then_some(knock.accept));
            }
        };
        let Role::Knocking { pending, .. } = line.role else { return };
        // Meanwhile the token may have been revoked, and sessions closed that it opened: this is none of them yet.
        if self.node.gate.verifier.revocations().revokes(knock.user, knock.stamp) {
            self.leave_pending(key, line);
            let refusal = Refusal::unauthenticated(AuthError::Revoked);
            return self.refuse(key, line, &refusal, knock.closes.then_some(knock.accept));
        }
        let me = self.here(key);
        let opened = self.node.directory.open(&card, me);
        if let Some(oldest) = opened.evict {
            self.replace(oldest);
        }
        line.conn.upgrade(knock.accept, self.now.mono);
        self.mark_dirty(key, line);
        self.meters.handshake_accepted();
        self.meters.session_began(knock.user, knock.endpoint, line.peer);
        let connection_id = if knock.is_v1 { self.connection_id() } else { String::new() };
        let opening = Opening {
            user: knock.user,
            endpoint: knock.endpoint,
            v1: knock.is_v1,
            expires_at: knock.expires_at,
            stamp: knock.stamp,
            connection_id: &connection_id,
            since: knock.since.first().filter(|(id, _)| id.is_none()).map(|(_, seq)| *seq),
            pending,
        };
        let ctx = self.node.ctx(me, self.now);
        let session = chat::open(&opening, admission.as_ref(), &ctx, &mut self.effects);
        line.role = Role::Session(session);
        self.carry_out(key, line);
        if knock.endpoint == Endpoint::Chat && !knock.since.is_empty() {
            let command = Command::Resume { after: knock.since };
            self.with_session(key, line, |session, ctx, out| {
                chat::handle(session, &Envelope { reference: None, command }, ctx, out);
            });
        }
        if opened.first {
            self.tell_presence(knock.user);
        }
    }

    /// Refuses what came too fast, and counts a socket that came through a trusted proxy under the address that the proxy
    /// names. A proxy's connection carries requests of many clients one after the other, so those are not counted.
    fn admit_address(
        &mut self,
        line: &mut Line,
        head: &Head<'_>,
        is_socket: bool,
    ) -> Result<(), Refusal> {
        if line.flags.too_fast {
            return Err(too_fast());
        }
        if !line.flags.proxied || !is_socket {
            return Ok(());
        }
        if let Some(earlier) = line.address.take() {
            self.node.addresses.release(earlier, self.now.mono);
        }
        let lines = head.values("x-forwarded-for").collect::<Vec<_>>();
        let client = client_addr(line.peer, lines.into_iter(), &self.node.trusted_proxies);
        if self.node.trusts(client) {
            return Ok(());
        }
        match self.node.addresses.admit(client, self.now.mono) {
            Ok(address) => {
                line.address = Some(address);
                Ok(())
            }
            Err(Over::Rate(address)) => {
                line.address = Some(address);
                Err(too_fast())
            }
            Err(Over::Open) => Err(Refusal::too_many("too many connections from this address", 10)),
        }
    }
}

fn too_fast() -> Refusal {
    Refusal::too_many("connections from this address come too fast", 1)
}
