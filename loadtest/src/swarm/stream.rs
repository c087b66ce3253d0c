//! The bytes of a session: as they are, or through TLS. Both never wait.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use rustls::ClientConnection;

use crate::tls::Tls;

/// A connection that does not block.
pub(super) enum Stream {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Through TLS.
    Tls(Box<(ClientConnection, TcpStream)>),
}

impl Stream {
    /// Over `socket`, which may not be connected yet.
    pub(super) fn new(socket: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        let Some(tls) = tls else { return Ok(Self::Plain(socket)) };
        let connection = tls.connection().map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new((connection, socket))))
    }

    /// What the system knows of it.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(both) => &both.1,
        }
    }

    /// The same, to be registered.
    pub(super) fn socket_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(both) => &mut both.1,
        }
    }

    /// True exactly when a read that does not fill its buffer has taken all there was.
    pub(super) fn is_empty_after_short_read(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (connection, socket) = match self {
            Self::Plain(socket) => return socket.read(buffer),
            Self::Tls(both) => (&mut both.0, &mut both.1),
        };
        loop {
            match connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if connection.read_tls(socket)? == 0 {
                return Ok(0);
            }
            connection.process_new_packets().map_err(io::Error::other)?;
            // A handshake answers what came.
            send(connection, socket)?;
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(both) => {
                let written = both.0.writer().write(bytes)?;
                send(&mut both.0, &mut both.1)?;
                Ok(written)
            }
        }
    }

    /// Sends what TLS holds, as far as the socket takes it.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(both) => send(&mut both.0, &mut both.1),
        }
    }
}

fn send(connection: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    while connection.wants_write() {
        match connection.write_tls(socket) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
