//! One client socket.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use super::stream::Stream;
use crate::tls::Tls;
use crate::ws::{Assembler, Joined, Opcode, Upgrade, Violation, encode};

/// A connection and what is under way on it.
pub(super) struct Session {
    pub(super) stream: Stream,
    /// True exactly when TCP is connected.
    is_connected: bool,
    pub(super) phase: Phase,
    /// The beginning of a frame or head whose end is to come; mostly empty.
    pub(super) tail: Vec<u8>,
    /// True exactly when it stands in the swarm's list.
    pub(super) is_ready: bool,
    /// True exactly when the system has told of an end: it is read up to it.
    pub(super) is_ending: bool,
    /// True exactly while nothing is read.
    pub(super) is_stopped: bool,
    /// Encoded frames that are to be sent, of which `sent` bytes are.
    out: Vec<u8>,
    sent: usize,
    fragments: Assembler,
}

/// How far a session is.
pub(super) enum Phase {
    /// The answer to the handshake is to come.
    Handshaking(Box<Asked>),
    /// Frames travel.
    Open,
}

/// What the answer must fit.
pub(super) struct Asked {
    pub(super) accept_key: Box<str>,
    pub(super) is_v1: bool,
}

impl Session {
    /// Begins to connect, without waiting. The kernel keeps at most `kept` bytes that are not read, where it is told.
    pub(super) fn connect(
        address: SocketAddr,
        host: &str,
        (source, kept): (Option<SocketAddr>, Option<usize>),
        (upgrade, key, tls): (&Upgrade, Option<&str>, Option<&Tls>),
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = kept {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = source {
            socket.bind(&source.into())?;
        }
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
            connected => connected?,
        }
        let (out, accept_key) = upgrade.request(host, key);
        Ok(Self {
            stream: Stream::new(TcpStream::from_std(socket.into()), tls)?,
            is_connected: false,
            phase: Phase::Handshaking(Box::new(Asked { accept_key, is_v1: upgrade.is_v1 })),
            tail: Vec::new(),
            is_ready: false,
            is_ending: false,
            is_stopped: false,
            out,
            sent: 0,
            fragments: Assembler::default(),
        })
    }

    /// The socket takes bytes: it is connected now, if it was not, or has failed to be.
    pub(super) fn on_writable(&mut self) -> io::Result<()> {
        if !self.is_connected {
            if let Some(error) = self.stream.socket().take_error()? {
                return Err(error);
            }
            self.is_connected = true;
        }
        self.flush()
    }

    /// Sends a frame, or keeps what the socket does not take until it does. Answers how many bytes wait. `scratch` is overwritten.
    pub(super) fn send(
        &mut self,
        (opcode, payload): (Opcode, &[u8]),
        masking_key: [u8; 4],
        scratch: &mut Vec<u8>,
    ) -> io::Result<usize> {
        debug_assert!(matches!(self.phase, Phase::Open), "frames follow the handshake");
        if !self.out.is_empty() {
            encode(&mut self.out, opcode, payload, masking_key);
            self.flush()?;
            return Ok(self.out.len() - self.sent);
        }
        scratch.clear();
        encode(scratch, opcode, payload, masking_key);
        let written = match self.stream.write(scratch) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        if written < scratch.len() {
            self.out.extend_from_slice(&scratch[written..]);
            self.flush()?;
        }
        Ok(self.out.len() - self.sent)
    }

    /// Joins a data frame to what came before.
    pub(super) fn join(
        &mut self,
        fin: bool,
        opcode: Opcode,
        payload: &[u8],
    ) -> Result<Joined, Violation> {
        self.fragments.push(fin, opcode, payload)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.out.drain(..self.sent);
                    self.sent = 0;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out = Vec::new();
        self.sent = 0;
        self.stream.flush()
    }
}

/// Linux' number for "the connection is being made"; std has no kind for it.
const EINPROGRESS: i32 = 115;
