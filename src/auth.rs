//! Who is asking, and how fast they may: token verification and token buckets. No clock, no I/O: time is an argument.

pub mod addresses;
pub mod jwt;
pub mod rate;
mod revocations;
mod source;

pub use jwt::{AuthError, Claims, Verifier};
pub use rate::{Bucket, Rate};
pub use revocations::{Revocations, Stamp};
pub use source::{SUBPROTOCOL, token_source};
