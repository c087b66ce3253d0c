//! All that a shard asks of the system, as a trait: sockets and clocks in production, a world of its own in the simulation.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::time::Duration;

use crate::ids::ConnKey;
use crate::time::Now;

/// What became ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// Connections wait to be accepted.
    Listener,
    /// Somebody pushed a note.
    Woken,
    /// A connection. Edge-triggered: said once for each change, so the shard remembers what it left unread.
    Conn {
        /// Which.
        key: ConnKey,
        /// There may be something to receive, the end included.
        readable: bool,
        /// The peer's end, or an error, is among it.
        ended: bool,
        /// There may be room to send.
        writable: bool,
    },
}

/// Why nothing was accepted.
#[derive(Debug)]
pub enum AcceptError {
    /// Nobody waits.
    Empty,
    /// This one failed; there may be others.
    Aborted(io::Error),
    /// No descriptor or memory is left (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`): wait before the next try.
    Exhausted(io::Error),
}

/// See the module. Only [`Io::poll`] may block.
pub trait Io {
    /// One connection.
    type Socket;

    /// Waits for readiness, at most `timeout` (`None`: for ever), and appends what became ready to `ready`.
    fn poll(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// Reads both clocks.
    fn now(&mut self) -> Now;

    /// Accepts one connection, non-blocking and without Nagle's delay.
    fn accept(&mut self) -> Result<(Self::Socket, IpAddr), AcceptError>;

    /// Says readiness of `socket` as `key` from now on, in both directions.
    fn register(&mut self, socket: &mut Self::Socket, key: ConnKey) -> io::Result<()>;

    /// Receives; 0 at the end. Less than `buf` holds means that no more is there now, but perhaps the end.
    fn recv(&mut self, socket: &mut Self::Socket, buf: &mut [u8]) -> io::Result<usize>;

    /// Sends what fits.
    fn send(&mut self, socket: &mut Self::Socket, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Shuts our half.
    fn shut(&mut self, socket: &mut Self::Socket);

    /// Frees the socket.
    fn close(&mut self, socket: Self::Socket);

    /// Accepts no more; who waits is refused by the kernel.
    fn stop_listening(&mut self);

    /// A random word, for jitter.
    fn random(&mut self) -> u64;
}
