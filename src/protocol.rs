//! RFC 6455 and HTTP/1.1 as state machines over byte slices. Nothing here opens a socket, reads a clock or logs.

pub mod http;
pub mod ws;
