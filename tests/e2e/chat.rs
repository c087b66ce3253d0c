//! Talking: messages, typing, receipts, presence and subscriptions, on every socket that has them.

mod messages;
mod presence;
mod receipts;
mod resume;
mod typing;
mod write_delay;
