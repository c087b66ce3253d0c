//! A worker between a scripted store and a log of what it says.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::ids::{ConnKey, ConversationId, ShardId};
use crate::metrics::Registry;
use crate::model::Group;
use crate::store::memory::MemoryStore;
use crate::time::Mono;

/// What happens, in its order.
type Log = Arc<Mutex<Vec<String>>>;

fn say(log: &Log, what: impl Into<String>) {
    log.lock().unwrap().push(what.into());
}

/// The memory store, which fails as it is told before it works.
struct Script {
    inner: MemoryStore,
    fails: VecDeque<StoreErrorKind>,
    log: Log,
}

impl Store for Script {
    fn commit(&mut self, batch: &[Request], now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        match self.fails.pop_front() {
            Some(StoreErrorKind::Internal) => panic!("the store panics"),
            Some(kind) => {
                say(&self.log, format!("commit {} {kind}", batch.len()));
                Err(StoreError { kind, detail: String::new() })
            }
            None => {
                say(&self.log, format!("commit {}", batch.len()));
                self.inner.commit(batch, now)
            }
        }
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
        if let Group::Conversation(_) = delivery.group {
            say(&self.0, format!("publish {}", delivery.group));
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

/// Commits `requests` in one batch with a store that fails like this; tells what happened.
fn commits(requests: &[Request], fails: &[StoreErrorKind]) -> Vec<String> {
    let mut inner = MemoryStore::new();
    let open = Request::Open {
        creator: UserId(1),
        participant: UserId(2),
        content: "hello".to_owned(),
        client_id: None,
    };
    inner.commit(&[user("a"), user("b"), open], Timestamp(0)).unwrap();
    let log = Log::default();
    let store = Script { inner, fails: fails.iter().copied().collect(), log: Arc::clone(&log) };
    let (answers, pauses, reports) = (Arc::clone(&log), Arc::clone(&log), Arc::clone(&log));
    let around = Surroundings {
        channel: Arc::new(Layer(Arc::clone(&log))),
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
        report: Box::new(move |error| {
            if let Some(error) = error {
                say(&reports, format!("report {}", error.kind));
            }
        }),
        clock: Box::new(|| Now { mono: Mono(0), wall: Timestamp(0) }),
        pause: Box::new(move |ms| say(&pauses, format!("pause {ms}"))),
        metrics: Registry::new().block(),
    };
    let batch = BatchLimits { requests: 100, age_ms: 0 };
    let mut worker = Worker::new(Box::new(store), batch, around);
    let (queues, workload) = queues(1);
    for (index, request) in (0..).zip(requests) {
        let key = ConnKey { index, generation: 0 };
        let from = Some(ConnRef { shard: ShardId(0), key });
        let job = Job { request: request.clone(), from, ticket: Ticket::Nobody };
        queues.submit(job).unwrap();
    }
    assert!(worker.step(&workload.write[0], Lane::Write, 100));
    assert!(!worker.step(&workload.write[0], Lane::Write, 100), "the queue is empty");
    let log = log.lock().unwrap();
    log.clone()
}

#[test]
fn a_batch_is_one_commit_and_each_answer_follows_its_own_event() {
    let happened = commits(&[append("one"), user("a"), append("two")], &[]);
    assert_eq!(
        happened,
        [
            "commit 3",
            "publish chat_1",
            "answer 0 done with echo",
            "answer 1 NameTaken",
            "publish chat_1",
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
            "publish chat_1",
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
fn what_may_have_been_stored_is_not_tried_again_and_not_published() {
    for kind in [
        StoreErrorKind::Unknown,
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
