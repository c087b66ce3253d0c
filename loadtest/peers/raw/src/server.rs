//! Connections, rooms and the loop.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use crate::poll::{Event, Poll, accept, no_delay};

/// What is received and sent, by length and by bytes.
pub(crate) struct Canned {
    /// Bytes of one message on the wire.
    pub(crate) in_bytes: usize,
    /// What goes out for it.
    pub(crate) frame: Vec<u8>,
    /// What answers a request.
    pub(crate) answer: Vec<u8>,
}

/// See the module.
pub(crate) struct Server {
    listener: TcpListener,
    poll: Poll,
    /// By descriptor.
    connections: Vec<Option<Connection>>,
    /// Descriptors of the members.
    rooms: HashMap<u32, Vec<usize>>,
    canned: Canned,
    buffer: Box<[u8]>,
}

struct Connection {
    stream: TcpStream,
    place: Place,
    /// Bytes of a message that has not come in whole.
    received: usize,
    /// Bytes of frames that found no room. All frames are the same, so their number is enough.
    waiting: usize,
}

/// Where a connection's messages go.
enum Place {
    /// A request that has not come in whole.
    Head(Vec<u8>),
    Echo,
    Room(u32),
}

const EVENTS_MAX: usize = 1024;
const BUFFER_BYTES: usize = 64 * 1024;

impl Server {
    /// A server without connections.
    pub(crate) fn new(listener: TcpListener, canned: Canned) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        no_delay(&listener)?;
        let poll = Poll::new()?;
        poll.add(&listener)?;
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Ok(Self { listener, poll, connections: Vec::new(), rooms: HashMap::new(), canned, buffer })
    }

    /// Serves until the system refuses to.
    ///
    /// # Errors
    ///
    /// What epoll or the listener says.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = vec![Event { events: 0, u64: 0 }; EVENTS_MAX];
        loop {
            let count = match self.poll.wait(&mut events) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for event in &events[..count] {
                let (flags, fd) = (event.events, event.u64 as usize);
                if fd == self.listener.as_raw_fd() as usize {
                    self.accept()?;
                } else {
                    self.serve(fd, flags);
                }
            }
        }
    }

    /// Accepts all that wait.
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match accept(&self.listener) {
                Ok(stream) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            self.poll.add(&stream)?;
            let fd = stream.as_raw_fd() as usize;
            if self.connections.len() <= fd {
                self.connections.resize_with(fd + 1, || None);
            }
            let place = Place::Head(Vec::new());
            self.connections[fd] = Some(Connection { stream, place, received: 0, waiting: 0 });
        }
    }

    /// Something happened to a connection. Only here is one closed, so that no event of this round is about another one of that number.
    fn serve(&mut self, fd: usize, flags: u32) {
        let is = |flag: i32| flags & flag as u32 != 0;
        if is(libc::EPOLLOUT)
            && let Some(connection) = &mut self.connections[fd]
            && connection.waiting > 0
        {
            connection.send(0, &self.canned.frame);
        }
        let is_ended = is(libc::EPOLLRDHUP) || is(libc::EPOLLHUP) || is(libc::EPOLLERR);
        if (is(libc::EPOLLIN) || is_ended) && self.read(fd, is_ended).is_err() {
            self.close(fd);
        }
    }

    /// Receives all that is there: a short receive says so, unless the end came with it.
    fn read(&mut self, fd: usize, is_ended: bool) -> io::Result<()> {
        loop {
            let Some(connection) = &mut self.connections[fd] else { return Ok(()) };
            let count = match connection.stream.read(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut messages = count;
            if let Place::Head(head) = &mut connection.place {
                head.extend_from_slice(&self.buffer[..count]);
                let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
                    continue;
                };
                messages = head.len() - end - 4;
                let place = place(&head[..end]);
                if let Place::Room(room) = place {
                    self.rooms.entry(room).or_default().push(fd);
                }
                connection.place = place;
                connection.stream.write_all(&self.canned.answer)?;
            }
            self.take(fd, messages);
            if count < self.buffer.len() && !is_ended {
                return Ok(());
            }
        }
    }

    /// `count` bytes of messages came in.
    fn take(&mut self, fd: usize, count: usize) {
        let Self { connections, rooms, canned, .. } = self;
        let Some(sender) = &mut connections[fd] else { return };
        let received = sender.received + count;
        sender.received = received % canned.in_bytes;
        let alone = [fd];
        let receivers = match sender.place {
            Place::Room(room) => rooms.get(&room).map_or(&[][..], Vec::as_slice),
            Place::Head(_) | Place::Echo => &alone,
        };
        for _ in 0..received / canned.in_bytes {
            for receiver in receivers {
                if let Some(receiver) = &mut connections[*receiver] {
                    receiver.send(canned.frame.len(), &canned.frame);
                }
            }
        }
    }

    fn close(&mut self, fd: usize) {
        if let Some(Connection { place: Place::Room(room), .. }) = self.connections[fd].take()
            && let Some(members) = self.rooms.get_mut(&room)
        {
            members.retain(|member| *member != fd);
        }
    }
}

impl Connection {
    /// Sends `more` bytes of frames after those that wait. What finds no room waits; a failure is said by the next receive.
    fn send(&mut self, more: usize, frame: &[u8]) {
        let waited = self.waiting > 0;
        self.waiting += more;
        // Whoever waited goes on when there is room, which is a change.
        if waited && more > 0 {
            return;
        }
        while self.waiting > 0 {
            let left_of_first = match self.waiting % frame.len() {
                0 => frame.len(),
                left => left,
            };
            match self.stream.write(&frame[frame.len() - left_of_first..]) {
                Ok(count) => self.waiting -= count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// What the head of a request asks for.
fn place(head: &[u8]) -> Place {
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.split_once("/room/") {
        None => Place::Echo,
        Some((_, rest)) => {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            Place::Room(digits.parse().unwrap_or_default())
        }
    }
}
