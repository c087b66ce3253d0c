//! Models of how the server's threads wake each other: loom tries the interleavings that the memory model allows.
//!
//! A crate of its own, so that `--cfg loom` has loom and this built, and not the server:
//! `RUSTFLAGS="--cfg loom" cargo test --package fortifun-loom --target-dir target/loom`.

#![cfg(loom)]

// What the queue takes from `parking_lot` is loom's here.
extern crate self as parking_lot;
pub use locks::{Condvar, Mutex, MutexGuard};

#[path = "../../src/shard/latch.rs"]
pub mod latch;
pub mod locks;
#[path = "../../src/worker/queue.rs"]
pub mod queue;

#[cfg(test)]
#[path = "models/queue.rs"]
mod queue_tests;

#[cfg(test)]
mod tests {
    use loom::sync::atomic::{AtomicUsize, Ordering, fence};
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::latch::Latch;

    const SENDERS: usize = 2;

    /// An inbox whose notes are only counted, and an eventfd.
    #[derive(Default)]
    struct Inbox {
        notes: AtomicUsize,
        latch: Latch,
        is_rung: Mutex<bool>,
        bell: Condvar,
        wakes: AtomicUsize,
    }

    impl Inbox {
        fn push(&self) {
            self.notes.fetch_add(1, Ordering::SeqCst);
            // loom takes SeqCst for AcqRel; what crossbeam-channel's SeqCst exchange of its tail gives, a fence gives here.
            fence(Ordering::SeqCst);
            if self.latch.arm() {
                self.wakes.fetch_add(1, Ordering::Relaxed);
                *self.is_rung.lock().unwrap() = true;
                self.bell.notify_one();
            }
        }

        /// What a turn does once it is awake.
        fn take_all(&self) -> usize {
            self.latch.arm();
            self.notes.swap(0, Ordering::SeqCst)
        }

        /// The end of a turn: true exactly when the receiver may not sleep.
        fn doze(&self) -> bool {
            self.latch.disarm();
            // As in crossbeam-channel's `is_empty`.
            fence(Ordering::SeqCst);
            self.notes.load(Ordering::SeqCst) > 0
        }

        /// The wrong way round.
        fn look_and_disarm(&self) -> bool {
            let has_more = self.notes.load(Ordering::SeqCst) > 0;
            fence(Ordering::SeqCst);
            self.latch.disarm();
            has_more
        }

        fn poll(&self) {
            let mut is_rung = self.is_rung.lock().unwrap();
            while !*is_rung {
                is_rung = self.bell.wait(is_rung).unwrap();
            }
            *is_rung = false;
        }
    }

    /// loom fails a run in which the receiver sleeps for ever.
    #[test]
    fn no_note_is_left_while_the_receiver_sleeps() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::default());
            for _ in 0..SENDERS {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || inbox.push());
            }
            let (mut taken, mut has_more) = (0, false);
            while taken < SENDERS {
                if !has_more {
                    inbox.poll();
                }
                taken += inbox.take_all();
                has_more = inbox.doze();
            }
            assert_eq!(taken, SENDERS);
            assert!((1..=SENDERS).contains(&inbox.wakes.load(Ordering::Relaxed)));
        });
    }

    #[test]
    fn what_the_last_look_misses_has_rung() {
        one_turn(Inbox::doze);
    }

    /// So the model can tell right from wrong.
    #[test]
    #[should_panic(expected = "a note waits and nobody rings")]
    fn a_receiver_that_disarms_after_its_last_look_misses_a_note() {
        one_turn(Inbox::look_and_disarm);
    }

    /// The receiver, woken by one note, ends its turn while another comes.
    fn one_turn(doze: fn(&Inbox) -> bool) {
        loom::model(move || {
            let inbox = Arc::new(Inbox::default());
            inbox.push();
            inbox.poll();
            let sender = {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || inbox.push())
            };
            inbox.take_all();
            let has_more = doze(&inbox);
            sender.join().unwrap();
            let is_rung = *inbox.is_rung.lock().unwrap();
            let waits = inbox.notes.load(Ordering::SeqCst) > 0;
            assert!(is_rung || has_more || !waits, "a note waits and nobody rings");
        });
    }
}
