//! No room on the disk, no room for connections, nothing may be written, a standby that takes over.

use std::time::Instant;

use fortifun_fixtures::{Durability, Postgres};
use fortifun_realtime::store::postgres::PostgresStore;
use fortifun_realtime::store::{Lane, Request, Store as _, StoreErrorKind};

use crate::world::{PATIENCE, World, settings};

#[test]
fn a_full_disk_is_not_writable_until_there_is_room() {
    let server = Postgres::start(Durability::Relaxed);
    let mut world = World::on(&server);
    let mut reader = PostgresStore::new(&world.settings, Lane::Read);
    let disk = server.small_disk(4);
    if let Some(disk) = &disk {
        println!("a disk of 4 MiB at {}", disk.display());
        // By itself: neither runs within a transaction.
        world.run(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.display()));
        world.run("ALTER TABLE conversations_message SET TABLESPACE small");
    } else {
        println!("nothing may be mounted here: a trigger says that the disk is full");
        world.before_insert("RAISE EXCEPTION 'no space left' USING ERRCODE = '53100';");
    }
    let mut stored = 0;
    let error = loop {
        let batch: Vec<_> = (0..64).map(|nth| long(&world, &format!("{stored}-{nth}"))).collect();
        match world.commit(&batch) {
            Ok(outcomes) => assert!(outcomes.iter().all(Result::is_ok)),
            Err(error) => break error,
        }
        stored += batch.len();
        assert!(stored < 10_000, "it does not fill");
    };
    println!("{stored} stored, then: {error}");
    assert_eq!(error.kind, StoreErrorKind::NotWritable, "{error}");
    // What is there can be read.
    assert!(world.read(&mut reader).unwrap() > 0);
    world.holds();
    if disk.is_some() {
        world.run("ALTER TABLE conversations_message SET TABLESPACE pg_default");
    } else {
        world.mend();
    }
    world.works();
}

/// A message that does not become small when it is compressed.
fn long(world: &World, word: &str) -> Request {
    let mut state = word.bytes().fold(7_u64, |state, byte| state * 31 + u64::from(byte)) | 1;
    let content = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 33) as u8 % 90)
    });
    match world.message(word) {
        Request::Append { conversation, sender, attachment, client_id, .. } => Request::Append {
            conversation,
            sender,
            content: content.take(4_000).collect(),
            attachment,
            client_id,
        },
        other => other,
    }
}

#[test]
fn a_database_that_was_made_read_only_is_not_writable_and_is_read() {
    let server = Postgres::shared();
    let mut world = World::on(server);
    let name = world.database.name().to_owned();
    server
        .admin()
        .batch_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"))
        .unwrap();
    // It holds for new connections.
    world.store = PostgresStore::new(&world.settings, Lane::Write);
    world.fails("read-only", StoreErrorKind::NotWritable);
    let mut reader = PostgresStore::new(&world.settings, Lane::Read);
    assert!(world.read(&mut reader).unwrap() > 0);
    server
        .admin()
        .batch_execute(&format!("ALTER DATABASE {name} RESET default_transaction_read_only"))
        .unwrap();
    world.works();
}

#[test]
fn a_standby_is_not_writable_until_it_is_promoted() {
    let server = Postgres::start(Durability::Relaxed);
    let mut world = World::on(&server);
    world.works();
    let standby = server.standby();
    let primary = format!(":{}/", server.port());
    let url = world.database.url().replace(&primary, &format!(":{}/", standby.port()));
    world.settings = settings(&url);
    world.store = PostgresStore::new(&world.settings, Lane::Write);
    let error = world.say("to a standby").unwrap_err();
    println!("{error}");
    assert_eq!(error.kind, StoreErrorKind::NotWritable, "{error}");
    let mut reader = PostgresStore::new(&world.settings, Lane::Read);
    assert!(world.read(&mut reader).unwrap() > 0);
    standby.admin().batch_execute("SELECT pg_promote()").unwrap();
    let start = Instant::now();
    while let Err(error) = world.say("to the new primary") {
        assert!(start.elapsed() < PATIENCE, "{error}");
    }
    assert!(world.read(&mut reader).unwrap() > 0);
}

#[test]
fn a_server_without_room_for_connections_is_unavailable_until_there_is() {
    let settings = ["max_connections=8", "superuser_reserved_connections=0", "max_wal_senders=0"];
    let server = Postgres::start_with(Durability::Relaxed, &settings);
    let mut world = World::on(&server);
    world.store = PostgresStore::new(&world.settings, Lane::Write);
    let mut others = Vec::new();
    while let Ok(client) = postgres::Client::connect(&world.database.url(), postgres::NoTls) {
        others.push(client);
    }
    let error = world.fails("one too many", StoreErrorKind::Unavailable);
    println!("{} others are connected: {error}", others.len());
    drop(others);
    world.works();
}

#[test]
fn a_reader_writes_nothing() {
    let world = World::on(Postgres::shared());
    let mut reader = PostgresStore::new(&world.settings, Lane::Read);
    assert!(world.read(&mut reader).unwrap() > 0);
    let error = reader.commit(&[world.message("by a reader")], crate::world::now()).unwrap_err();
    println!("{error}");
    assert_eq!(error.kind, StoreErrorKind::NotWritable, "{error}");
    assert_eq!(world.times_stored("by a reader"), 0);
}
