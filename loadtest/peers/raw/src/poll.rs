//! The few system calls that the standard library has no words for.

use std::io::{self, Error};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// What became ready: a descriptor, and how.
pub(crate) use libc::epoll_event as Event;

/// An epoll instance.
pub(crate) struct Poll(OwnedFd);

impl Poll {
    /// An empty one.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` was just opened, and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Says changes of `fd` in both directions, by its number, until it is closed.
    pub(crate) fn add(&self, fd: &impl AsRawFd) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let fd = fd.as_raw_fd();
        let mut event = Event { events: events as u32, u64: fd as u64 };
        // SAFETY: both descriptors are open, and `event` outlives the call, which copies it.
        checked(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        })?;
        Ok(())
    }

    /// Waits for changes, and returns how many of `events` were filled.
    pub(crate) fn wait(&self, events: &mut [Event]) -> io::Result<usize> {
        // SAFETY: the kernel writes at most `events.len()` events from the pointer on, all of them ours.
        let count = checked(unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                i32::try_from(events.len()).unwrap_or(i32::MAX),
                -1,
            )
        })?;
        Ok(count as usize)
    }
}

/// Accepts one connection, non-blocking.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null pointers say that the peer's address is not asked for.
    let fd = checked(unsafe {
        libc::accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags)
    })?;
    // SAFETY: `fd` was just opened, and nobody else owns it.
    Ok(unsafe { TcpStream::from_raw_fd(fd) })
}

/// Turns Nagle's delay off for whatever `listener` accepts: accepted sockets inherit it.
pub(crate) fn no_delay(listener: &TcpListener) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer is to an int that outlives the call, and the length is an int's.
    checked(unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    })?;
    Ok(())
}

fn checked(result: RawFd) -> io::Result<RawFd> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}
