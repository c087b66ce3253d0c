//! `fortifun`: the realtime tier of a dating app in one binary.
//!
//! The house and its floors are drawn in `ARCHITECTURE.md`; what travels on the wire is described in `README.md`.

pub mod auth;
pub mod channel;
pub mod chat;
pub mod cli;
pub mod config;
pub mod conn;
pub mod gate;
pub mod ids;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod protocol;
pub mod rest;
pub mod server;
pub mod shard;
pub mod store;
pub mod time;
pub mod wire;
pub mod worker;
