//! What a shard keeps of one connection.

use std::net::IpAddr;

use crate::auth::addresses::AddressKey;
use crate::chat::{Pending, Session};
use crate::conn::{Conn, Phase};
use crate::model::{Endpoint, Group, UserId};
use crate::time::Mono;
use crate::worker::Job;

/// A table slot: the socket, and everything that is said over it.
#[derive(Debug)]
pub struct Slot<S> {
    /// The socket; only `Io` looks inside.
    pub socket: S,
    /// Everything else.
    pub line: Line,
}

/// A connection without its socket.
#[derive(Debug)]
pub struct Line {
    /// The transport.
    pub conn: Conn,
    /// What it is used for.
    pub role: Role,
    /// Where it comes from: the peer, until a trusted proxy says otherwise.
    pub peer: IpAddr,
    /// What it is counted under, once it is.
    pub address: Option<AddressKey>,
    /// When its timer fires; 0 when it is not set.
    pub armed: Mono,
    /// A page of history that waits until the peer has read what was sent before.
    pub deferred: Option<Box<Job>>,
    /// Its flags.
    pub flags: Flags,
}

/// What is to be done for a connection.
#[derive(Clone, Copy, Default, Debug)]
pub struct Flags {
    /// True exactly when it is in the list of those to be flushed.
    pub dirty: bool,
    /// True exactly when it is in a list of those to be flushed when a group's window ends.
    pub late: bool,
    /// True exactly when it is in the list of those with more to read.
    pub hungry: bool,
    /// True exactly when a request of it waits for room in a write queue: nothing is read meanwhile.
    pub stalled: bool,
    /// True exactly when it is in the list of those to be freed.
    pub doomed: bool,
    /// True exactly when something arrived that was not received yet, because nothing was read.
    pub unread: bool,
    /// True exactly when the peer has ended or failed: what is received last is the end.
    pub ended: bool,
    /// True exactly when it came through a trusted proxy.
    pub proxied: bool,
    /// True exactly when its address opened connections too fast: its first request is refused.
    pub too_fast: bool,
}

/// What a connection is used for.
#[derive(Debug)]
pub enum Role {
    /// Requests.
    Http,
    /// A handshake that waits for the store.
    Knocking {
        /// Who.
        user: UserId,
        /// The conversation's group, joined already so that nothing is missed.
        group: Option<Group>,
        /// What came in it meanwhile.
        pending: Pending,
    },
    /// A session.
    Session(Session),
    /// `/_echo`.
    Echo,
    /// A session that is over; its connection says goodbye.
    Ended,
}

impl Role {
    /// The label in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Session(session) => session.endpoint().name(),
            Self::Echo => "echo",
            Self::Http | Self::Knocking { .. } | Self::Ended => "http",
        }
    }

    /// The endpoint of a session.
    pub const fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Self::Session(session) => Some(session.endpoint()),
            _ => None,
        }
    }
}

impl Line {
    /// A connection from `peer`.
    pub fn new(conn: Conn, peer: IpAddr) -> Self {
        Self {
            conn,
            role: Role::Http,
            peer,
            address: None,
            armed: Mono(0),
            deferred: None,
            flags: Flags::default(),
        }
    }

    /// True exactly when what is received now can be walked, or may be thrown away.
    pub fn may_read(&self) -> bool {
        !self.flags.stalled && !self.conn.holds_kept() && self.conn.phase() != Phase::Deciding
    }

    /// True exactly when it owns no heap memory.
    pub fn is_at_rest(&self) -> bool {
        self.conn.is_at_rest() && self.deferred.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What 100,000 idle connections cost is this times 100,000, and their group entries.
    #[test]
    fn a_slot_is_small() {
        let size = size_of::<Slot<mio::net::TcpStream>>();
        assert!(size <= 280, "a slot takes {size} bytes");
    }
}
