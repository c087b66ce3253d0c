//! The limit: what the system asks of any server that echoes and fans out, and nothing else.
//!
//! One thread, edge-triggered epoll, each socket registered once, one `send` for each message and receiver. No WebSocket: a request is
//! answered with the canned response `ANSWER`, and from then on every `IN_BYTES` bytes that come in are one message, for which one canned
//! frame of `OUT_BYTES` goes out: back on `/_echo`, to every member of the room on `/room/N`, the sender included.
//!
//!     HOST=127.0.0.1 PORT=9000 IN_BYTES=106 OUT_BYTES=102 ANSWER='HTTP/1.1 101 …\r\n\r\n' fortifun-peer-raw

mod frame;
mod poll;
mod server;

use std::env;
use std::error::Error;
use std::net::TcpListener;
use std::str::FromStr;

use server::{Canned, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let canned = Canned {
        in_bytes: number::<usize>("IN_BYTES")?.max(1),
        frame: frame::text(number("OUT_BYTES")?)?,
        answer: variable("ANSWER")?.replace("\\r", "\r").replace("\\n", "\n").into_bytes(),
    };
    let listener = TcpListener::bind((host.as_str(), number::<u16>("PORT")?))?;
    Server::new(listener, canned)?.run()?;
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn number<T: FromStr>(name: &str) -> Result<T, String> {
    variable(name)?.parse().map_err(|_| format!("{name}: is not a number that fits"))
}
