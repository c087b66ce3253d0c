//! From the listener's queue to a slot in the table, or to a word of refusal.

use std::io::IoSlice;
use std::net::IpAddr;

use super::io::{AcceptError, Io};
use super::slot::{Line, Slot};
use super::{Accepting, Shard};
use crate::auth::addresses::Over;
use crate::conn::Conn;
use crate::limits::{ACCEPT_BATCH_MAX, ACCEPT_PAUSE_MS};
use crate::metrics::Refusal as Reason;

impl<I: Io> Shard<I> {
    /// Accepts a bounded batch.
    pub(super) fn accept(&mut self) {
        if matches!(self.accepting, Accepting::Never | Accepting::Paused(_)) {
            return;
        }
        for _ in 0..ACCEPT_BATCH_MAX {
            match self.io.accept() {
                Ok((socket, peer)) => self.admit(socket, peer),
                Err(AcceptError::Empty) => {
                    // Whoever waited has been let in: one connection that ended would be no end of the shortage.
                    if std::mem::take(&mut self.is_exhausted) {
                        tracing::info!("descriptors are there again");
                    }
                    self.accepting = Accepting::Idle;
                    return;
                }
                Err(AcceptError::Aborted(error)) => {
                    self.core.meters.accept_failed();
                    tracing::debug!(%error, "accept failed");
                }
                Err(AcceptError::Exhausted(error)) => {
                    self.core.meters.accept_failed();
                    if !std::mem::replace(&mut self.is_exhausted, true) {
                        tracing::error!(%error, "nothing can be accepted: raise LimitNOFILE or lower CONNECTIONS_MAX");
                    }
                    // Clients wait in the listener's queue, in order, until others leave.
                    self.accepting = Accepting::Paused(self.core.now.mono.plus(ACCEPT_PAUSE_MS));
                    return;
                }
            }
        }
        self.accepting = Accepting::Hungry;
    }

    /// Takes a connection in, or turns it away with a word.
    fn admit(&mut self, mut socket: I::Socket, peer: IpAddr) {
        let Self { io, core, table, .. } = self;
        let proxied = core.node.trusts(peer);
        let mut too_fast = false;
        let mut address = None;
        if table.len() >= core.node.connections_per_shard {
            core.meters.connection_refused(Reason::ConnectionsMax);
            return turn_away(io, socket, OVERLOADED);
        }
        if !proxied {
            match core.node.addresses.admit(peer, core.now.mono) {
                Ok(key) => address = Some(key),
                Err(Over::Rate(key)) => {
                    core.meters.connection_refused(Reason::ConnectsPerSecondPerIp);
                    address = Some(key);
                    too_fast = true;
                }
                Err(Over::Open) => {
                    core.meters.connection_refused(Reason::ConnectionsPerIp);
                    return turn_away(io, socket, TOO_MANY);
                }
            }
        }
        let mut result = Ok(());
        let conn = Conn::new(core.now.mono, &core.node.conn);
        let key = table.insert_with(|key| {
            result = io.register(&mut socket, key);
            let mut line = Line::new(conn, peer);
            line.address = address;
            line.flags.proxied = proxied;
            line.flags.too_fast = too_fast;
            Slot { socket, line }
        });
        // What the client sent with its connect is there already, and the poll tells of it: a look now would be one more for everybody.
        self.with(key, |core, _, slot, _| {
            if let Err(error) = result {
                core.meters.accept_failed();
                tracing::debug!(%error, "register failed");
                slot.line.conn.on_lost();
            }
        });
    }
}

const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/problem+json\r\nContent-Length: 123\r\nRetry-After: 5\r\nConnection: close\r\n\r\n\
    {\"type\":\"urn:fortifun:problem:busy\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"detail\":\"the server is full\",\"code\":\"busy\"}";
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    Content-Type: application/problem+json\r\nContent-Length: 157\r\nRetry-After: 10\r\nConnection: close\r\n\r\n\
    {\"type\":\"urn:fortifun:problem:rate_limited\",\"title\":\"Too Many Requests\",\"status\":429,\
    \"detail\":\"too many connections from this address\",\"code\":\"rate_limited\"}";

/// Refuses a connection before it has a slot; its client may or may not read why.
fn turn_away<I: Io>(io: &mut I, mut socket: I::Socket, words: &[u8]) {
    drop(io.send(&mut socket, &[IoSlice::new(words)]));
    io.shut(&mut socket);
    io.close(socket);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_refusal_are_whole_responses() {
        for words in [OVERLOADED, TOO_MANY] {
            let text = std::str::from_utf8(words).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
                "{}",
                body.len()
            );
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(head.contains(&format!(" {} ", problem["status"])));
        }
    }
}
