//! One bit that says "it is awake, or a wake-up is on its way", so that many pushes cost one, and none while the receiver works.
//!
//! The order is what makes it right, and `tests/loom` tries every interleaving of it: a sender pushes, then calls
//! [`Latch::arm`], and wakes the receiver when that says so; the receiver calls [`Latch::disarm`] before it looks whether it may
//! sleep. A push that this look misses was made after the disarm, so its sender finds the latch open and wakes.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
#[derive(Debug)]
pub struct Latch {
    armed: AtomicBool,
}

impl Latch {
    /// A latch with no wake-up on its way.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { armed: AtomicBool::new(false) }
    }

    /// A latch with no wake-up on its way.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { armed: AtomicBool::new(false) }
    }

    /// Called after a push: true exactly when the caller must wake the receiver. Called by the receiver, too, once it is awake.
    pub fn arm(&self) -> bool {
        // A plain load first: while a wake-up is under way, senders share the line instead of fighting for it.
        !self.armed.load(Ordering::SeqCst) && !self.armed.swap(true, Ordering::SeqCst)
    }

    /// Called by the receiver before it looks whether it may sleep.
    pub fn disarm(&self) {
        self.armed.swap(false, Ordering::SeqCst);
    }
}

impl Default for Latch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_push_wakes_who_sleeps() {
        let latch = Latch::new();
        assert!(latch.arm());
        assert!(!latch.arm());
        latch.disarm();
        assert!(latch.arm());
    }
}
