//! Rows a second of the stores, by the size of their batches: what group commit is worth on this disk.
//!
//! `cargo bench --bench store_batch`; the files lie in the system's temporary folder (`TMPDIR`). Postgres is a private server
//! with `fsync` and `synchronous_commit` on, and is left out where it is not installed.
//!
//! With `--database-url` it commits to a given database instead, and prints how much: `ceiling`.

#[path = "store_batch/ceiling.rs"]
mod ceiling;

use std::hint::black_box;
use std::process::ExitCode;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use fortifun_fixtures::{Durability, Postgres};
use fortifun_realtime::config::Config;
use fortifun_realtime::model::{ConversationId, UserId};
use fortifun_realtime::server;
use fortifun_realtime::store::{Lane, Request, Store};
use fortifun_realtime::time::Timestamp;

const NOW: Timestamp = Timestamp(1_704_067_200_000_000);
/// Conversations that a batch's messages are spread over.
const CONVERSATIONS: i64 = 1_000;
/// Requests in one batch while users and conversations are made.
const SETTLING: usize = 250;

fn main() -> ExitCode {
    if let Some(args) = ceiling::Args::from_command_line() {
        return ceiling::run(&args);
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
    ExitCode::SUCCESS
}

fn sqlite(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite:///{}", folder.path().join("db.sqlite3").display());
    append(criterion, "store_batch/sqlite", &url);
}

fn postgres(criterion: &mut Criterion) {
    if !Postgres::is_installed() {
        eprintln!("store_batch/postgres: left out, Postgres is not installed");
        return;
    }
    let server = Postgres::start(Durability::Full);
    let database = server.database();
    append(criterion, "store_batch/postgres", &database.url());
}

/// Batches of messages to the empty database `url`.
fn append(criterion: &mut Criterion, name: &str, url: &str) {
    let config = config(url);
    server::migrate(&config, &mut |_| {}).expect("migrates");
    let mut store = server::open_store(&config, Lane::Write).expect("opens");
    settle(&mut *store);
    let mut group = criterion.benchmark_group(name);
    let mut count: i64 = 0;
    for size in [1, 4, 16, 64, 256, 1_024] {
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_batched(
                || (0..size).map(|_| next(&mut count)).collect::<Vec<_>>(),
                |batch| black_box(store.commit(&batch, NOW).expect("commits")),
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// The settings of a server on the database `url`.
fn config(url: &str) -> Config {
    let secret = "a secret that signs nothing: no token";
    Config::from_pairs(&[("DATABASE_URL", url), ("SECRET_KEY", secret)]).expect("they are settings")
}

/// Two users to a conversation, each with its first message.
fn settle(store: &mut dyn Store) {
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
    let users: Vec<_> = (0..2 * CONVERSATIONS).map(user).collect();
    let conversations: Vec<_> = (0..CONVERSATIONS).map(open).collect();
    for batch in users.chunks(SETTLING).chain(conversations.chunks(SETTLING)) {
        let outcomes = store.commit(batch, NOW).expect("commits");
        assert!(outcomes.iter().all(Result::is_ok));
    }
}

/// In the next conversation, by one of its users.
fn next(count: &mut i64) -> Request {
    *count += 1;
    let place = *count * 7_919 % CONVERSATIONS;
    let sender = UserId(2 * place + 1 + *count % 2);
    let client_id = format!("01956f3c-7b2e-7000-8000-{count:012}");
    message(ConversationId(place + 1), sender, client_id)
}

/// A text of usual length with a `client_id`, as phones send it.
fn message(conversation: ConversationId, sender: UserId, client_id: String) -> Request {
    Request::Append {
        conversation,
        sender,
        content: "Salut, tu fais quoi ce soir ? On va au cinéma ?".repeat(2),
        attachment: None,
        client_id: Some(client_id),
    }
}

criterion_group!(benches, sqlite, postgres);
