//! Rows a second of the SQLite store, by the size of its batches: what group commit is worth on this disk.
//!
//! `cargo bench --bench store_batch`; the file lies in the system's temporary folder (`TMPDIR`).

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fortifun_realtime::model::{ConversationId, UserId};
use fortifun_realtime::store::sqlite::SqliteStore;
use fortifun_realtime::store::{Lane, Request, Store, schema};
use fortifun_realtime::time::Timestamp;

const NOW: Timestamp = Timestamp(1_704_067_200_000_000);
/// Conversations that a batch's messages are spread over.
const CONVERSATIONS: i64 = 1_000;

fn append(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("db.sqlite3");
    schema::migrate(&path, NOW, &mut |_| ()).expect("migrates");
    let mut store = SqliteStore::open(&path, Lane::Write).expect("opens");
    settle(&mut store);

    let mut group = criterion.benchmark_group("store_batch/append");
    let mut count: i64 = 0;
    for size in [1, 4, 16, 64, 256, 1_024] {
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_batched(
                || (0..size).map(|_| message(&mut count)).collect::<Vec<_>>(),
                |batch| black_box(store.commit(&batch, NOW).expect("commits")),
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Two users to a conversation, each with its first message.
fn settle(store: &mut SqliteStore) {
    let user = |n| Request::AddUser {
        username: format!("user{n}"),
        first_name: String::new(),
        last_name: String::new(),
    };
    let open = |n| Request::Open {
        creator: UserId(2 * n + 1),
        participant: UserId(2 * n + 2),
        content: "first".to_owned(),
        client_id: None,
    };
    let mut batch: Vec<_> = (0..2 * CONVERSATIONS).map(user).collect();
    batch.extend((0..CONVERSATIONS).map(open));
    let outcomes = store.commit(&batch, NOW).expect("commits");
    assert!(outcomes.iter().all(Result::is_ok));
}

/// A text of usual length with a `client_id`, as phones send it, in the next conversation.
fn message(count: &mut i64) -> Request {
    *count += 1;
    let place = *count * 7_919 % CONVERSATIONS;
    Request::Append {
        conversation: ConversationId(place + 1),
        sender: UserId(2 * place + 1 + *count % 2),
        content: "Salut, tu fais quoi ce soir ? On va au cinéma ?".repeat(2),
        attachment: None,
        client_id: Some(format!("01956f3c-7b2e-7000-8000-{count:012}")),
    }
}

criterion_group!(benches, append);
criterion_main!(benches);
