//! Tokens that are refused though they have not expired.

use super::UserId;
use crate::time::Timestamp;

/// What is revoked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Revoked {
    /// Every token of this user that was issued by then, to the second, or does not say when.
    User(UserId),
    /// The token of this `jti`, 1 to [`crate::limits::JTI_BYTES_MAX`] bytes.
    Token(Box<str>),
}

/// A revocation, as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// Its number: 1, 2, 3 … with holes, in the order in which they were made.
    pub id: i64,
    /// What.
    pub revoked: Revoked,
    /// When.
    pub at: Timestamp,
    /// When it may be forgotten.
    pub until: Timestamp,
}
