//! The bus that nodes share with each other and with Django: names and bytes, as `channels_redis`
//! 4.3 has them. No connection, no clock and no randomness: those are arguments.
//!
//! ```text
//!          Envelope::pack, seal
//!  Fields ----------------------> bytes    names: on which channel, in which queue
//!         <----------------------          hosts: of which Redis
//!             Envelope::open
//! ```

mod envelope;
mod fernet;
mod hosts;
mod msgpack;
mod names;
mod value;

#[cfg(test)]
mod golden;

pub use envelope::{Envelope, Flaw, Format, Fresh, Layer, Opened, Packed, Recipients, Uniques};
pub use fernet::TokenFlaw;
pub use hosts::Ring;
pub use names::{
    Address, ConversationName, Names, NodeId, channel_name, is_channel_name, is_group_name,
    local_name, queue_name,
};
pub use value::{Fields, Value};
