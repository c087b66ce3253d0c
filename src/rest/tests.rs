//! The API as a whole: what is made of requests, what is made of outcomes, and both over a store.

mod answers;
mod over_a_store;
mod requests;
pub(super) mod world;
