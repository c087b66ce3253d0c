//! HTTP/1.1 requests and responses over byte slices (RFC 9110 and 9112), without I/O.
//!
//! [`Decoder`] walks the bytes of one connection and hands out one [`Request`] at a time; a
//! [`Response`] is written into the caller's buffer. Between requests a decoder owns nothing, and a
//! request that lies whole in the caller's buffer is never copied. Peer input never panics: what is
//! wrong comes back as a [`RequestError`], after which the decoder reads no more and the connection
//! is closed behind the answer.
//!
//! Framing is strict, because a request that two parsers read differently can be smuggled past the
//! first (RFC 9112 §11.2): whatever the standard allows a server to repair is refused instead.
//!
//! This module knows no socket, no clock, no route and no user. WebSocket bytes after an upgrade
//! belong to the neighbour [`ws`](super::ws).

mod body;
mod chunked;
pub mod cors;
pub mod date;
mod error;
pub mod forwarded;
mod framing;
mod head;
pub mod host;
mod problem;
#[cfg(test)]
mod properties;
mod request;
mod response;
mod scan;
pub mod target;

pub use error::RequestError;
pub use head::{Exchange, Head, Version};
pub use problem::Problem;
pub use request::{CONTINUE, Decoder, Event, Request};
pub use response::{Response, reason_phrase};

/// What one request may cost; passed to every call, so that a connection does not carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request line and its header fields, the final empty line included. Also bounds
    /// all chunk extensions and trailers of one request together.
    pub head_bytes: usize,
    /// Header fields; more than [`Limits::HEADERS_MAX`] counts as that.
    pub headers: usize,
    /// Bytes of the request target. A target that does not even fit `head_bytes` is too long, too.
    pub target_bytes: usize,
    /// Bytes of a body, after chunks were joined.
    pub body_bytes: usize,
}

impl Limits {
    /// The most header fields that can be allowed.
    pub const HEADERS_MAX: usize = 128;
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 8 * 1024, headers: 64, target_bytes: 4 * 1024, body_bytes: 1024 * 1024 }
    }
}
