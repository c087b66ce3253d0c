//! The condition of the database as its workers find it: one line in the log for each change, however many of them see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::limits::STORE_TROUBLE_MS;
use crate::store::{StoreError, StoreErrorKind};
use crate::time::Mono;
use crate::worker::Report;

/// What the workers of one database found last.
#[derive(Debug)]
pub(super) struct Condition {
    /// Which database, for people.
    place: String,
    /// True exactly when `found.told` has an entry: while all is well nobody takes the lock.
    is_troubled: AtomicBool,
    found: Mutex<Found>,
}

#[derive(Default, Debug)]
struct Found {
    /// By worker: when it last failed, where it has not succeeded since.
    failing: Vec<Option<Mono>>,
    /// The kinds that were logged since all was well.
    told: Vec<StoreErrorKind>,
    /// When a poisoned request was last logged.
    poisoned: Option<Mono>,
}

/// What is to be logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Fails,
    Works,
    Poisoned,
}

impl Condition {
    pub(super) fn of(place: String) -> Arc<Self> {
        Arc::new(Self { place, is_troubled: AtomicBool::new(false), found: Mutex::default() })
    }

    /// The report of one more worker; `clock` is the one it works by.
    pub(super) fn report(
        self: &Arc<Self>,
        mut clock: impl FnMut() -> Mono + Send + 'static,
    ) -> Report {
        let condition = Arc::clone(self);
        let worker = {
            let mut found = condition.found.lock();
            found.failing.push(None);
            found.failing.len() - 1
        };
        Box::new(move |error| {
            if error.is_none() && !condition.is_troubled.load(Ordering::Relaxed) {
                return;
            }
            condition.log(condition.hear(worker, error, clock()), error);
        })
    }

    /// Whoever is not a worker has found that the database works, and so will the workers.
    pub(super) fn works(&self) {
        let was_told = {
            let mut found = self.found.lock();
            found.failing.fill(None);
            let told = std::mem::take(&mut found.told);
            self.is_troubled.store(false, Ordering::Relaxed);
            !told.is_empty()
        };
        self.log(was_told.then_some(Change::Works), None);
    }

    fn hear(&self, worker: usize, error: Option<&StoreError>, now: Mono) -> Option<Change> {
        let is_over = |at: &Mono| now.since(*at) >= STORE_TROUBLE_MS;
        let mut found = self.found.lock();
        let Some(error) = error else {
            found.failing[worker] = None;
            // A worker whom nobody asked anything since keeps nobody from saying that all is well.
            if found.told.is_empty() || !found.failing.iter().flatten().all(is_over) {
                return None;
            }
            found.told.clear();
            self.is_troubled.store(false, Ordering::Relaxed);
            return Some(Change::Works);
        };
        if error.kind == StoreErrorKind::Poisoned {
            // One request's fault, which may be a client's doing.
            let is_quiet = found.poisoned.as_ref().is_none_or(is_over);
            return is_quiet.then(|| {
                found.poisoned = Some(now);
                Change::Poisoned
            });
        }
        found.failing[worker] = Some(now);
        if found.told.contains(&error.kind) {
            return None;
        }
        found.told.push(error.kind);
        self.is_troubled.store(true, Ordering::Relaxed);
        Some(Change::Fails)
    }

    fn log(&self, change: Option<Change>, error: Option<&StoreError>) {
        let database = &self.place;
        match (change, error) {
            (Some(Change::Fails), Some(error)) => {
                tracing::error!(database, %error, "the database fails");
            }
            (Some(Change::Poisoned), Some(error)) => {
                tracing::warn!(database, %error, "the database rejected a request");
            }
            (Some(_), _) => tracing::info!(database, "the database works again"),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StoreErrorKind::{Poisoned, TimedOut, Unavailable};

    const FAILS: Option<Change> = Some(Change::Fails);
    const WORKS: Option<Change> = Some(Change::Works);

    fn condition(workers: usize) -> Arc<Condition> {
        let condition = Condition::of("app at db".to_owned());
        for _ in 0..workers {
            drop(condition.report(|| Mono(0)));
        }
        condition
    }

    #[track_caller]
    fn check(
        condition: &Condition,
        steps: &[(usize, Option<StoreErrorKind>, u64, Option<Change>)],
    ) {
        for (worker, kind, at, change) in steps {
            let error = kind.map(|kind| StoreError { kind, detail: String::new() });
            let heard = condition.hear(*worker, error.as_ref(), Mono(*at));
            assert_eq!(heard, *change, "worker {worker} at {at}");
        }
    }

    #[test]
    fn an_outage_that_all_workers_see_is_told_once_and_so_is_its_end() {
        check(
            &condition(3),
            &[
                (0, None, 0, None),
                (0, Some(Unavailable), 1, FAILS),
                (1, Some(Unavailable), 2, None),
                (0, Some(TimedOut), 3, FAILS),
                (1, Some(TimedOut), 4, None),
                (2, None, 5, None),
                (0, None, 6, None),
                (1, None, 7, WORKS),
                (2, None, 8, None),
                (2, Some(Unavailable), 9, FAILS),
            ],
        );
    }

    #[test]
    fn a_worker_that_is_asked_nothing_does_not_keep_an_outage_open() {
        check(
            &condition(2),
            &[
                (0, Some(Unavailable), 0, FAILS),
                (1, Some(Unavailable), 0, None),
                (1, None, 1, None),
                (1, None, STORE_TROUBLE_MS, WORKS),
            ],
        );
    }

    #[test]
    fn a_poisoned_request_is_no_outage_and_told_once_in_a_while() {
        check(
            &condition(1),
            &[
                (0, Some(Poisoned), 0, Some(Change::Poisoned)),
                (0, None, 1, None),
                (0, Some(Poisoned), 2, None),
                (0, Some(Poisoned), STORE_TROUBLE_MS, Some(Change::Poisoned)),
            ],
        );
    }

    #[test]
    fn whoever_finds_it_working_ends_an_outage_for_all() {
        let condition = condition(2);
        check(&condition, &[(0, Some(Unavailable), 0, FAILS), (1, Some(Unavailable), 0, None)]);
        condition.works();
        check(&condition, &[(0, None, 1, None), (1, Some(Unavailable), 2, FAILS)]);
    }
}
