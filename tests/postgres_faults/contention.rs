//! Locks that others hold, deadlocks, statements that take too long.

use std::thread;
use std::time::{Duration, Instant};

use fortifun_fixtures::{Durability, Postgres};
use fortifun_realtime::store::{Request, StoreErrorKind};

use crate::world::{STATEMENT_MS, World};

#[test]
fn a_row_that_somebody_holds_is_waited_for_and_then_given_up() {
    let mut world = World::on(Postgres::shared());
    let mut other = world.holding(world.conversations[0]);
    let start = Instant::now();
    world.fails("behind a lock", StoreErrorKind::Contended);
    let waited = start.elapsed();
    // Sooner than the statement would be: others wait behind this one.
    assert!(waited >= Duration::from_millis(STATEMENT_MS / 4), "{waited:?}");
    assert!(waited < Duration::from_millis(STATEMENT_MS * 3 / 4), "{waited:?}");
    other.batch_execute("ROLLBACK").unwrap();
    world.works();
}

#[test]
fn a_row_that_is_let_go_in_time_is_nobodys_trouble() {
    let mut world = World::on(Postgres::shared());
    let mut other = world.holding(world.conversations[0]);
    let mut bystander = world.bystander();
    thread::scope(|scope| {
        let said = scope.spawn(|| world.say("a moment later"));
        bystander.wait_until_somebody_waits_for("Lock");
        other.batch_execute("COMMIT").unwrap();
        said.join().unwrap().unwrap();
    });
    world.works();
}

#[test]
fn a_statement_that_takes_too_long_is_timed_out() {
    let mut world = World::on(Postgres::shared());
    world.before_insert("PERFORM pg_sleep(60);");
    let start = Instant::now();
    world.fails("too slow", StoreErrorKind::TimedOut);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(STATEMENT_MS), "{took:?}");
    assert!(took < Duration::from_millis(STATEMENT_MS * 2), "{took:?}");
    world.mend();
    world.works();
}

#[test]
fn a_deadlock_ends_as_contention() {
    let server = Postgres::start_with(Durability::Relaxed, &["deadlock_timeout=500ms"]);
    let mut world = World::on(&server);
    let [first, second] = world.conversations;
    // The store locks conversations by id. Somebody who does not holds the second and then wants the first; it is the store
    // that looks for deadlocks, when both wait.
    let mut other = world.holding(second);
    let mut bystander = world.bystander();
    let batch = [first, second].map(|conversation| {
        let word = format!("into {}", conversation.0);
        match world.message(&word) {
            Request::Append { sender, content, attachment, client_id, .. } => {
                Request::Append { conversation, sender, content, attachment, client_id }
            }
            other => other,
        }
    });
    let error = thread::scope(|scope| {
        let said = scope.spawn(|| world.commit(&batch).unwrap_err());
        bystander.wait_until_somebody_waits_for("Lock");
        let sql =
            format!("SELECT FROM conversations_conversation WHERE id = {} FOR UPDATE", first.0);
        other.batch_execute(&sql).unwrap();
        other.batch_execute("ROLLBACK").unwrap();
        said.join().unwrap()
    });
    println!("{error}");
    assert_eq!(error.kind, StoreErrorKind::Contended, "{error}");
    assert!(error.detail.contains("40P01"), "{error}");
    world.holds();
    // The worker tries again at once.
    assert!(world.commit(&batch).unwrap().iter().all(Result::is_ok));
    world.works();
}

#[test]
fn what_is_not_serialisable_is_contended() {
    let mut world = World::on(Postgres::shared());
    // By a trigger: at "read committed", which the store asks for, Postgres does not say so by itself.
    world.before_insert("RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';");
    world.fails("not serialisable", StoreErrorKind::Contended);
    world.mend();
    world.works();
}
