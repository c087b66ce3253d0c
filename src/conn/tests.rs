//! A connection without a socket, fed by hand.

mod frames;
mod patience;
mod properties;
mod requests;

use std::io::IoSlice;

use super::*;
use crate::limits::IOVEC_MAX;
use crate::protocol::ws::Opcode;
use crate::protocol::ws::encoder::client_frame;

const LIMITS: ConnLimits = ConnLimits {
    http: http::Limits { head_bytes: 1_000, headers: 16, target_bytes: 500, body_bytes: 2_000 },
    ws: ws::Limits { text_bytes: 100, binary_bytes: 100, fragments: 4 },
    outbound: OutboundLimits { hard_bytes: 1_000, soft_bytes: 400, soft_ms: 3_000 },
    request_ms: 10_000,
    idle_ms: 60_000,
    decide_ms: 5_000,
    heartbeat_ms: 25_000,
    close_ms: 2_000,
};

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const HELLO: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

/// A connection, the time, and the peer's end of both directions.
struct World {
    conn: Conn,
    now: Mono,
    /// What has left and was not looked at.
    sent: Vec<u8>,
    drained: Drained,
}

impl World {
    fn new() -> Self {
        let now = Mono(1_000);
        let conn = Conn::new(now, &LIMITS);
        Self { conn, now, sent: Vec::new(), drained: Drained::GoesOn }
    }

    /// A WebSocket whose handshake has left.
    fn open() -> Self {
        let mut world = Self::new();
        assert_eq!(world.receives(GET), ["GET /a "]);
        world.conn.upgrade(HELLO.to_vec(), world.now);
        assert_eq!(world.leaves(), HELLO);
        world
    }

    /// Walks what came in as a shard does; tells what it was.
    fn receives(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        let mut buf = self.conn.take_kept().unwrap_or_default();
        buf.extend_from_slice(bytes.as_ref());
        let (mut pos, mut seen) = (0, Vec::new());
        loop {
            match self.conn.phase() {
                Phase::Head => match self.conn.next_request(&buf, &mut pos, self.now, &LIMITS) {
                    None => break,
                    Some(Ok(Request { head, body })) => {
                        let body = String::from_utf8_lossy(&body);
                        seen.push(format!("{} {} {body}", head.method(), head.target()));
                    }
                    Some(Err(error)) => {
                        seen.push(format!("{error:?}"));
                        self.responds(&Response::refusal(error));
                    }
                },
                Phase::Open | Phase::Closing => {
                    let mut rest = &mut buf[pos..];
                    let received = self.conn.next_text(&mut rest, self.now, &LIMITS);
                    let left = match received {
                        None => {
                            self.settle();
                            return seen;
                        }
                        Some(received) => {
                            seen.push(word(&received));
                            rest.len()
                        }
                    };
                    pos = buf.len() - left;
                }
                Phase::Deciding => break,
                Phase::Lingering | Phase::Closed => return seen,
            }
        }
        self.conn.keep(&buf[pos..]);
        seen
    }

    fn settle(&mut self) {
        self.drained = self.conn.settle();
    }

    fn responds(&mut self, response: &Response) {
        self.conn.respond(response, "today", self.now, &LIMITS);
    }

    fn sends(&mut self, len: usize, sheddable: bool) -> Pushed {
        self.conn.send(Bytes::from(vec![b'.'; len]), sheddable, self.now, &LIMITS)
    }

    /// At most `max` bytes leave.
    fn sends_off(&mut self, max: usize) {
        let mut slices = [IoSlice::new(&[]); IOVEC_MAX];
        let count = self.conn.outbound().slices(&mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        let len = max.min(bytes.len());
        self.sent.extend_from_slice(&bytes[..len]);
        if len > 0 {
            self.drained = self.conn.on_sent(len, self.now, &LIMITS);
        }
    }

    /// Everything that waits leaves; returns all that has left since the last call.
    fn leaves(&mut self) -> Vec<u8> {
        self.settle();
        while !self.conn.outbound().is_empty() {
            self.sends_off(usize::MAX);
        }
        std::mem::take(&mut self.sent)
    }

    /// The first line of what leaves.
    fn status(&mut self) -> String {
        let bytes = self.leaves();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().next().unwrap_or_default().to_owned()
    }

    fn shuts(&mut self) -> Phase {
        self.conn.on_shut(self.now, &LIMITS);
        self.conn.phase()
    }

    /// Time passes, and the deadline is looked at.
    fn waits(&mut self, ms: u64) -> Due {
        self.now = self.now.plus(ms);
        self.conn.on_deadline(self.now, &LIMITS)
    }

    fn closes(&mut self, code: u16) {
        self.conn.close(code, "bye", self.now, &LIMITS);
    }
}

fn word(received: &Received<'_>) -> String {
    match received {
        Received::Text(text) => format!("text {text}"),
        Received::Binary(payload) => format!("binary {}", payload.len()),
        Received::Control => "control".to_owned(),
        Received::Broken(error) => format!("broken {}", error.close_code().get()),
        Received::SlowConsumer => "slow".to_owned(),
    }
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    client_frame(opcode, true, [1, 2, 3, 4], payload, &mut out);
    out
}

fn text(text: &str) -> Vec<u8> {
    frame(Opcode::Text, text.as_bytes())
}

/// A server's close frame.
fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let mut frame = vec![0x88, 2 + reason.len() as u8];
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

#[test]
fn a_connection_is_small_and_at_rest_owns_nothing() {
    assert!(size_of::<Conn>() <= 120, "{}", size_of::<Conn>());
    let mut world = World::new();
    assert!(world.conn.is_at_rest());
    world.receives(&GET[..9]);
    assert!(!world.conn.is_at_rest(), "half a request is kept");
    world.receives(&GET[9..]);
    world.receives(GET);
    assert!(!world.conn.is_at_rest(), "the second request is kept");
    world.responds(&Response::new(204));
    assert!(!world.conn.is_at_rest(), "a response waits");
    world.leaves();
    assert_eq!(world.receives(""), ["GET /a "]);
    world.conn.upgrade(HELLO.to_vec(), world.now);
    world.leaves();
    assert!(world.conn.is_at_rest());
    let ping = frame(Opcode::Ping, b"ping");
    world.receives(&ping[..3]);
    assert!(!world.conn.is_at_rest(), "half a frame is kept");
    world.receives(&ping[3..]);
    assert!(!world.conn.is_at_rest(), "the pong waits");
    world.leaves();
    assert!(world.conn.is_at_rest());
}

/// From every phase: how the peer's end, our failure and a deadline end it.
#[test]
fn every_phase_ends() {
    let head = World::new;
    let deciding = || {
        let mut world = World::new();
        world.receives(GET);
        world
    };
    let answered = || {
        let mut world = deciding();
        world.responds(&Response::new(204));
        world
    };
    let closing = || {
        let mut world = World::open();
        world.closes(1000);
        world
    };
    let lingering = || {
        let mut world = deciding();
        world.conn.forbid_keep_alive();
        world.responds(&Response::new(204));
        world.leaves();
        assert_eq!(world.drained, Drained::Shut);
        world
    };
    let cases: [(&dyn Fn() -> World, Phase, Phase, Due); 6] = [
        (&head, Phase::Head, Phase::Closed, Due::Lost),
        (&deciding, Phase::Deciding, Phase::Deciding, Due::DecisionTimeout),
        (&answered, Phase::Head, Phase::Closing, Due::Lost),
        (&World::open, Phase::Open, Phase::Closed, Due::Queued),
        (&closing, Phase::Closing, Phase::Closing, Due::Lost),
        (&lingering, Phase::Lingering, Phase::Closed, Due::Lost),
    ];
    for (make, phase, after_end, due) in cases {
        let mut world = make();
        assert_eq!(world.conn.phase(), phase);
        assert_eq!(world.shuts(), after_end, "the peer's end in {phase:?}");
        let mut world = make();
        world.conn.on_lost();
        assert_eq!(world.conn.phase(), Phase::Closed);
        let mut world = make();
        let wait = world.conn.deadline(&LIMITS).since(world.now);
        assert_eq!(world.waits(wait - 1), Due::Nothing, "early in {phase:?}");
        assert_eq!(world.waits(1), due, "the deadline in {phase:?}");
    }
}
