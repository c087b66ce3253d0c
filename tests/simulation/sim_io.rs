//! [`Io`] on the simulated network. Nothing blocks: the world runs a shard when its poll would return.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fortifun_realtime::ids::ConnKey;
use fortifun_realtime::shard::inbox::Wake;
use fortifun_realtime::shard::io::{AcceptError, Io, Ready};
use fortifun_realtime::time::Now;

use crate::net::{Net, SockId};

pub(crate) struct SimIo {
    net: Rc<RefCell<Net>>,
    shard: usize,
    bell: Bell,
}

/// Rung by whoever pushes a note; silenced by the shard's next poll.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<AtomicBool>);

impl Bell {
    pub(crate) fn rings(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl SimIo {
    pub(crate) fn new(net: Rc<RefCell<Net>>, shard: usize, bell: Bell) -> Self {
        Self { net, shard, bell }
    }
}

impl Io for SimIo {
    type Socket = SockId;

    fn poll(&mut self, _: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        if self.bell.0.swap(false, Ordering::Relaxed) {
            ready.push(Ready::Woken);
        }
        self.net.borrow_mut().poll(self.shard, ready);
        Ok(())
    }

    fn now(&mut self) -> Now {
        self.net.borrow().clock.now()
    }

    fn accept(&mut self) -> Result<(SockId, IpAddr), AcceptError> {
        self.net.borrow_mut().accept(self.shard)
    }

    fn register(&mut self, socket: &mut SockId, key: ConnKey) -> io::Result<()> {
        self.net.borrow_mut().register(*socket, key)
    }

    fn recv(&mut self, socket: &mut SockId, buf: &mut [u8]) -> io::Result<usize> {
        self.net.borrow_mut().recv(*socket, buf)
    }

    fn send(&mut self, socket: &mut SockId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.net.borrow_mut().send(*socket, slices)
    }

    fn shut(&mut self, socket: &mut SockId) {
        self.net.borrow_mut().shut(*socket);
    }

    fn close(&mut self, socket: SockId) {
        self.net.borrow_mut().close(socket);
    }

    fn stop_listening(&mut self) {
        self.net.borrow_mut().stop_listening(self.shard);
    }

    fn random(&mut self) -> u64 {
        self.net.borrow_mut().random()
    }
}
