//! Not reachable, not let in, restarted, killed, cut off.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use fortifun_fixtures::{Durability, Postgres};
use fortifun_realtime::config::{PostgresSettings, Secret};
use fortifun_realtime::store::postgres::PostgresStore;
use fortifun_realtime::store::{Lane, Reply, Store as _, StoreErrorKind};

use crate::world::{PATIENCE, World, settings};

#[test]
fn a_server_that_is_not_there_is_unavailable_until_it_comes() {
    let mut server = Postgres::start(Durability::Relaxed);
    let mut world = World::on(&server);
    server.stop();
    // Whoever holds no connection yet says so as well, and at once.
    world.store = PostgresStore::new(&world.settings, Lane::Write);
    let start = Instant::now();
    world.fails("nobody listens", StoreErrorKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(
        PostgresStore::check(&world.settings).unwrap_err().kind,
        StoreErrorKind::Unavailable
    );
    assert_eq!(world.store.ping().unwrap_err().kind, StoreErrorKind::Unavailable);
    server.resume();
    world.works();
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://app@{}/app", silent.local_addr().unwrap());
    let settings = PostgresSettings { connect_timeout_ms: 500, ..settings(&url) };
    let mut store = PostgresStore::new(&settings, Lane::Write);
    let start = Instant::now();
    let error = thread::scope(|scope| {
        let pinged = scope.spawn(|| store.ping());
        while !pinged.is_finished() && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        // Whoever waits still is refused now.
        drop(silent);
        pinged.join().unwrap().unwrap_err()
    });
    let took = start.elapsed();
    println!("{error}, after {took:?}");
    let kinds = [StoreErrorKind::Unavailable, StoreErrorKind::TimedOut];
    assert!(kinds.contains(&error.kind), "{error}");
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_server_that_stops_answering_in_the_middle_is_given_up() {
    let server = Postgres::start(Durability::Relaxed);
    let mut world = World::on(&server);
    world.works();
    server.freeze();
    let start = Instant::now();
    let result = thread::scope(|scope| {
        let said = scope.spawn(|| world.say("to a frozen server"));
        while !said.is_finished() && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        let took = start.elapsed();
        server.thaw();
        assert!(took < PATIENCE, "still waiting after {took:?}");
        println!("given up after {took:?}");
        said.join().unwrap()
    });
    let error = result.unwrap_err();
    println!("{error}");
    assert!(
        [StoreErrorKind::Unknown, StoreErrorKind::Unavailable].contains(&error.kind),
        "{error}"
    );
    world.works();
}

#[test]
fn who_is_not_let_in_is_denied_until_the_password_is_right() {
    let server = Postgres::shared();
    let mut world = World::on(server);
    let role = format!("app_{}", world.database.name());
    let mut admin = world.database.connect();
    admin.batch_execute(&format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'right'")).unwrap();
    let url = world.database.url_as(&role, "wrong");
    world.settings.url = Secret::new(&url);
    world.store = PostgresStore::new(&world.settings, Lane::Write);
    let error = PostgresStore::check(&world.settings).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied, "{error}");
    assert!(!error.detail.contains("wrong") && !error.detail.contains("right"), "{error}");
    world.fails("wrong password", StoreErrorKind::Denied);
    admin.batch_execute(&format!("ALTER ROLE {role} PASSWORD 'wrong'")).unwrap();
    works_when_denied_before(&mut world);
    world.store = PostgresStore::new(&settings(&world.database.url()), Lane::Write);
    admin.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[test]
fn a_database_that_is_not_there_is_denied_until_it_is_made() {
    let server = Postgres::shared();
    let mut world = World::on(server);
    let (there, away) =
        (world.database.name().to_owned(), format!("{}_away", world.database.name()));
    world.store = PostgresStore::new(&world.settings, Lane::Write);
    let mut admin = server.admin();
    admin.batch_execute(&format!("ALTER DATABASE {there} RENAME TO {away}")).unwrap();
    let error = PostgresStore::check(&world.settings).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied, "{error}");
    world.fails("no database", StoreErrorKind::Denied);
    admin.batch_execute(&format!("ALTER DATABASE {away} RENAME TO {there}")).unwrap();
    works_when_denied_before(&mut world);
}

/// A moment later at most, since the store does not try all the time.
fn works_when_denied_before(world: &mut World) {
    let start = Instant::now();
    while let Err(error) = PostgresStore::check(&world.settings) {
        assert!(start.elapsed() < PATIENCE, "{error}");
    }
    world.works();
}

#[test]
fn a_restarted_server_is_found_again() {
    let mut server = Postgres::start(Durability::Relaxed);
    let mut world = World::on(&server);
    world.works();
    server.stop();
    server.resume();
    // Nothing was under way, so nothing may be told to be unknown.
    let idle = world.say("the first after the restart");
    if let Err(error) = idle {
        println!("{error}");
        assert!(
            [StoreErrorKind::Unavailable, StoreErrorKind::Unknown].contains(&error.kind),
            "{error}"
        );
    }
    world.works();
}

#[test]
fn a_killed_server_is_found_again_and_kept_what_was_told() {
    let mut server = Postgres::start(Durability::Full);
    let mut world = World::on(&server);
    for round in 0..3 {
        world.works();
        server.kill();
        world.fails_lost(&format!("killed {round}"));
        world.fails(&format!("gone {round}"), StoreErrorKind::Unavailable);
        server.resume();
        world.works();
    }
}

#[test]
fn a_backend_that_is_terminated_in_the_middle_has_stored_nothing() {
    let server = Postgres::shared();
    let mut world = World::on(server);
    let mut other = world.holding(world.conversations[0]);
    let mut bystander = world.bystander();
    thread::scope(|scope| {
        scope.spawn(|| world.fails_lost("cut off while it waits for a row"));
        bystander.terminate_when_waiting_for("Lock");
    });
    other.batch_execute("ROLLBACK").unwrap();
    world.works();
    assert_eq!(world.times_stored("cut off while it waits for a row"), 0);
}

#[test]
fn a_commit_that_is_cut_off_before_it_is_one_has_stored_nothing() {
    let mut server = Postgres::start(Durability::Full);
    let mut world = World::on(&server);
    // At the end of the transaction, when all statements are done.
    world.run(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON conversations_message
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()",
    );
    world.settings.statement_timeout_ms = 60_000;
    world.store = PostgresStore::new(&world.settings, Lane::Write);
    let mut bystander = world.bystander();
    thread::scope(|scope| {
        scope.spawn(|| world.fails_lost("terminated at the commit"));
        bystander.terminate_when_waiting_for("PgSleep");
    });
    thread::scope(|scope| {
        scope.spawn(|| world.fails_lost("killed at the commit"));
        bystander.wait_until_somebody_waits_for("PgSleep");
        server.kill();
    });
    server.resume();
    world.run("DROP TRIGGER late ON conversations_message");
    world.works();
    for word in ["terminated at the commit", "killed at the commit"] {
        assert_eq!(world.times_stored(word), 0, "{word}");
    }
}

#[test]
fn a_commit_that_is_cut_off_after_it_was_one_is_unknown_and_stored_once() {
    let mut server = Postgres::start(Durability::Full);
    let mut world = World::on(&server);
    world.works();
    // On disk already, and waiting for a standby that never comes, as in a failover.
    let mut bystander = world.bystander();
    for (word, is_killed) in [("terminated", false), ("killed", true)] {
        wait_for_standby(&server, "'nobody'");
        thread::scope(|scope| {
            let said = scope.spawn(|| world.fails(word, StoreErrorKind::Unknown));
            if is_killed {
                bystander.wait_until_somebody_waits_for("SyncRep");
                std::fs::remove_file(server.data().join("postgresql.auto.conf")).unwrap();
                server.kill();
            } else {
                bystander.terminate_when_waiting_for("SyncRep");
            }
            said.join().unwrap();
        });
        if is_killed {
            server.resume();
        } else {
            wait_for_standby(&server, "''");
        }
        assert_eq!(world.times_stored(word), 1, "{word}");
        let (batch, at) = world.last.clone();
        let start = Instant::now();
        let settled = loop {
            match world.store.settle(&batch, at) {
                Ok(settled) => break settled,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
        };
        let [Some(Reply::Appended { message, duplicate: false, .. })] = &settled[..] else {
            panic!("{word}: {settled:?}");
        };
        assert_eq!(message.content, word);
    }
    world.works();
    // Sent again, as a client does that was told nothing, it is the same message.
    for word in ["terminated", "killed"] {
        world.say(word).unwrap();
        assert_eq!(world.times_stored(word), 1, "{word}");
    }
}

/// Has every commit wait for this standby; nobody's for `''`.
fn wait_for_standby(server: &Postgres, name: &str) {
    let mut admin = server.admin();
    admin.batch_execute("SET synchronous_commit = local").unwrap();
    admin.batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = {name}")).unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    let start = Instant::now();
    // New sessions have it as soon as the postmaster has.
    loop {
        let row = server.admin().query_one("SHOW synchronous_standby_names", &[]).unwrap();
        if row.get::<_, &str>(0) == name.trim_matches('\'') {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "the setting does not come");
    }
}
