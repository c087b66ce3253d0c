//! What sessions read of their conversations over REST when they are back, by threads beside the one with the sockets.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

use crate::dialect::Place;
use crate::http::Connection;
use crate::rest;
use crate::target::Target;

/// Messages of a page, as the Django server tells them.
pub(super) const PAGE: u32 = 50;
/// Connections that read.
const CONCURRENCY: usize = 32;

/// Readers. They end when this is dropped.
pub(super) struct History {
    asked: Sender<Asked>,
    read: Receiver<Read>,
}

/// A session that wants to know what it missed.
struct Asked {
    session: usize,
    place: Place,
}

/// What a session read.
pub(super) struct Read {
    pub(super) session: usize,
    /// What was said last in its conversation; an error where the server did not tell.
    pub(super) contents: anyhow::Result<Vec<String>>,
}

impl History {
    /// Starts them.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, target: &'scope Target) -> Self {
        let (asked, to_do) = channel::<Asked>();
        let (done, read) = channel();
        let to_do = Arc::new(Mutex::new(to_do));
        for _ in 0..CONCURRENCY {
            let (to_do, done) = (Arc::clone(&to_do), done.clone());
            scope.spawn(move || {
                let mut connection = Connection::new(target);
                loop {
                    let next = to_do.lock().expect("no thread panics with it").recv();
                    let Ok(Asked { session, place }) = next else { return };
                    let contents = read_latest(&mut connection, place);
                    if contents.is_err() {
                        connection = Connection::new(target);
                    }
                    if done.send(Read { session, contents }).is_err() {
                        return;
                    }
                }
            });
        }
        Self { asked, read }
    }

    /// A session asks.
    pub(super) fn ask(&self, session: usize, place: Place) {
        // The readers live as long as this.
        let _ = self.asked.send(Asked { session, place });
    }

    /// The next answer that is there.
    pub(super) fn next(&self) -> Option<Read> {
        self.read.try_recv().ok()
    }
}

fn read_latest(connection: &mut Connection<'_>, place: Place) -> anyhow::Result<Vec<String>> {
    match place {
        Place::Room { room, user } => rest::latest(connection, room, user),
        Place::Echo | Place::Own { .. } => Ok(Vec::new()),
    }
}
