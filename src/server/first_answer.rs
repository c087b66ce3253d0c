//! The first answer of a database that is a server of its own: waited for while the port is open already, so that a node that
//! starts before its database needs no second start. Until then clients hear `store_unavailable` and `readyz` names the store.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use parking_lot::Mutex;

use super::condition::Condition;
use super::threads;
use crate::limits::{STORE_FIRST_MS, STORE_RETRY_MS_MAX, STORE_RETRY_MS_MIN};
use crate::store::{Outcome, Reply, Request, Store, StoreError, StoreErrorKind};
use crate::time::Timestamp;
use crate::worker::Report;

/// Whether the database has answered, and if not, why.
#[derive(Clone, Debug)]
pub(super) struct FirstAnswer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    has_come: AtomicBool,
    trouble: Mutex<StoreError>,
}

impl FirstAnswer {
    /// None yet.
    pub(super) fn awaited() -> Self {
        let detail = "it has not answered yet".to_owned();
        let trouble = StoreError { kind: StoreErrorKind::Unavailable, detail };
        Self(Arc::new(Inner { has_come: AtomicBool::new(false), trouble: Mutex::new(trouble) }))
    }

    /// `store`, which is not asked anything before the first answer has come.
    pub(super) fn before(&self, store: Box<dyn Store>) -> Box<dyn Store> {
        Box::new(Guarded { answer: self.clone(), store })
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.0.has_come.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(self.0.trouble.lock().clone())
    }
}

struct Guarded {
    answer: FirstAnswer,
    store: Box<dyn Store>,
}

impl Store for Guarded {
    fn commit(&mut self, batch: &[Request], now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        self.answer.check()?;
        self.store.commit(batch, now)
    }

    fn settle(
        &mut self,
        batch: &[Request],
        at: Timestamp,
    ) -> Result<Vec<Option<Reply>>, StoreError> {
        self.answer.check()?;
        self.store.settle(batch, at)
    }

    fn read(&mut self, request: &Request, now: Timestamp) -> Outcome {
        self.answer.check()?;
        self.store.read(request, now)
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        self.answer.check()?;
        self.store.ping()
    }
}

/// What is asked of a database before it is used: that its schema is this program's, and that those who cannot be here yet are
/// offline. Asked again where waiting mends what was wrong.
pub(super) type Meet = Box<dyn FnMut() -> Result<(), StoreError> + Send>;

/// What the thread that waits is connected to.
pub(super) struct Links {
    pub(super) meet: Meet,
    pub(super) answer: FirstAnswer,
    pub(super) condition: Arc<Condition>,
    /// Told of every try that failed and will be made again.
    pub(super) report: Report,
    /// Called when no more tries are made, because no waiting mends what is wrong.
    pub(super) give_up: Box<dyn FnMut() + Send>,
}

/// The thread that waits for the first answer.
pub(super) struct Wait {
    heard: Receiver<Heard>,
    /// Dropped to end the thread.
    _stop: Sender<()>,
}

/// What the thread tells whoever started it.
enum Heard {
    Answered,
    NotYet,
    /// No waiting mends it.
    Refused(StoreError),
}

impl Wait {
    /// Starts to meet the database; returns when it has answered, or it is clear that this will take longer than a start
    /// should.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] that no waiting mends, or no thread could be started.
    pub(super) fn begin(links: Links) -> anyhow::Result<Self> {
        let (tell, heard) = unbounded();
        let (stop, is_stopped) = bounded(0);
        let mut seeker = Seeker { links, tell };
        threads::spawn("store".to_owned(), move || seeker.run(&is_stopped))?;
        // No more than this, so that a probe of the process finds its port open.
        let first = heard.recv_timeout(Duration::from_millis(STORE_FIRST_MS));
        if let Ok(Heard::Refused(error)) = first {
            return Err(error.into());
        }
        Ok(Self { heard, _stop: stop })
    }

    /// Ends the wait; an error is what no waiting mends.
    pub(super) fn end(self) -> Result<(), StoreError> {
        let refused = self.heard.try_iter().find_map(|heard| match heard {
            Heard::Refused(error) => Some(error),
            Heard::Answered | Heard::NotYet => None,
        });
        refused.map_or(Ok(()), Err)
    }
}

struct Seeker {
    links: Links,
    tell: Sender<Heard>,
}

impl Seeker {
    fn run(&mut self, is_stopped: &Receiver<()>) {
        let mut cap_ms = STORE_RETRY_MS_MIN;
        while self.once().is_continue() {
            let jitter_ms = getrandom::u64().unwrap_or(cap_ms) % (cap_ms / 2);
            let pause = Duration::from_millis(cap_ms / 2 + jitter_ms);
            if is_stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            cap_ms = (cap_ms * 2).min(STORE_RETRY_MS_MAX);
        }
    }

    /// One try. Whoever would hear of it may have gone.
    fn once(&mut self) -> ControlFlow<()> {
        let links = &mut self.links;
        let Err(error) = (links.meet)() else {
            links.answer.0.has_come.store(true, Ordering::Release);
            links.condition.works();
            let _ = self.tell.send(Heard::Answered);
            return ControlFlow::Break(());
        };
        if is_mended_by_waiting(error.kind) {
            (links.report)(Some(&error));
            *links.answer.0.trouble.lock() = error;
            let _ = self.tell.send(Heard::NotYet);
            return ControlFlow::Continue(());
        }
        let _ = self.tell.send(Heard::Refused(error));
        (links.give_up)();
        ControlFlow::Break(())
    }
}

/// True exactly when a database that failed so may be well later, without anybody touching this process: it starts, fails over,
/// or makes room. A wrong password, an unknown name or a schema that is not migrated is an operator's to mend.
const fn is_mended_by_waiting(kind: StoreErrorKind) -> bool {
    use StoreErrorKind as Kind;
    match kind {
        Kind::Unavailable
        | Kind::Unknown
        | Kind::Contended
        | Kind::TimedOut
        | Kind::NotWritable => true,
        Kind::Denied | Kind::Schema | Kind::Poisoned | Kind::Internal => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::time::Mono;

    /// A wait for a database that answers so, try by try, and whether the wait gave up.
    fn wait(
        answers: &[Option<StoreErrorKind>],
    ) -> (anyhow::Result<Wait>, FirstAnswer, Receiver<()>) {
        let answers = answers.to_vec();
        let mut answers = answers.into_iter();
        let answer = FirstAnswer::awaited();
        let condition = Condition::of("app at db".to_owned());
        let (given_up, hears) = unbounded();
        let links = Links {
            meet: Box::new(move || match answers.next().expect("nobody asks after an answer") {
                None => Ok(()),
                Some(kind) => Err(StoreError { kind, detail: "so it is".to_owned() }),
            }),
            answer: answer.clone(),
            report: condition.report(|| Mono(0)),
            condition,
            give_up: Box::new(move || given_up.send(()).expect("the test listens")),
        };
        (Wait::begin(links), answer, hears)
    }

    #[test]
    fn nothing_is_asked_of_a_store_before_its_first_answer() {
        let answer = FirstAnswer::awaited();
        let mut store = answer.before(Box::new(MemoryStore::default()));
        let told = store.ping().unwrap_err();
        assert_eq!(
            (told.kind, told.detail.as_str()),
            (StoreErrorKind::Unavailable, "it has not answered yet")
        );
        assert!(store.commit(&[], Timestamp(0)).is_err());
        assert!(matches!(
            store.read(&Request::Ping, Timestamp(0)),
            Err(crate::store::Failure::Store(_))
        ));
        answer.0.has_come.store(true, Ordering::Release);
        assert_eq!(store.ping(), Ok(()));
        assert_eq!(store.commit(&[], Timestamp(0)), Ok(Vec::new()));
    }

    #[test]
    fn a_database_that_answers_is_there_when_the_start_goes_on() {
        let (wait, answer, _) = wait(&[None]);
        assert_eq!(answer.check(), Ok(()));
        assert_eq!(wait.unwrap().end(), Ok(()));
    }

    #[test]
    fn what_waiting_mends_is_waited_for_and_told_as_it_is() {
        use StoreErrorKind::{NotWritable, TimedOut};
        let (wait, answer, given_up) = wait(&[Some(TimedOut), Some(NotWritable), None]);
        let wait = wait.unwrap();
        assert_ne!(answer.check(), Ok(()));
        while answer.check().is_err_and(|error| [TimedOut, NotWritable].contains(&error.kind)) {
            std::thread::yield_now();
        }
        assert_eq!(answer.check(), Ok(()));
        assert_eq!(wait.end(), Ok(()));
        // Nobody is left to give up.
        assert!(given_up.recv().is_err());
    }

    #[test]
    fn what_no_waiting_mends_stops_the_start_and_later_the_node() {
        use StoreErrorKind::{Denied, Schema, Unavailable};
        let (at_once, ..) = wait(&[Some(Denied)]);
        let error = at_once.err().unwrap().downcast::<StoreError>().unwrap();
        assert_eq!(error.kind, Denied);
        let (later, _, given_up) = wait(&[Some(Unavailable), Some(Schema)]);
        let later = later.unwrap();
        given_up.recv().unwrap();
        assert_eq!(later.end().unwrap_err().kind, Schema);
    }
}
