//! The bus that nodes share with each other and with Django: names, bytes and the meaning of messages, as `channels_redis`
//! 4.3 has them. No connection, no clock and no randomness: those are arguments.
//!
//! ```text
//!            outbound                Envelope::pack, seal
//! Delivery ------------> Fields ---------------------------> bytes    names: on which channel, in which queue
//!          <------------        <---------------------------          hosts: of which Redis
//!            inbound                 Envelope::open
//! ```
//!
//! What is sent to a group under its own name reaches Django's consumers, and one that knows no handler for it ends. So events
//! that Django has no handler for, and orders between nodes, go under a name of their own that Django does not listen to
//! ([`Address::Own`]).

mod envelope;
mod fernet;
mod flat;
mod hosts;
mod inbound;
mod msgpack;
mod names;
mod order;
mod outbound;
mod tag;
mod value;

#[cfg(test)]
mod golden;

pub use envelope::{Envelope, Flaw, Format, Fresh, Layer, Opened, Packed, Recipients, Uniques};
pub use fernet::TokenFlaw;
pub use hosts::Ring;
pub use inbound::{Dropped, Received, inbound, placed};
pub use names::{
    Address, ConversationName, Names, NodeId, channel_name, is_channel_name, is_group_name,
    local_name, queue_name,
};
pub use order::{read_gap, write_gap};
pub use outbound::{Outbound, Unsendable, outbound};
pub use value::{Fields, Value};
