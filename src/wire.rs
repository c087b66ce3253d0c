//! JSON, both ways: a client's text becomes a [`Command`](crate::model::Command), an [`Event`](crate::model::Event) becomes
//! one frame that all its receivers share. The only serde of the chat.
//!
//! Decoding borrows from the text and reads it once; encoding borrows from the model and allocates once. Nothing here knows
//! of sessions, of what a command may do, or of HTTP; nothing here panics, whatever the peer sent.

mod decode;
mod encode;
mod fault;
mod fields;
mod frame;
mod lists;
pub mod rest;
mod shapes;

pub use decode::decode;
pub use encode::Encoder;
pub use fault::Fault;
