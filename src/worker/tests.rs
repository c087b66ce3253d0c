//! A worker between a scripted store and a log of what it says.

mod settle;

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::channel::Payload;
use crate::ids::{ConnKey, ConversationId, ShardId};
use crate::metrics::Registry;
use crate::model::{Control, Group};
use crate::store::memory::MemoryStore;
use crate::time::Mono;

/// What happens, in its order.
type Log = Arc<Mutex<Vec<String>>>;

fn say(log: &Log, what: impl Into<String>) {
    log.lock().unwrap().push(what.into());
}

/// What becomes of one commit.
#[derive(Clone, Copy)]
enum Fate {
    Works,
    Fails(StoreErrorKind),
    /// It happens, and nobody is told.
    IsLost,
}

/// What the store will do.
#[derive(Default)]
struct Plan {
    /// What becomes of the next commits; the others work.
    commits: VecDeque<Fate>,
    /// Why it cannot say what it stored, the next times that it is asked.
    settles: VecDeque<StoreErrorKind>,
    /// Of the commits there were.
    times: Vec<Timestamp>,
}

/// The memory store, which fails by a plan.
struct Script {
    inner: MemoryStore,
    plan: Arc<Mutex<Plan>>,
    log: Log,
}

impl Store for Script {
    fn commit(&mut self, batch: &[Request], now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        let fate = {
            let mut plan = self.plan.lock().unwrap();
            plan.times.push(now);
            plan.commits.pop_front().unwrap_or(Fate::Works)
        };
        let kind = match fate {
            Fate::Fails(StoreErrorKind::Internal) => panic!("the store panics"),
            Fate::Works => {
                say(&self.log, format!("commit {}", batch.len()));
                return self.inner.commit(batch, now);
            }
            Fate::Fails(kind) => kind,
            Fate::IsLost => {
                self.inner.commit(batch, now)?;
                StoreErrorKind::Unknown
            }
        };
        say(&self.log, format!("commit {} {kind}", batch.len()));
        Err(StoreError { kind, detail: String::new() })
    }

    fn settle(
        &mut self,
        batch: &[Request],
        at: Timestamp,
    ) -> Result<Vec<Option<Reply>>, StoreError> {
        let fails = self.plan.lock().unwrap().settles.pop_front();
        if let Some(kind) = fails {
            say(&self.log, format!("settle {} {kind}", batch.len()));
            return Err(StoreError { kind, detail: String::new() });
        }
        say(&self.log, format!("settle {}", batch.len()));
        self.inner.settle(batch, at)
    }

    fn read(&mut self, request: &Request, now: Timestamp) -> Outcome {
        self.inner.read(request, now)
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Layer(Log);

impl ChannelLayer for Layer {
    fn publish(&self, delivery: crate::channel::Delivery, patient: bool) {
        assert!(patient && delivery.committed_at.is_some());
        let Group::Conversation(_) = delivery.group else { return };
        match delivery.payload {
            Payload::Frame { place: Some((_, seq)), .. } => {
                say(&self.0, format!("publish {} {}", delivery.group, seq.0));
            }
            Payload::Control(Control::Disband { code }) => {
                say(&self.0, format!("close {} {code}", delivery.group));
            }
            payload => panic!("{payload:?}"),
        }
    }

    fn join(&self, _: Group, _: ShardId) {}

    fn leave(&self, _: Group, _: ShardId) {}

    fn trouble(&self) -> Option<String> {
        None
    }
}

fn user(username: &str) -> Request {
    let username = username.to_owned();
    Request::AddUser { username, first_name: String::new(), last_name: String::new() }
}

fn append(content: &str) -> Request {
    Request::Append {
        conversation: ConversationId(1),
        sender: UserId(1),
        content: content.to_owned(),
        attachment: None,
        client_id: None,
    }
}

/// A worker, its queue and its store, in which users 1 and 2 have a conversation with one message.
struct Desk {
    worker: Worker,
    queues: Queues,
    queue: Receiver<Job>,
    log: Log,
    plan: Arc<Mutex<Plan>>,
    metrics: Registry,
    asked: u32,
}

impl Desk {
    fn new(commits: &[Fate], settles: &[StoreErrorKind]) -> Self {
        let mut inner = MemoryStore::new();
        let open = Request::Open {
            creator: UserId(1),
            participant: UserId(2),
            content: "hello".to_owned(),
            client_id: None,
        };
        inner.commit(&[user("a"), user("b"), open], Timestamp(0)).unwrap();
        let log = Log::default();
        let plan = Plan {
            commits: commits.iter().copied().collect(),
            settles: settles.iter().copied().collect(),
            times: Vec::new(),
        };
        let plan = Arc::new(Mutex::new(plan));
        let store = Script { inner, plan: Arc::clone(&plan), log: Arc::clone(&log) };
        let metrics = Registry::new();
        let batch = BatchLimits { requests: 100, age_ms: 0 };
        let worker = Worker::new(Box::new(store), batch, around(&log, metrics.block()));
        let (queues, mut workload) = queues(1);
        let queue = workload.write.remove(0);
        Self { worker, queues, queue, log, plan, metrics, asked: 0 }
    }

    fn ask(&mut self, request: Request) {
        let key = ConnKey { index: self.asked, generation: 0 };
        self.asked += 1;
        let from = Some(ConnRef { shard: ShardId(0), key });
        self.queues.submit(Job { request, from, ticket: Ticket::Nobody }).unwrap();
    }

    /// True exactly when there was something to do.
    fn step(&mut self) -> bool {
        self.worker.step(&self.queue, Lane::Write, 100)
    }

    /// Commits `requests` in one batch; tells what happened.
    fn commit(&mut self, requests: &[Request]) -> Vec<String> {
        for request in requests {
            self.ask(request.clone());
        }
        assert!(self.step());
        self.happened()
    }

    /// What happened since the last look.
    fn happened(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

fn around(log: &Log, metrics: Arc<Block>) -> Surroundings {
    let (answers, pauses, reports) = (Arc::clone(log), Arc::clone(log), Arc::clone(log));
    Surroundings {
        channel: Arc::new(Layer(Arc::clone(log))),
        encoder: Encoder::new("/media/"),
        answer: Box::new(move |answered| {
            let outcome = match &answered.outcome {
                Ok(_) => "done".to_owned(),
                Err(Failure::Refused(refused)) => format!("{refused:?}"),
                Err(Failure::Store(error)) => error.kind.name().to_owned(),
            };
            let echo = if answered.echo.is_some() { " with echo" } else { "" };
            say(&answers, format!("answer {} {outcome}{echo}", answered.to.key.index));
        }),
        ring: Box::new(|| {}),
        report: Box::new(move |error| {
            if let Some(error) = error {
                say(&reports, format!("report {}", error.kind));
            }
        }),
        clock: Box::new(|| Now { mono: Mono(0), wall: Timestamp(0) }),
        pause: Box::new(move |ms| say(&pauses, format!("pause {ms}"))),
        metrics,
    }
}

/// Commits `requests` in one batch with a store that fails like this; tells what happened.
fn commits(requests: &[Request], fails: &[StoreErrorKind]) -> Vec<String> {
    let fates: Vec<_> = fails.iter().map(|kind| Fate::Fails(*kind)).collect();
    let mut desk = Desk::new(&fates, &[]);
    let happened = desk.commit(requests);
    assert!(!desk.step(), "the queue is empty");
    happened
}

#[test]
fn a_batch_is_one_commit_and_each_answer_follows_its_own_event() {
    let happened = commits(&[append("one"), user("a"), append("two")], &[]);
    assert_eq!(
        happened,
        [
            "commit 3",
            "publish chat_1 2",
            "answer 0 done with echo",
            "answer 1 NameTaken",
            "publish chat_1 3",
            "answer 2 done with echo",
        ]
    );
}

#[test]
fn a_commit_that_others_are_in_the_way_of_is_tried_again_a_few_times() {
    let busy = StoreErrorKind::Contended;
    let happened = commits(&[append("one")], &[busy, busy]);
    assert_eq!(
        happened,
        [
            "commit 1 contended",
            "pause 2",
            "commit 1 contended",
            "pause 4",
            "commit 1",
            "publish chat_1 2",
            "answer 0 done with echo",
        ]
    );
    let tries = COMMIT_TRIES_MAX as usize;
    let happened = commits(&[append("one")], &vec![busy; tries]);
    assert_eq!(happened.iter().filter(|what| what.starts_with("commit")).count(), tries);
    assert_eq!(happened[happened.len() - 2..], ["report contended", "answer 0 contended"]);
}

#[test]
fn a_poisoned_batch_is_carried_out_one_by_one_and_the_poison_fails_alone() {
    let poison = StoreErrorKind::Poisoned;
    let mut wide = append("two");
    if let Request::Append { attachment, .. } = &mut wide {
        *attachment = Some("x".repeat(101));
    }
    let happened = commits(&[append("one"), wide, append("three")], &[poison]);
    let answers: Vec<_> = happened.iter().filter(|what| what.starts_with("answer")).collect();
    assert_eq!(
        answers,
        ["answer 0 done with echo", "answer 1 poisoned", "answer 2 done with echo"]
    );
    let happened = commits(&[append("one")], &[poison]);
    assert_eq!(happened.last().unwrap(), "answer 0 poisoned", "one alone is not tried again");
}

#[test]
fn what_was_not_stored_is_not_tried_again_and_not_published() {
    for kind in [
        StoreErrorKind::Unavailable,
        StoreErrorKind::TimedOut,
        StoreErrorKind::NotWritable,
        StoreErrorKind::Schema,
    ] {
        let name = kind.name();
        let happened = commits(&[append("one"), append("two")], &[kind]);
        let expected = [
            format!("commit 2 {name}"),
            format!("report {name}"),
            format!("answer 0 {name}"),
            format!("answer 1 {name}"),
        ];
        assert_eq!(happened, expected);
    }
}

#[test]
fn a_panic_of_the_store_ends_one_batch_and_is_answered() {
    let happened = commits(&[append("one")], &[StoreErrorKind::Internal]);
    assert_eq!(happened, ["report internal", "answer 0 internal"]);
}

#[test]
fn no_two_batches_have_one_time_and_a_batch_that_is_tried_again_keeps_its_own() {
    let mut desk = Desk::new(&[Fate::Works, Fate::Fails(StoreErrorKind::Contended)], &[]);
    for _ in 0..3 {
        desk.commit(&[append("one")]);
    }
    // The clock stands still.
    assert_eq!(desk.plan.lock().unwrap().times, [0, 1, 1, 2].map(Timestamp));
}
