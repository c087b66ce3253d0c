//! A bounded queue from many threads to some, whose receivers sleep at once and are woken for many items.
//!
//! A sender puts in what a turn of its loop brings, and then [rings](Sender::ring). A wake-up for each item would cost more than most items
//! do, and where there are fewer cores than threads it would take the core from the sender each time.
//!
//! Channels that spin and yield before they sleep win where the next item comes within a microsecond. Here it comes when the next client
//! connects or writes: the spinning would be most of what a request costs, and take the core from the event loop that is to send it.
//!
//! `tests/loom` tries the interleavings of few items.

use std::collections::VecDeque;
use std::time::Duration;

#[cfg(loom)]
use loom::sync::Arc;
#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Items that a sender may put in before receivers are woken.
const UNRUNG_MAX: usize = 16;

/// A sending end.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// A receiving end; each item goes to one of them.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

/// Why an item was not queued; it comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rejected<T> {
    /// There is no room.
    Full(T),
    /// Nobody receives any more.
    Closed(T),
}

/// Why nothing was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nothing {
    /// Nothing came in time.
    Yet,
    /// Nothing will come: every sender is gone, and the queue is empty.
    More,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// Notified by a ring, by a receiver that leaves items behind, and for all when the last sender goes.
    came: Condvar,
    /// Items put in since the last ring.
    unrung: AtomicUsize,
    max: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    senders: usize,
    receivers: usize,
}

/// A queue of at most `max` items, at least 1. Its room grows as it is needed, and stays.
pub fn bounded<T>(max: usize) -> (Sender<T>, Receiver<T>) {
    let state = Mutex::new(State { items: VecDeque::new(), senders: 1, receivers: 1 });
    let (came, unrung) = (Condvar::new(), AtomicUsize::new(0));
    let shared = Arc::new(Shared { state, came, unrung, max: max.max(1) });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    /// Queues `item`. Never waits but for the length of a push or a pop. Who sleeps is woken by [`Sender::ring`], or when
    /// 16 items have come since.
    ///
    /// # Errors
    ///
    /// There is no room, or nobody receives.
    pub fn try_send(&self, item: T) -> Result<(), Rejected<T>> {
        let mut state = self.0.state.lock();
        if state.receivers == 0 {
            return Err(Rejected::Closed(item));
        }
        if state.items.len() >= self.0.max {
            return Err(Rejected::Full(item));
        }
        state.items.push_back(item);
        drop(state);
        if self.0.unrung.fetch_add(1, Ordering::Release) + 1 >= UNRUNG_MAX {
            self.ring();
        }
        Ok(())
    }

    /// Wakes a receiver where items came since the last ring, whoever put them in. Costs a load where none did.
    pub fn ring(&self) {
        let unrung = &self.0.unrung;
        if unrung.load(Ordering::Relaxed) > 0 && unrung.swap(0, Ordering::AcqRel) > 0 {
            self.0.came.notify_one();
        }
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.0.state.lock().items.len()
    }

    /// True exactly when none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Receiver<T> {
    /// The next item; waits for it. `None` when none will come.
    pub fn recv(&self) -> Option<T> {
        let mut state = self.0.state.lock();
        loop {
            match state.next() {
                Ok(item) => {
                    self.wake_another(state);
                    return Some(item);
                }
                Err(Nothing::More) => return None,
                Err(Nothing::Yet) => self.0.came.wait(&mut state),
            }
        }
    }

    /// The same, for about this long at most: a wait that is cut short by another receiver's item is not made up for.
    ///
    /// # Errors
    ///
    /// Nothing came, or nothing will.
    pub fn recv_within(&self, patience: Duration) -> Result<T, Nothing> {
        let mut state = self.0.state.lock();
        if state.items.is_empty() && state.senders > 0 {
            self.0.came.wait_for(&mut state, patience);
        }
        let next = state.next();
        self.wake_another(state);
        next
    }

    /// The next item; `None` when none waits.
    pub fn try_recv(&self) -> Option<T> {
        self.0.state.lock().items.pop_front()
    }

    /// True exactly when no item waits.
    pub fn is_empty(&self) -> bool {
        self.0.state.lock().items.is_empty()
    }

    /// What is left behind is for others, if some sleep. Costs a load where none do.
    fn wake_another(&self, state: MutexGuard<'_, State<T>>) {
        let has_more = !state.items.is_empty();
        drop(state);
        if has_more {
            self.0.came.notify_one();
        }
    }
}

impl<T> State<T> {
    fn next(&mut self) -> Result<T, Nothing> {
        self.items.pop_front().ok_or(if self.senders == 0 { Nothing::More } else { Nothing::Yet })
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().receivers += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.senders -= 1;
        if state.senders == 0 {
            drop(state);
            self.0.came.notify_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            // What nobody takes is dropped now, with whatever it holds.
            let items = std::mem::take(&mut state.items);
            drop(state);
            drop(items);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    #[test]
    fn items_leave_in_the_order_they_came_and_no_more_than_there_is_room_for() {
        let (sender, receiver) = bounded(2);
        assert_eq!([1, 2].map(|item| sender.try_send(item)), [Ok(()); 2]);
        assert_eq!(sender.try_send(3), Err(Rejected::Full(3)));
        assert_eq!((sender.len(), receiver.try_recv()), (2, Some(1)));
        assert_eq!(sender.try_send(4), Ok(()));
        assert_eq!([(); 3].map(|()| receiver.try_recv()), [Some(2), Some(4), None]);
        assert!(receiver.is_empty() && sender.is_empty());
    }

    #[test]
    fn a_side_that_is_gone_is_told_to_the_other_after_what_was_queued() {
        let (sender, receiver) = bounded(2);
        let second = sender.clone();
        drop(sender);
        assert_eq!(receiver.recv_within(Duration::ZERO), Err(Nothing::Yet));
        assert_eq!(second.try_send(1), Ok(()));
        drop(second);
        assert_eq!((receiver.recv(), receiver.recv()), (Some(1), None));
        assert_eq!(receiver.recv_within(Duration::MAX), Err(Nothing::More));
        let (sender, receiver) = bounded(2);
        let held = Arc::new(());
        assert!(sender.try_send(Arc::clone(&held)).is_ok());
        drop(receiver);
        assert_eq!(Arc::strong_count(&held), 1, "what nobody takes is dropped");
        assert_eq!(sender.try_send(held), Err(Rejected::Closed(Arc::new(()))));
    }

    #[test]
    fn sleepers_are_woken_by_items_and_by_the_end() {
        const EACH: u64 = 20_000;
        let (sender, receiver) = bounded(8);
        let sum = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                let receiver = receiver.clone();
                scope.spawn(|| {
                    let receiver = receiver;
                    while let Some(item) = receiver.recv() {
                        sum.fetch_add(item, Ordering::Relaxed);
                    }
                });
            }
            drop(receiver);
            for _ in 0..2 {
                let sender = sender.clone();
                scope.spawn(move || {
                    for item in 1..=EACH {
                        while sender.try_send(item).is_err() {
                            sender.ring();
                            thread::yield_now();
                        }
                        if item % 3 == 0 {
                            sender.ring();
                        }
                    }
                    sender.ring();
                });
            }
            drop(sender);
        });
        assert_eq!(sum.into_inner(), 2 * EACH * (EACH + 1) / 2);
    }
}
