//! [`Io`] on the system: epoll through mio, edge-triggered, each socket registered once for both directions.
//!
//! The only file that calls sockets and reads clocks.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::inbox::Wake;
use super::io::{AcceptError, Io, Ready};
use crate::ids::ConnKey;
use crate::limits::EVENTS_PER_TURN_MAX;
use crate::time::{Mono, Now, Timestamp};

/// Generations count up from 0, so no connection's key is near these.
const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// The system's sockets and clocks.
pub struct MioIo {
    poll: Poll,
    events: Events,
    listener: Option<TcpListener>,
    clock: Clock,
    random: u64,
}

/// Both clocks; every thread has a copy, all count from the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Monotonic time begins now, and at 1 s, so that 0 can mean "never".
    #[expect(clippy::disallowed_methods, reason = "this is where clocks are read")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Reads both clocks.
    #[expect(clippy::disallowed_methods, reason = "this is where clocks are read")]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            mono: Mono(1_000 + self.start.elapsed().as_millis() as u64),
            wall: Timestamp(wall.as_micros() as i64),
        }
    }
}

/// A listening socket of its own for each shard: the kernel spreads connections over them by the hash of their addresses.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Inherited by what is accepted: one system call less for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

struct Waker(mio::Waker);

impl Wake for Waker {
    fn wake(&self) {
        if let Err(error) = self.0.wake() {
            // The eventfd cannot fail while the shard lives; when it is gone there is nobody to wake.
            tracing::debug!(%error, "wake-up failed");
        }
    }
}

impl MioIo {
    /// A poll that listens on `listener`, and what wakes it.
    pub fn new(
        listener: std::net::TcpListener,
        clock: Clock,
        seed: u64,
    ) -> io::Result<(Self, Box<dyn Wake>)> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Waker(mio::Waker::new(poll.registry(), WAKER)?);
        let io = Self {
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN_MAX),
            listener: Some(listener),
            clock,
            random: seed | 1,
        };
        Ok((io, Box::new(waker)))
    }
}

impl Io for MioIo {
    type Socket = TcpStream;

    fn poll(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        ready.extend(self.events.iter().map(|event| match event.token() {
            LISTENER => Ready::Listener,
            WAKER => Ready::Woken,
            Token(token) => Ready::Conn {
                key: ConnKey::from_token(token),
                readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                ended: event.is_read_closed() || event.is_error(),
                writable: event.is_writable() || event.is_error(),
            },
        }));
        Ok(())
    }

    fn now(&mut self) -> Now {
        self.clock.now()
    }

    fn accept(&mut self) -> Result<(TcpStream, IpAddr), AcceptError> {
        let listener = self.listener.as_ref().ok_or(AcceptError::Empty)?;
        match listener.accept() {
            Ok((stream, peer)) => Ok((stream, peer.ip().to_canonical())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(AcceptError::Empty),
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    Err(AcceptError::Exhausted(error))
                }
                _ => Err(AcceptError::Aborted(error)),
            },
        }
    }

    fn register(&mut self, socket: &mut TcpStream, key: ConnKey) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket, Token(key.to_token()), both)
    }

    fn recv(&mut self, socket: &mut TcpStream, buf: &mut [u8]) -> io::Result<usize> {
        socket.read(buf)
    }

    fn send(&mut self, socket: &mut TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [only] => socket.write(only),
            _ => socket.write_vectored(slices),
        }
    }

    fn shut(&mut self, socket: &mut TcpStream) {
        // It fails where the peer has reset the connection; the next receive says so.
        drop(socket.shutdown(Shutdown::Write));
    }

    fn close(&mut self, socket: TcpStream) {
        // Closing the descriptor takes it out of the epoll set.
        drop(socket);
    }

    fn stop_listening(&mut self) {
        self.listener = None;
    }

    /// xorshift64* (Marsaglia 2003): jitter, not secrets.
    fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}
