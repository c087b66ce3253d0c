//! SIGTERM and SIGINT: the first drains, the second ends the process at once.

use std::io;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals as Iterator};

use super::threads;

/// The exit code of a process that was told twice to stop: as a shell says of SIGINT.
const INTERRUPTED: i32 = 130;

/// The signals of this process, caught from its creation on.
pub(super) struct Signals {
    signals: Iterator,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { signals: Iterator::new([SIGTERM, SIGINT])? })
    }

    /// Calls `drain` at the first signal, on a thread of its own.
    pub(super) fn on_stop(mut self, drain: impl FnOnce() + Send + 'static) -> io::Result<Watch> {
        let handle = self.signals.handle();
        threads::spawn("signals".to_owned(), move || {
            let mut drain = Some(drain);
            for _ in self.signals.forever() {
                match drain.take() {
                    Some(drain) => drain(),
                    None => std::process::exit(INTERRUPTED),
                }
            }
        })?;
        Ok(Watch { handle })
    }
}

/// The thread that waits for signals.
pub(super) struct Watch {
    handle: Handle,
}

impl Watch {
    /// Waits no more, and gives up what the thread holds.
    pub(super) fn end(self) {
        self.handle.close();
    }
}
