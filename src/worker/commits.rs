//! Which write workers are between a commit and the end of its publication.
//!
//! Whoever else reads messages from the store and publishes them may find one that a worker has committed and not published yet. Published by the
//! reader first, it would come to the session that sent it as any other's does, and then once more as its echo. So the
//! reader waits until the workers are done with what it may have seen.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// The batches of all write workers of a node.
#[derive(Clone, Debug, Default)]
pub struct Commits(Arc<Shared>);

/// One worker's own part of [`Commits`].
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    number: usize,
}

#[derive(Debug, Default)]
struct Shared {
    /// By worker: batches begun and ended, together. Odd while one is under way.
    batches: Mutex<Vec<u64>>,
    ended: Condvar,
}

impl Commits {
    /// The part of one worker more.
    pub fn writer(&self) -> Writer {
        let mut batches = self.0.batches.lock();
        batches.push(0);
        Writer { shared: Arc::clone(&self.0), number: batches.len() - 1 }
    }

    /// Waits until every batch that is under way has been published, for `patience` at most. False when that was too short. Those
    /// that begin meanwhile are not waited for.
    pub fn wait(&self, patience: Duration) -> bool {
        let mut batches = self.0.batches.lock();
        let seen = batches.clone();
        let is_under_way = |now: &mut Vec<u64>| {
            seen.iter().zip(&*now).any(|(seen, now)| seen % 2 == 1 && seen == now)
        };
        !self.0.ended.wait_while_for(&mut batches, is_under_way, patience).timed_out()
    }
}

impl Writer {
    /// The worker is about to commit.
    pub fn begin(&self) {
        self.step(1);
    }

    /// It has published what it committed, or committed nothing.
    pub fn end(&self) {
        self.step(0);
        self.shared.ended.notify_all();
    }

    fn step(&self, parity: u64) {
        let batch = &mut self.shared.batches.lock()[self.number];
        debug_assert_ne!(*batch % 2, parity, "a batch begins and ends by turns");
        *batch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn only_batches_under_way_are_waited_for() {
        let commits = Commits::default();
        let (one, two) = (commits.writer(), commits.writer());
        assert!(commits.wait(Duration::ZERO));
        one.begin();
        assert!(!commits.wait(Duration::from_millis(1)));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| commits.wait(Duration::from_secs(60)));
            while !waiting.is_finished() {
                // Others come and go; the wait ends with the one that was there.
                two.begin();
                one.end();
                one.begin();
                two.end();
                thread::yield_now();
            }
            assert!(waiting.join().unwrap());
        });
        one.end();
        assert!(commits.wait(Duration::ZERO));
    }
}
