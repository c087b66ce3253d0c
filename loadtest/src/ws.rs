//! The client's side of RFC 6455, without I/O: handshake, frames, and the joining of fragments. No extension is offered.

mod assembler;
mod frame;
mod handshake;

pub(crate) use assembler::{Assembler, Joined};
pub(crate) use frame::{Opcode, close_code, decode, encode};
pub(crate) use handshake::{Answer, Upgrade, read_answer};

/// The longest payload that is taken, bytes: more than any event of the server has.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// How a server breaks the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Violation {
    /// An answer that is not HTTP, or a head without end.
    Head,
    /// 101 with a wrong or no `Sec-WebSocket-Accept` (§4.1).
    AcceptKey,
    /// 101 that selects a subprotocol that was not offered, or none (§4.1).
    Subprotocol,
    /// A reserved bit (§5.2).
    ReservedBit,
    /// An unknown opcode (§5.2).
    Opcode,
    /// A masked frame (§5.1).
    Masked,
    /// A length that is not the shortest (§5.2), or over the bound.
    Length,
    /// A control frame that is long or fragmented (§5.5).
    Control,
    /// A continuation of nothing, or a new message within another (§5.4).
    Fragment,
    /// A text that is not UTF-8 (§8.1).
    Utf8,
    /// A close frame with half a code or a bad reason (§5.5.1).
    Close,
    /// A binary message, which no endpoint sends.
    Binary,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server broke RFC 6455: {self:?}")
    }
}
