//! The rules: what a command does, what a reply means, whom an event is for.
//!
//! Pure: no I/O, no clock, no log, nothing is called back. A session is a small value in its connection's slot; every
//! function here takes it, the time and what happened, and appends [`Effect`]s, which the shard carries out in order after
//! the function has returned. [`publication()`] is the other half, for the worker that committed: what a reply tells to whom.
//!
//! ```text
//!            open            handle, refuse, complete, busy, on_control, on_deadline, on_gap            close
//! Deciding --------> Session ---------------------------------------------------------> Session --------------> (gone)
//! (Pending)             \-- admits: what of the group's deliveries it gets
//! ```
//!
//! Bytes are `wire`'s and `conn`'s matter, which shard has which group is the shard's, and who is here is the
//! [`Directory`]'s, which all shards of a node share.

mod answers;
mod command;
mod complete;
mod directory;
pub mod effect;
mod extra;
mod open;
mod place;
mod publication;
mod resume;
mod session;
#[cfg(test)]
mod tests;
mod typing;
mod watch;

pub use command::{handle, refuse};
pub use complete::{busy, complete};
pub use directory::{Arrival, Directory, Kind, Name};
pub use effect::{CatchUp, Effect, Then};
pub use open::{Opening, Pending, close, groups, on_control, open};
pub use publication::publication;
pub use resume::on_gap;
pub use session::{Admit, Session, on_deadline};

use crate::auth::{Rate, Verifier};
use crate::model::ConnRef;
use crate::time::Now;
use crate::wire::Encoder;

/// What the rules may look at besides the session.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The session's connection.
    pub me: ConnRef,
    /// When this happens.
    pub now: Now,
    /// Writes frames.
    pub encoder: &'a Encoder,
    /// Who is here, and what each user may still do.
    pub directory: &'a Directory,
    /// Judges fresh tokens.
    pub verifier: &'a Verifier,
    /// The configured bounds.
    pub limits: &'a ChatLimits,
}

/// The configured bounds of the chat.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ChatLimits {
    /// Commands of one connection.
    pub commands: Rate,
    /// Messages of one user, over all their connections and REST.
    pub messages: Rate,
    /// `typing` of one user.
    pub typing: Rate,
    /// Read receipts of one user.
    pub receipts: Rate,
    /// Sessions of one user on this node; the oldest goes.
    pub connections_per_user: usize,
    /// The longest text a client may send, bytes; told in `hello`.
    pub text_bytes: usize,
    /// Between the server's pings; told in `hello`.
    pub heartbeat_ms: u64,
}

impl Default for ChatLimits {
    fn default() -> Self {
        Self {
            commands: Rate::new(20.0, 40),
            messages: Rate::new(5.0, 10),
            typing: Rate::new(1.0, 2),
            receipts: Rate::new(3.0, 6),
            connections_per_user: 20,
            text_bytes: 64 * 1024,
            heartbeat_ms: 25_000,
        }
    }
}
