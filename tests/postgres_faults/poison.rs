//! Requests that the database does not take: they fail alone.

use fortifun_fixtures::Postgres;
use fortifun_realtime::server;
use fortifun_realtime::store::postgres::PostgresStore;
use fortifun_realtime::store::{Request, StoreErrorKind};

use crate::world::{World, config, settings};

/// A message with something else in it.
fn odd(message: Request, change: impl FnOnce(&mut String, &mut Option<String>)) -> Request {
    match message {
        Request::Append { conversation, sender, mut content, mut attachment, client_id } => {
            change(&mut content, &mut attachment);
            Request::Append { conversation, sender, content, attachment, client_id }
        }
        other => other,
    }
}

#[test]
fn a_poisoned_request_fails_its_batch_and_then_alone() {
    let mut world = World::on(Postgres::shared());
    world.run("ALTER TABLE conversations_message ADD CHECK (content NOT LIKE '%poison%')");
    let poisons = [
        odd(world.message("a NUL"), |content, _| content.push('\0')),
        odd(world.message("a NUL in the key"), |_, key| *key = Some("a\0b".to_owned())),
        odd(world.message("too wide"), |_, key| *key = Some("k".repeat(1_000))),
        odd(world.message("a constraint"), |content, _| content.push_str("poison")),
    ];
    for (nth, poison) in poisons.into_iter().enumerate() {
        let word = |place: &str| format!("{place} poison {nth}");
        let batch = [
            odd(world.message(&word("before")), |content, _| *content = "a".to_owned()),
            poison,
            odd(world.message(&word("after")), |content, _| *content = "b".to_owned()),
        ];
        let error = world.commit(&batch).unwrap_err();
        println!("{error}");
        assert_eq!(error.kind, StoreErrorKind::Poisoned, "{error}");
        world.holds();
        // As the worker does.
        for (place, request) in batch.iter().enumerate() {
            match world.commit(std::slice::from_ref(request)) {
                Ok(outcomes) => assert!(place != 1 && outcomes[0].is_ok(), "{outcomes:?}"),
                Err(error) => {
                    assert_eq!((place, error.kind), (1, StoreErrorKind::Poisoned), "{error}");
                }
            }
        }
        world.works();
    }
}

#[test]
fn what_a_row_holds_is_not_in_what_is_logged() {
    let mut world = World::on(Postgres::shared());
    world.run("ALTER TABLE conversations_message ADD CHECK (content <> 'a secret')");
    let error = world.fails("a secret", StoreErrorKind::Poisoned);
    assert!(!error.detail.contains("secret"), "{error}");
}

#[test]
fn a_request_that_is_refused_is_no_poison() {
    let mut world = World::on(Postgres::shared());
    let vanished = match world.message("nowhere") {
        Request::Append { sender, content, attachment, client_id, .. } => Request::Append {
            conversation: fortifun_realtime::model::ConversationId(i64::MAX),
            sender,
            content,
            attachment,
            client_id,
        },
        other => other,
    };
    let batch = [world.message("one"), vanished, world.message("two")];
    let outcomes = world.commit(&batch).unwrap();
    let stored: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(stored, [true, false, true]);
    world.works();
}

#[test]
fn a_database_without_its_migrations_is_told_from_one_that_fails() {
    let server = Postgres::shared();
    let database = server.database();
    let settings = settings(&database.url());
    let error = PostgresStore::check(&settings).unwrap_err();
    println!("{error}");
    assert_eq!(error.kind, StoreErrorKind::Schema, "{error}");
    server::migrate(&config(&database.url()), &mut |_| {}).unwrap();
    PostgresStore::check(&settings).unwrap();
    // A later program was here.
    let mut client = database.connect();
    client
        .batch_execute("INSERT INTO fortifun_migration VALUES (9999, 'of tomorrow', now())")
        .unwrap();
    let error = PostgresStore::check(&settings).unwrap_err();
    println!("{error}");
    assert_eq!(error.kind, StoreErrorKind::Schema, "{error}");
    client.batch_execute("DELETE FROM fortifun_migration WHERE id = 9999").unwrap();
    PostgresStore::check(&settings).unwrap();
}

#[test]
fn a_column_that_vanishes_while_serving_is_told_and_survived() {
    let mut world = World::on(Postgres::shared());
    world.works();
    world.run("ALTER TABLE conversations_message RENAME COLUMN client_id TO gone");
    world.fails("no such column", StoreErrorKind::Schema);
    world.run("ALTER TABLE conversations_message RENAME COLUMN gone TO client_id");
    world.works();
}

#[test]
fn every_state_that_a_server_may_tell_has_its_kind() {
    let mut world = World::on(Postgres::shared());
    // By a trigger: what cannot be provoked at will. PostgreSQL manual, appendix A.
    for (state, kind) in [
        ("23514", StoreErrorKind::Poisoned),
        ("22001", StoreErrorKind::Poisoned),
        ("22021", StoreErrorKind::Poisoned),
        ("25006", StoreErrorKind::NotWritable),
        ("40001", StoreErrorKind::Contended),
        ("40P01", StoreErrorKind::Contended),
        ("42P01", StoreErrorKind::Schema),
        ("42501", StoreErrorKind::NotWritable),
        ("53100", StoreErrorKind::NotWritable),
        ("53200", StoreErrorKind::Unavailable),
        ("55P03", StoreErrorKind::Contended),
        ("57014", StoreErrorKind::TimedOut),
        ("58030", StoreErrorKind::Unavailable),
        ("XX000", StoreErrorKind::Internal),
    ] {
        world.before_insert(&format!("RAISE EXCEPTION 'as told' USING ERRCODE = '{state}';"));
        world.fails(state, kind);
        world.mend();
        world.works();
    }
}
