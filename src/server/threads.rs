//! How threads are started and awaited.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

/// Starts a named thread. Where it panics, the process ends: half a server keeps its clients waiting, and a supervisor starts
/// a whole one.
pub(super) fn spawn(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.clone()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            tracing::error!(name, "a thread panicked; the process ends");
            std::process::abort();
        }
    })
}

/// Waits for all of `threads`.
pub(super) fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("a thread that panics ends the process");
    }
}
