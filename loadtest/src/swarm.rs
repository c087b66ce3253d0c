//! Thousands of client sockets on one epoll: opened, read, written, pinged and closed by one thread.
//!
//! [`Swarm::wait`] sleeps until something can be done, [`Swarm::next`] walks through what has happened. Pings are answered here.
//! A session at rest owns no buffer.

mod session;
mod stream;

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use self::session::{Phase, Session};
use crate::rng::Rng;
use crate::tls::Tls;
use crate::ws::{self, Answer, Joined, Opcode, PAYLOAD_BYTES_MAX, Upgrade, Violation};

/// Readiness events of one wait.
const EVENTS_MAX: usize = 1_024;
/// A cut frame, at most, and room to receive behind it, bytes.
const BUFFER_BYTES: usize = PAYLOAD_BYTES_MAX + 16 + 64 * 1024;
/// What the kernel keeps for a session that is told to keep little, and for one that reads on, bytes. The first is set before the
/// connection is made, so that the server is never told of more room.
const LITTLE_BYTES: usize = 16 * 1024;
const RECEIVE_BYTES: usize = 1024 * 1024;
/// What may wait for a server that does not read, bytes; over it the session ends.
const OUTBOUND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Names a session; never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key(pub(crate) usize);

/// What has happened to a session.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Happening<'a> {
    /// The handshake succeeded.
    Opened,
    /// A text came.
    Text(&'a str),
    /// It is over.
    Ended(Ending),
}

/// How a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// The handshake was refused: HTTP status and body.
    Refused(u16, String),
    /// The server closed it: code and reason.
    Closed(u16, String),
    /// The connection could not be made or was cut.
    Lost(String),
    /// The server broke the protocol.
    Broken(Violation),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(status, body) => write!(f, "refused with {status} {body}"),
            Self::Closed(code, reason) => write!(f, "closed with {code} {reason}"),
            Self::Lost(why) => write!(f, "lost: {why}"),
            Self::Broken(violation) => violation.fmt(f),
        }
    }
}

/// Client sockets of one thread.
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    /// By key; a session that is over leaves a pointer's room.
    sessions: Vec<Option<Box<Session>>>,
    /// Sessions that may have bytes to read, each once.
    ready: VecDeque<usize>,
    /// Ends that were met outside [`Swarm::next`].
    ended: VecDeque<(usize, Ending)>,
    /// What was received last, and what of it is still to be looked at.
    buffer: Vec<u8>,
    current: Option<(usize, Range<usize>)>,
    /// The fragmented message that was told last.
    joined: Vec<u8>,
    /// One frame that is sent.
    scratch: Vec<u8>,
    /// The `Sec-WebSocket-Key` of all sessions; without it each has a fresh one.
    key: Option<&'static str>,
    /// How sessions know a server that speaks TLS.
    tls: Option<Tls>,
    /// For which sessions the kernel keeps little, by key.
    keeps_little: Option<Box<dyn Fn(usize) -> bool>>,
    /// Masking keys, from a seed of the system's: a load generator's are guessed by nobody behind a proxy.
    masks: Rng,
    open: usize,
    pings: u64,
}

/// What [`Swarm::next`] tells, before it is borrowed.
enum Step {
    Opened,
    /// A text in `buffer`.
    Whole(Range<usize>),
    /// A text in `joined`.
    Joined,
    Ended(Ending),
}

impl Swarm {
    /// An empty one.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            sessions: Vec::new(),
            ready: VecDeque::new(),
            ended: VecDeque::new(),
            buffer: vec![0; BUFFER_BYTES],
            current: None,
            joined: Vec::new(),
            scratch: Vec::new(),
            key: None,
            tls: None,
            keeps_little: None,
            masks: Rng::new(RandomState::new().hash_one(())),
            open: 0,
            pings: 0,
        })
    }

    /// Sessions that are made from now on have this `Sec-WebSocket-Key`; `None`: each a fresh one.
    pub(crate) fn set_key(&mut self, key: Option<&'static str>) {
        self.key = key;
    }

    /// Sessions that are made from now on speak through TLS; `None`: as they are.
    pub(crate) fn set_tls(&mut self, tls: Option<Tls>) {
        self.tls = tls;
    }

    /// For sessions that are made from now on and for whose key it is true, the kernel keeps little that they have not read.
    pub(crate) fn set_little(&mut self, keeps_little: impl Fn(usize) -> bool + 'static) {
        self.keeps_little = Some(Box::new(keeps_little));
    }

    /// Reads nothing more of a session: not even its end is told. The kernel keeps what comes.
    pub(crate) fn pause(&mut self, key: Key) {
        if let Some(session) = self.sessions[key.0].as_mut() {
            session.is_stopped = true;
        }
    }

    /// Reads on where [`Swarm::pause`] ended it.
    pub(crate) fn go_on(&mut self, key: Key) -> io::Result<()> {
        if let Some(session) = self.sessions[key.0].as_mut() {
            SockRef::from(session.stream.socket()).set_recv_buffer_size(RECEIVE_BYTES)?;
            session.is_stopped = false;
            if !session.is_ready {
                session.is_ready = true;
                self.ready.push_back(key.0);
            }
        }
        Ok(())
    }

    /// Begins to connect to `address`, from `source` where one is given. What becomes of it, [`Swarm::next`] tells.
    ///
    /// # Errors
    ///
    /// No socket could be made: this machine's limits.
    pub(crate) fn connect(
        &mut self,
        address: SocketAddr,
        host: &str,
        source: Option<SocketAddr>,
        upgrade: &Upgrade,
    ) -> io::Result<Key> {
        let key = self.sessions.len();
        let is_little = self.keeps_little.as_ref().is_some_and(|keeps_little| keeps_little(key));
        let little = is_little.then_some(LITTLE_BYTES);
        let mut session = Session::connect(
            address,
            host,
            (source, little),
            (upgrade, self.key, self.tls.as_ref()),
        )?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(session.stream.socket_mut(), Token(key), interest)?;
        self.sessions.push(Some(Box::new(session)));
        Ok(Key(key))
    }

    /// Sleeps until something can be read or written, at most for `timeout`, rounded up to a millisecond.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let has_more = self.current.is_some() || !self.ready.is_empty() || !self.ended.is_empty();
        let timeout = if has_more { Duration::ZERO } else { timeout };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let Token(key) = event.token();
            let Some(session) = self.sessions[key].as_mut() else { continue };
            if event.is_writable()
                && let Err(error) = session.on_writable()
            {
                self.ended.push_back((key, Ending::Lost(error.to_string())));
                continue;
            }
            if (event.is_readable() || event.is_read_closed() || event.is_error())
                && !session.is_ready
            {
                session.is_ready = true;
                self.ready.push_back(key);
            }
            session.is_ending |= event.is_read_closed() || event.is_error();
        }
        Ok(())
    }

    /// The next thing that has happened; `None`: wait. Nothing is told of a session after its end.
    pub(crate) fn next(&mut self) -> Option<(Key, Happening<'_>)> {
        let (key, step) = self.step()?;
        let text = match step {
            Step::Opened => {
                self.open += 1;
                return Some((Key(key), Happening::Opened));
            }
            Step::Ended(ending) => {
                self.forget(key);
                return Some((Key(key), Happening::Ended(ending)));
            }
            Step::Whole(range) => std::str::from_utf8(&self.buffer[range]),
            Step::Joined => std::str::from_utf8(&self.joined),
        };
        let happening = if let Ok(text) = text {
            Happening::Text(text)
        } else {
            self.sessions[key] = None;
            self.open -= 1;
            self.current = None;
            Happening::Ended(Ending::Broken(Violation::Utf8))
        };
        Some((Key(key), happening))
    }

    /// Sends a text; false: the session is over.
    pub(crate) fn send(&mut self, key: Key, text: &str) -> bool {
        self.send_frame(key.0, Opcode::Text, text.as_bytes())
    }

    /// Cuts the connection of a session without a word, as a phone that loses its network; nothing more is told of it.
    pub(crate) fn cut(&mut self, key: Key) {
        self.forget(key.0);
    }

    /// Takes leave of the server with 1000 on every session, and does not wait for its answer.
    pub(crate) fn close(mut self) {
        for key in 0..self.sessions.len() {
            if matches!(&self.sessions[key], Some(session) if matches!(session.phase, Phase::Open))
            {
                self.send_frame(key, Opcode::Close, &1_000_u16.to_be_bytes());
            }
        }
    }

    /// Ends every connection at once by a reset (RFC 9293 §3.10.7): of some ten thousand that were closed the system would remember
    /// each for a minute, and the next clients find no port.
    pub(crate) fn reset(self) {
        for session in self.sessions.iter().flatten() {
            // Where it fails, the connection is closed as others are.
            let _ = SockRef::from(session.stream.socket()).set_linger(Some(Duration::ZERO));
        }
    }

    /// Sessions whose handshake succeeded and that have not ended.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Pings that were answered since the start.
    pub(crate) fn pings(&self) -> u64 {
        self.pings
    }

    fn forget(&mut self, key: usize) {
        if let Some(session) = self.sessions[key].take() {
            self.open -= usize::from(matches!(session.phase, Phase::Open));
        }
        if self.current.as_ref().is_some_and(|(current, _)| *current == key) {
            self.current = None;
        }
    }

    fn send_frame(&mut self, key: usize, opcode: Opcode, payload: &[u8]) -> bool {
        let Some(session) = self.sessions[key].as_mut() else { return false };
        let masking_key = ((self.masks.next() >> 32) as u32).to_be_bytes();
        let sent = session.send((opcode, payload), masking_key, &mut self.scratch);
        let why = match sent {
            Ok(waiting) if waiting <= OUTBOUND_BYTES_MAX => return true,
            Ok(_) => "the server does not read".to_owned(),
            Err(error) => error.to_string(),
        };
        self.ended.push_back((key, Ending::Lost(why)));
        false
    }

    fn step(&mut self) -> Option<(usize, Step)> {
        loop {
            // What was received before an end comes before it: the end is told when nothing is left to look at.
            if let Some((key, range)) = self.current.take() {
                match self.look(key, range) {
                    Ok(Some(step)) => return Some((key, step)),
                    Ok(None) => {}
                    Err(violation) => return Some((key, Step::Ended(Ending::Broken(violation)))),
                }
            } else if let Some(key) = self.ready.pop_front() {
                if let Some(ending) = self.receive(key) {
                    return Some((key, Step::Ended(ending)));
                }
            } else {
                let (key, ending) = self.ended.pop_front()?;
                if self.sessions[key].is_some() {
                    return Some((key, Step::Ended(ending)));
                }
            }
        }
    }

    /// Receives once, behind what was left of the last time.
    fn receive(&mut self, key: usize) -> Option<Ending> {
        let session = self.sessions[key].as_mut()?;
        session.is_ready = false;
        if session.is_stopped {
            return None;
        }
        let held = session.tail.len();
        match session.stream.read(&mut self.buffer[held..]) {
            Ok(0) => return Some(Ending::Lost("the connection was cut".to_owned())),
            Ok(received) => {
                self.buffer[..held].copy_from_slice(&session.tail);
                session.tail = Vec::new();
                self.current = Some((key, 0..held + received));
                // Linux: a read that does not fill its buffer has taken all there was, and what comes later is a new edge
                // (epoll(7)). An end has been told already.
                let is_short = held + received < self.buffer.len();
                if is_short && session.stream.is_empty_after_short_read() && !session.is_ending {
                    return None;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Some(Ending::Lost(error.to_string())),
        }
        // The edge will not come again for what is still there.
        session.is_ready = true;
        self.ready.push_back(key);
        None
    }

    /// Takes one thing off the front of `range` in the buffer; the rest stays current, or becomes the session's tail.
    fn look(&mut self, key: usize, range: Range<usize>) -> Result<Option<Step>, Violation> {
        let Some(session) = self.sessions[key].as_mut() else { return Ok(None) };
        let bytes = &self.buffer[range.clone()];
        if bytes.is_empty() {
            return Ok(None);
        }
        if let Phase::Handshaking(request) = &session.phase {
            return match ws::read_answer(bytes, &request.accept_key, request.is_v1)? {
                None => {
                    session.tail = bytes.to_vec();
                    Ok(None)
                }
                Some(Answer::Accepted(len)) => {
                    session.phase = Phase::Open;
                    self.current = Some((key, range.start + len..range.end));
                    Ok(Some(Step::Opened))
                }
                Some(Answer::Refused(status, body)) => {
                    Ok(Some(Step::Ended(Ending::Refused(status, body))))
                }
            };
        }
        let Some(frame) = ws::decode(bytes)? else {
            session.tail = bytes.to_vec();
            return Ok(None);
        };
        let payload = range.start + frame.payload.start..range.start + frame.payload.end;
        self.current = Some((key, payload.end..range.end));
        match frame.opcode {
            Opcode::Pong => Ok(None),
            Opcode::Ping => {
                self.pings += 1;
                let payload = self.buffer[payload].to_vec();
                self.send_frame(key, Opcode::Pong, &payload);
                Ok(None)
            }
            Opcode::Close => {
                let (code, reason) = ws::close_code(&self.buffer[payload])?;
                let ending = Ending::Closed(code, reason.to_owned());
                self.send_frame(key, Opcode::Close, &code_back(code));
                Ok(Some(Step::Ended(ending)))
            }
            opcode => match session.join(frame.fin, opcode, &self.buffer[payload.clone()])? {
                Joined::Nothing => Ok(None),
                Joined::Whole(Opcode::Text) => Ok(Some(Step::Whole(payload))),
                Joined::Parts(Opcode::Text, text) => {
                    self.joined = text;
                    Ok(Some(Step::Joined))
                }
                Joined::Whole(_) | Joined::Parts(..) => Err(Violation::Binary),
            },
        }
    }
}

/// A close frame's code goes back as it came; 1005 stands for none (RFC 6455 §7.1.5).
fn code_back(code: u16) -> Vec<u8> {
    if code == 1_005 { Vec::new() } else { code.to_be_bytes().to_vec() }
}

#[cfg(test)]
mod tests;
