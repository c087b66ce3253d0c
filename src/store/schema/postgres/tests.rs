//! Migrations on databases of their own: empty ones, Django's, and wrong ones.

mod activity;
mod adoption;
mod numbering;

use std::fmt::Write as _;
use std::thread;

use fortifun_fixtures::dump::catalog;
use fortifun_fixtures::{Database, Durability, Postgres, django};

use super::*;
use crate::store::StoreErrorKind;

const NOW: Timestamp = Timestamp(1_704_067_200_000_000);

fn quiet(_: Progress) {}

fn empty() -> (Database, Client) {
    let database = Postgres::shared().database();
    let client = database.connect();
    (database, client)
}

fn djangos() -> (Database, Client) {
    let (database, mut client) = empty();
    client.batch_execute(django::SCHEMA).unwrap();
    (database, client)
}

/// Migrated, and then Django's again.
fn migrated(mut client: Client) -> Client {
    migrate(&mut client, NOW, &mut quiet).unwrap();
    client.batch_execute("RESET ALL").unwrap();
    client
}

#[test]
fn migrations_are_numbered_from_1_without_holes() {
    for (migration, id) in POSTGRES.iter().zip(1..) {
        assert_eq!(migration.id, id);
    }
}

/// What a server that starts finds.
fn checked(client: &mut Client) -> Result<(), StoreError> {
    current(&inspect(client)?)
}

#[test]
fn an_empty_database_is_made_and_a_second_migration_finds_nothing_to_do() {
    let (_database, mut client) = empty();
    assert_eq!(inspect(&mut client).unwrap().len(), POSTGRES.len());
    assert_eq!(checked(&mut client).unwrap_err().kind, StoreErrorKind::Schema);
    assert_eq!(catalog(&mut client), [""; 0], "looking makes nothing");
    let mut heard = Vec::new();
    let applied = migrate(&mut client, NOW, &mut |told| heard.push(told)).unwrap();
    assert_eq!(applied.len(), POSTGRES.len());
    heard.retain(|told| matches!(told, Progress::Applying(_)));
    assert_eq!(heard, applied.into_iter().map(Progress::Applying).collect::<Vec<_>>());
    let made = catalog(&mut client);
    assert_eq!(migrate(&mut client, NOW, &mut quiet), Ok(Vec::new()));
    assert_eq!(catalog(&mut client), made);
    checked(&mut client).unwrap();
    assert_eq!(plan(&mut client), Ok(Vec::new()));
}

#[test]
fn the_tables_of_an_empty_database_are_those_that_django_makes() {
    let (_one, mut ours) = empty();
    adopt::tables(&mut ours, &mut quiet).unwrap();
    let (_other, mut theirs) = djangos();
    let (ours, theirs) = (catalog(&mut ours), catalog(&mut theirs));
    let mut told = String::new();
    for line in ours.iter().filter(|line| !theirs.contains(line)) {
        writeln!(told, "ours alone:   {line}").unwrap();
    }
    for line in theirs.iter().filter(|line| !ours.contains(line)) {
        writeln!(told, "Django alone: {line}").unwrap();
    }
    assert!(told.is_empty(), "\n{told}");
    assert!(ours.len() > 150, "the catalog was read: {}", ours.len());
}

#[test]
fn a_database_that_began_here_and_one_that_django_made_end_alike() {
    let (_one, ours) = empty();
    let (_other, theirs) = djangos();
    assert_eq!(catalog(&mut migrated(ours)), catalog(&mut migrated(theirs)));
}

#[test]
fn of_many_migrators_at_once_one_applies_each_migration() {
    let (database, _client) = djangos();
    let database = &database;
    let applied: usize = thread::scope(|scope| {
        let migrators: Vec<_> = (0..4)
            .map(|_| {
                scope
                    .spawn(move || migrate(&mut database.connect(), NOW, &mut quiet).unwrap().len())
            })
            .collect();
        migrators.into_iter().map(|migrator| migrator.join().unwrap()).sum()
    });
    assert_eq!(applied, POSTGRES.len());
}

#[test]
fn an_index_that_a_killed_run_left_invalid_is_made_again() {
    let (_database, mut client) = empty();
    migrate(&mut client, NOW, &mut quiet).unwrap();
    let before = catalog(&mut client);
    client
        .batch_execute(
            "DELETE FROM fortifun_migration WHERE id >= 6;
             UPDATE pg_index SET indisvalid = false
             WHERE indexrelid = 'conversations_message_seq'::regclass;
             DROP INDEX matching_match_user2",
        )
        .unwrap();
    let planned = plan(&mut client).unwrap();
    assert_eq!(planned[0].found, "conversations_message_seq, matching_match_user2");
    let mut made = Vec::new();
    let mut hear = |told| {
        if let Progress::Indexing(name) = told {
            made.push(name);
        }
    };
    migrate(&mut client, NOW, &mut hear).unwrap();
    assert_eq!(made, ["conversations_message_seq", "matching_match_user2"]);
    assert_eq!(catalog(&mut client), before);
    let is_valid: bool =
        client.query_one("SELECT bool_and(indisvalid) FROM pg_index", &[]).unwrap().get(0);
    assert!(is_valid);
}

#[test]
fn a_table_in_use_is_not_queued_for() {
    let (database, mut client) = djangos();
    let mut other = database.connect();
    // Where it were queued for, this ends by itself.
    other.batch_execute("SET idle_in_transaction_session_timeout = '20s'").unwrap();
    let mut open = other.transaction().unwrap();
    open.batch_execute("SELECT * FROM conversations_conversation").unwrap();
    let mut open = Some(open);
    let mut third = database.connect();
    third.batch_execute("SET statement_timeout = '10s'").unwrap();
    let mut hear = |told| {
        if told == Progress::Busy {
            // The migration stands in nobody's way while it waits.
            third.batch_execute("SELECT * FROM conversations_conversation").unwrap();
            open.take().unwrap().rollback().unwrap();
        }
    };
    assert_eq!(migrate(&mut client, NOW, &mut hear).unwrap().len(), POSTGRES.len());
    assert!(open.is_none(), "it was busy");
}

#[test]
fn an_autovacuum_is_outlasted() {
    let slow = Postgres::start_with(
        Durability::Relaxed,
        &[
            "autovacuum_naptime=1s",
            "autovacuum_vacuum_cost_delay=100ms",
            "autovacuum_vacuum_cost_limit=1",
            "autovacuum_vacuum_threshold=1",
            "autovacuum_vacuum_insert_threshold=1",
        ],
    );
    let database = slow.database();
    let mut client = database.connect();
    client.batch_execute(django::SCHEMA).unwrap();
    django::history(&mut client, 20, 200, 100);
    let vacuumed = "SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum
                                   WHERE relid = 'conversations_message'::regclass)";
    while !client.query_one(vacuumed, &[]).unwrap().get::<_, bool>(0) {
        client.batch_execute("SELECT pg_sleep(0.05)").unwrap();
    }
    migrate(&mut client, NOW, &mut quiet).unwrap();
    assert_eq!(django::wrong(&mut client), [""; 0]);
}

#[test]
fn who_waits_for_another_migrator_says_so_and_finds_nothing_left() {
    let (database, mut client) = djangos();
    let mut first = database.connect();
    session::prepare(&mut first).unwrap();
    session::lock(&mut first, &mut quiet).unwrap();
    let mut heard = Vec::new();
    let mut hear = |told| {
        heard.push(told);
        if told == Progress::Waiting {
            apply_all(&mut first, NOW, &mut quiet).unwrap();
            session::unlock(&mut first);
        }
    };
    assert_eq!(migrate(&mut client, NOW, &mut hear), Ok(Vec::new()));
    assert_eq!(heard, [Progress::Waiting]);
}

#[test]
fn a_newer_database_is_refused_by_both_numbers() {
    let (_database, client) = empty();
    let mut client = migrated(client);
    client.batch_execute("INSERT INTO fortifun_migration VALUES (900, 'later', now())").unwrap();
    for refusal in [migrate(&mut client, NOW, &mut quiet).map(drop), checked(&mut client)] {
        let error = refusal.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Schema);
        assert!(error.detail.contains("900"), "{error}");
    }
}

#[test]
fn a_server_says_how_it_is() {
    let (_database, mut client) = empty();
    let health = health(&mut client).unwrap();
    assert!(health.version >= VERSION_MIN && !health.fsync && !health.is_standby);
    assert_eq!(health.synchronous_commit, "on");
    assert!(health.connections_max > 0 && health.clock > NOW);
}
