//! One connection as a state machine without a socket: HTTP first, then perhaps WebSocket.
//!
//! Bytes that came in are walked with [`Conn::next_request`] and [`Conn::next_text`]; bytes to send wait in
//! [`Conn::outbound`]. Control frames, heartbeats, the closing handshakes of both protocols and every deadline of the
//! transport are settled here. What a request or a text means, and who sent it, is not known here.

pub mod keepalive;
pub mod outbound;
pub mod phase;

use std::borrow::Cow;

use bytes::Bytes;

use crate::protocol::http::{self, Exchange, Request, RequestError, Response};
use crate::protocol::ws::{self, CloseCode, Input, ProtocolError};
use crate::time::Mono;

use keepalive::{Beat, Keepalive};
use outbound::{Outbound, OutboundLimits, Pushed};
pub use phase::Phase;

/// The bounds of a connection, by the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnLimits {
    /// Of a request.
    pub http: http::Limits,
    /// Of a text.
    pub ws: ws::Limits,
    /// Of what waits to be sent.
    pub outbound: OutboundLimits,
    /// For a whole request from its first byte, and from accept to that.
    pub request_ms: u64,
    /// For the next request on a connection that is kept, from the last byte that left.
    pub idle_ms: u64,
    /// For the answer to a request.
    pub decide_ms: u64,
    /// Between heartbeats.
    pub heartbeat_ms: u64,
    /// For the last bytes to leave and the peer to end; of a response, from one byte that leaves to the next.
    pub close_ms: u64,
}

/// See the module. At rest it owns no heap memory.
#[derive(Debug)]
pub struct Conn {
    phase: Phase,
    codec: Codec,
    /// Received and not yet walked, because an answer is awaited or a queue is full; at most one receive buffer.
    #[expect(clippy::box_collection, reason = "one word in a slot that is nearly always empty")]
    kept: Option<Box<Vec<u8>>>,
    outbound: Outbound,
    keepalive: Keepalive,
    /// Of [`Phase::Head`], [`Phase::Deciding`], [`Phase::Closing`] and [`Phase::Lingering`].
    deadline: Mono,
    /// How the request in [`Phase::Deciding`] wants its response written.
    exchange: Exchange,
    /// The code this connection ended or will end with.
    close_code: u16,
    /// True exactly when the peer's close frame was read.
    is_peer_closed: bool,
    /// True exactly when the peer has shut its half.
    is_peer_shut: bool,
}

#[derive(Debug)]
enum Codec {
    Http(http::Decoder),
    Ws(ws::Decoder),
}

/// What came in by WebSocket.
#[derive(Debug)]
pub enum Received<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A binary.
    Binary(Cow<'a, [u8]>),
    /// A control frame, answered already where it wants an answer.
    Control,
    /// The peer broke the protocol: the connection is closing with this error's code.
    Broken(ProtocolError),
    /// The peer does not read what it asks for.
    SlowConsumer,
}

/// What a deadline that has passed calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Nothing, or something that was done here.
    Nothing,
    /// Something was queued.
    Queued,
    /// A request did not arrive whole in its time: answer 408.
    RequestTimeout,
    /// A request found no answer in its time: answer 503.
    DecisionTimeout,
    /// The peer is silent: close 4408.
    Unresponsive,
    /// The peer is slow: close 4480.
    SlowConsumer,
    /// Free the slot.
    Lost,
}

/// What is to be done with the socket once everything has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    /// Nothing: the connection goes on.
    GoesOn,
    /// Shut our half.
    Shut,
    /// Free the slot.
    Lost,
}

/// RFC 6455 §7.1.5: what is said of a connection that ended without a close frame. Never sent.
const ABNORMAL: u16 = 1006;

impl Conn {
    /// A connection accepted at `now`.
    pub fn new(now: Mono, limits: &ConnLimits) -> Self {
        Self {
            phase: Phase::Head,
            codec: Codec::Http(http::Decoder::default()),
            kept: None,
            outbound: Outbound::default(),
            keepalive: Keepalive::new(now),
            deadline: now.plus(limits.request_ms),
            exchange: Exchange::LAST,
            close_code: ABNORMAL,
            is_peer_closed: false,
            is_peer_shut: false,
        }
    }

    /// Where it is in its life.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What waits to be sent.
    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// The code it ended with; 1006 where it ended without one.
    pub fn close_code(&self) -> u16 {
        self.close_code
    }

    /// True exactly when it owns no heap memory.
    pub fn is_at_rest(&self) -> bool {
        let decoder = match &self.codec {
            Codec::Http(decoder) => decoder.at_rest(),
            Codec::Ws(decoder) => decoder.is_at_rest(),
        };
        decoder && self.kept.is_none() && self.outbound.is_empty()
    }

    /// True exactly when no request is begun.
    pub fn is_between_requests(&self) -> bool {
        matches!(&self.codec, Codec::Http(decoder) if decoder.at_rest()) && self.kept.is_none()
    }

    // What came in.

    /// The next request of `buf` from `*pos` on. `None`: everything was taken and more is needed, or, with bytes left, an earlier
    /// response must leave first.
    ///
    /// # Errors
    ///
    /// The request is malformed or too large: answer it with [`Conn::respond`] of an [`Exchange::LAST`].
    pub fn next_request<'a>(
        &mut self,
        buf: &'a [u8],
        pos: &mut usize,
        now: Mono,
        limits: &ConnLimits,
    ) -> Option<Result<Request<'a>, RequestError>> {
        let Codec::Http(decoder) = &mut self.codec else { return None };
        // A client that pipelines and does not read its responses gets no more of them.
        if self.outbound.len() > limits.outbound.soft_bytes {
            return None;
        }
        let was_at_rest = decoder.at_rest();
        while let Some(event) = decoder.next(buf, pos, &limits.http) {
            match event {
                Ok(http::Event::ExpectContinue) => {
                    self.outbound.push_always(Bytes::from_static(http::CONTINUE));
                }
                Ok(http::Event::Request(request)) => {
                    self.exchange = request.head.exchange();
                    self.phase.on_request();
                    self.deadline = now.plus(limits.decide_ms);
                    return Some(Ok(request));
                }
                Err(error) => {
                    self.exchange = Exchange::LAST;
                    return Some(Err(error));
                }
            }
        }
        if was_at_rest && !decoder.at_rest() {
            self.deadline = now.plus(limits.request_ms);
        }
        None
    }

    /// The next text of `bytes`, which is shortened by what was taken; `None` when all of it was. Pings are answered, pongs
    /// noted, a close frame is answered and begins the end.
    pub fn next_text<'a>(
        &mut self,
        bytes: &mut &'a mut [u8],
        now: Mono,
        limits: &ConnLimits,
    ) -> Option<Received<'a>> {
        let Codec::Ws(decoder) = &mut self.codec else { return None };
        if self.is_peer_closed {
            *bytes = &mut [];
        }
        // A decoder that has failed says so for ever.
        if bytes.is_empty() {
            return None;
        }
        // Whoever sends a long text over a slow line is heard long before it is whole.
        self.keepalive.on_heard(now);
        let input = decoder.next(bytes, &limits.ws)?;
        if self.phase != Phase::Open {
            // Our close frame is on its way: only the peer's is of interest (RFC 6455 §1.4).
            match input {
                Ok(Input::Close(..)) => self.is_peer_closed = true,
                Ok(_) => {}
                // What comes behind a broken frame says nothing.
                Err(_) => *bytes = &mut [],
            }
            return Some(Received::Control);
        }
        Some(match input {
            Ok(Input::Text(text)) => Received::Text(text),
            Ok(Input::Binary(binary)) => Received::Binary(binary),
            Ok(Input::Pong(_)) => Received::Control,
            Ok(Input::Ping(payload)) => {
                match self.send(ws::encoder::pong(&payload), true, now, limits) {
                    Pushed::Overflow => Received::SlowConsumer,
                    Pushed::Queued { .. } | Pushed::Shed => Received::Control,
                }
            }
            Ok(Input::Close(code, _)) => {
                self.is_peer_closed = true;
                let frame = match code {
                    Some(code) => ws::encoder::close(code, ""),
                    None => Bytes::from_static(ws::encoder::CLOSE),
                };
                self.close_code = code.map_or(1005, CloseCode::get);
                self.end(frame, false, now, limits);
                Received::Control
            }
            Err(error) => {
                self.close(error.close_code().get(), "", now, limits);
                Received::Broken(error)
            }
        })
    }

    /// Keeps what cannot be walked yet.
    pub fn keep(&mut self, bytes: &[u8]) {
        debug_assert!(self.kept.is_none(), "kept bytes are walked before more is read");
        if !bytes.is_empty() {
            self.kept = Some(Box::new(bytes.to_vec()));
        }
    }

    /// True exactly when something is kept.
    pub fn holds_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Gives back what was kept.
    pub fn take_kept(&mut self) -> Option<Vec<u8>> {
        self.kept.take().map(|kept| *kept)
    }

    /// The peer has shut its half: nothing more comes in. What is queued still leaves.
    pub fn on_shut(&mut self, now: Mono, limits: &ConnLimits) {
        self.is_peer_shut = true;
        match self.phase {
            Phase::Deciding => {}
            Phase::Head | Phase::Closing if !self.outbound.is_empty() => {
                self.phase.on_close();
                self.deadline = now.plus(limits.close_ms);
            }
            _ => self.phase.on_lost(),
        }
    }

    /// The socket failed.
    pub fn on_lost(&mut self) {
        self.phase.on_lost();
    }

    // What goes out.

    /// Queues a response to the request at hand. Afterwards the connection reads on, or is closing.
    pub fn respond(&mut self, response: &Response, date: &str, now: Mono, limits: &ConnLimits) {
        let mut bytes = Vec::new();
        response.encode(&mut bytes, self.exchange, Some(date));
        let stays = self.exchange.keep_alive && !self.is_peer_shut;
        self.outbound.push_always(bytes.into());
        if stays {
            self.phase.on_response();
            self.deadline = now.plus(limits.idle_ms);
        } else {
            self.phase.on_close();
            self.deadline = now.plus(limits.close_ms);
        }
    }

    /// The response to the request at hand will be the last.
    pub fn forbid_keep_alive(&mut self) {
        self.exchange.keep_alive = false;
    }

    /// Queues the head of `101 Switching Protocols`; what comes in from here on are frames.
    pub fn upgrade(&mut self, head: Vec<u8>, now: Mono) {
        self.outbound.push_always(head.into());
        self.codec = Codec::Ws(ws::Decoder::default());
        self.keepalive = Keepalive::new(now);
        self.phase.on_upgrade();
        if self.is_peer_shut {
            self.phase.on_lost();
        }
    }

    /// Queues a whole frame; dropped without a word where nothing may be sent any more.
    #[inline]
    pub fn send(
        &mut self,
        frame: Bytes,
        sheddable: bool,
        now: Mono,
        limits: &ConnLimits,
    ) -> Pushed {
        if self.phase != Phase::Open {
            return Pushed::Shed;
        }
        self.outbound.push(frame, sheddable, now, &limits.outbound)
    }

    /// Begins the closing handshake after what is queued (RFC 6455 §7.1.2).
    pub fn close(&mut self, code: u16, reason: &str, now: Mono, limits: &ConnLimits) {
        self.close_with(code, reason, false, now, limits);
    }

    /// Begins the closing handshake in place of what is queued.
    pub fn close_now(&mut self, code: u16, reason: &str, now: Mono, limits: &ConnLimits) {
        self.close_with(code, reason, true, now, limits);
    }

    /// `count` bytes have left; returns what is to be done when they were the last.
    pub fn on_sent(&mut self, count: usize, now: Mono, limits: &ConnLimits) -> Drained {
        self.outbound.advance(count, &limits.outbound);
        // A peer that takes a long response slowly is there: its time counts from what it took last.
        if let Codec::Http(decoder) = &self.codec {
            match self.phase {
                Phase::Head if decoder.at_rest() => self.deadline = now.plus(limits.idle_ms),
                Phase::Closing => self.deadline = now.plus(limits.close_ms),
                _ => {}
            }
        }
        self.settle()
    }

    /// What is to be done with the socket, as things are.
    pub fn settle(&mut self) -> Drained {
        if !self.outbound.is_empty() {
            return Drained::GoesOn;
        }
        match self.phase {
            Phase::Closing if self.is_peer_closed || self.is_peer_shut => {
                self.phase.on_lost();
                Drained::Lost
            }
            Phase::Closing if self.awaits_no_close_frame() => {
                self.phase.on_drained();
                Drained::Shut
            }
            Phase::Closed => Drained::Lost,
            // A WebSocket peer answers our close frame first; its half ends with ours.
            _ => Drained::GoesOn,
        }
    }

    /// True exactly when the peer has no close frame to send, or none that could be read: our half ends first
    /// (RFC 6455 §7.1.7).
    fn awaits_no_close_frame(&self) -> bool {
        match &self.codec {
            Codec::Http(_) => true,
            Codec::Ws(decoder) => decoder.has_failed(),
        }
    }

    // Time.

    /// When [`Conn::on_deadline`] is to be called next.
    pub fn deadline(&self, limits: &ConnLimits) -> Mono {
        match self.phase {
            Phase::Open => {
                let beat = self.keepalive.deadline(limits.heartbeat_ms);
                self.outbound.deadline(&limits.outbound).map_or(beat, |soft| soft.min(beat))
            }
            _ => self.deadline,
        }
    }

    /// Looks at the clock.
    pub fn on_deadline(&mut self, now: Mono, limits: &ConnLimits) -> Due {
        if now < self.deadline(limits) {
            return Due::Nothing;
        }
        match self.phase {
            Phase::Head if self.is_between_requests() => {
                self.phase.on_lost();
                Due::Lost
            }
            Phase::Head => {
                self.exchange = Exchange::LAST;
                Due::RequestTimeout
            }
            Phase::Deciding => {
                self.exchange.keep_alive = false;
                Due::DecisionTimeout
            }
            Phase::Open => {
                if self.outbound.deadline(&limits.outbound).is_some_and(|soft| soft <= now) {
                    return Due::SlowConsumer;
                }
                match self.keepalive.on_deadline(now, limits.heartbeat_ms) {
                    Beat::Wait => Due::Nothing,
                    Beat::Dead => Due::Unresponsive,
                    Beat::Ping => {
                        // Never shed: a peer that was not asked cannot answer.
                        let ping = Bytes::from_static(ws::encoder::PING);
                        match self.send(ping, false, now, limits) {
                            Pushed::Overflow => Due::SlowConsumer,
                            Pushed::Queued { .. } | Pushed::Shed => Due::Queued,
                        }
                    }
                }
            }
            Phase::Closing | Phase::Lingering | Phase::Closed => {
                self.phase.on_lost();
                Due::Lost
            }
        }
    }

    fn close_with(
        &mut self,
        code: u16,
        reason: &str,
        instead: bool,
        now: Mono,
        limits: &ConnLimits,
    ) {
        if self.phase != Phase::Open {
            return;
        }
        self.close_code = code;
        let code = CloseCode::new(code).unwrap_or(CloseCode::INTERNAL_ERROR);
        self.end(ws::encoder::close(code, reason), instead, now, limits);
    }

    fn end(&mut self, frame: Bytes, instead: bool, now: Mono, limits: &ConnLimits) {
        if instead {
            self.outbound.push_instead(frame);
        } else {
            self.outbound.push_always(frame);
        }
        self.phase.on_close();
        self.deadline = now.plus(limits.close_ms);
    }
}

#[cfg(test)]
mod tests;
