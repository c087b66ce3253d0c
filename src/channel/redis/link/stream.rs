//! The bytes of a connection: TCP, TLS over it, or a Unix socket; each read and write ends.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::fault::Fault;
use super::tls::Trust;

/// An open connection.
pub(super) struct Stream {
    kind: Kind,
    /// What the socket's reads wait, as it was last told.
    read_wait: Option<Duration>,
}

enum Kind {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixStream),
}

impl Stream {
    /// Connects to the first address of `host` that answers, each tried for `wait`.
    ///
    /// The system's resolver has its own idea of how long that takes.
    pub(super) fn tcp(host: &str, port: u16, wait: Duration) -> Result<Self, Fault> {
        Ok(Self { kind: Kind::Tcp(connect(host, port, wait)?), read_wait: None })
    }

    /// The same, encrypted, where the certificate is for `host`. It is judged by the first write.
    pub(super) fn tls(host: &str, port: u16, wait: Duration, trust: &Trust) -> Result<Self, Fault> {
        let untrusted = |error: &dyn std::fmt::Display| Fault::Tls(error.to_string());
        let config = trust.config()?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| untrusted(&error))?;
        let session = ClientConnection::new(config, name).map_err(|error| untrusted(&error))?;
        let socket = connect(host, port, wait)?;
        socket.set_read_timeout(Some(wait))?;
        let stream = StreamOwned::new(session, socket);
        Ok(Self { kind: Kind::Tls(Box::new(stream)), read_wait: Some(wait) })
    }

    /// Connects to the socket at `path`.
    pub(super) fn unix(path: &Path) -> Result<Self, Fault> {
        let stream = UnixStream::connect(path);
        let stream =
            stream.map_err(|error| Fault::Unreachable(format!("{}: {error}", path.display())))?;
        Ok(Self { kind: Kind::Unix(stream), read_wait: None })
    }

    /// From now on a read waits this long, and fails with [`io::ErrorKind::WouldBlock`] then.
    pub(super) fn set_read_wait(&mut self, wait: Duration) -> io::Result<()> {
        if self.read_wait == Some(wait) {
            return Ok(());
        }
        match &self.kind {
            Kind::Tcp(stream) => stream.set_read_timeout(Some(wait)),
            Kind::Tls(stream) => stream.sock.set_read_timeout(Some(wait)),
            Kind::Unix(stream) => stream.set_read_timeout(Some(wait)),
        }?;
        self.read_wait = Some(wait);
        Ok(())
    }

    /// Writes all of `bytes`: each part that the peer takes within `wait`, until `is_over`.
    pub(super) fn write(
        &mut self,
        mut bytes: &[u8],
        wait: Duration,
        is_over: impl Fn() -> bool,
    ) -> io::Result<()> {
        match &self.kind {
            Kind::Tcp(stream) => stream.set_write_timeout(Some(wait)),
            Kind::Tls(stream) => stream.sock.set_write_timeout(Some(wait)),
            Kind::Unix(stream) => stream.set_write_timeout(Some(wait)),
        }?;
        while !bytes.is_empty() {
            let written = match &mut self.kind {
                Kind::Tcp(stream) => stream.write(bytes),
                Kind::Tls(stream) => stream.write(bytes),
                Kind::Unix(stream) => stream.write(bytes),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if !bytes.is_empty() && is_over() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        match &mut self.kind {
            Kind::Tls(stream) => stream.flush(),
            Kind::Tcp(_) | Kind::Unix(_) => Ok(()),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.kind {
                Kind::Tcp(stream) => stream.read(into),
                Kind::Tls(stream) => stream.read(into),
                Kind::Unix(stream) => stream.read(into),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

fn connect(host: &str, port: u16, wait: Duration) -> Result<TcpStream, Fault> {
    let unreachable = |error: &dyn std::fmt::Display| Fault::Unreachable(error.to_string());
    let places = (host, port).to_socket_addrs().map_err(|error| unreachable(&error))?;
    let mut found = Err(Fault::Unreachable("its name has no address".to_owned()));
    for place in places {
        found = connect_to(&place, wait).map_err(|error| unreachable(&error));
        if found.is_ok() {
            break;
        }
    }
    found
}

fn connect_to(place: &SocketAddr, wait: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(place, wait)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
