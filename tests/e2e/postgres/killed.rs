//! Postgres is killed in the middle of the load, postmaster and all, and started again at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use fortifun_fixtures::{Durability, Postgres};

use super::mouth::{Mouth, check_history};
use crate::support::server::UNLIMITED;
use crate::support::{Got, PATIENCE, Server, User, Ws};

const KILLS: usize = 10;
/// How long the server may take to write again, from the moment that Postgres does.
const RECOVERY_MAX: Duration = Duration::from_secs(15);

/// What `ear` hears of what others say: a session of all of a user's conversations, which resumes nothing.
fn listen(mut ear: Ws, user: &User, goes_on: &AtomicBool) -> BTreeSet<(i64, u64)> {
    let mut heard = BTreeSet::new();
    let mut hear = |event: &serde_json::Value| {
        if event["type"] == "new_message" {
            let message = &event["message"];
            let place = message["conversation_id"].as_i64().zip(message["seq"].as_u64());
            heard.insert(place.unwrap());
        }
    };
    while goes_on.load(Relaxed) {
        match ear.got_within(Duration::from_millis(50)) {
            Some(Got::Event(event)) => hear(&event),
            None => {}
            other => panic!("the socket of {} ended: {other:?}", user.name),
        }
    }
    ear.drain().iter().for_each(hear);
    heard
}

#[test]
fn a_postgres_that_is_killed_under_load_loses_nothing_that_was_echoed() {
    let mut postgres = Postgres::start(Durability::Full);
    let database = postgres.database();
    let mut server = Server::on(&database.url(), UNLIMITED);
    let users = server.users(&["alice", "bob", "carol", "dave", "erin", "frank"]);
    let conversations: Vec<_> =
        users.chunks(2).map(|pair| server.matched(&pair[0], &pair[1])).collect();
    let mut mouths: Vec<_> = users
        .iter()
        .enumerate()
        .map(|(nth, user)| Mouth::open(&server, user, conversations[nth / 2]))
        .collect();
    // Open before anybody speaks.
    let ears: Vec<_> = users.iter().map(|user| Ws::plain(&server, user, "/ws/chat/")).collect();
    let (writes, listens) = (AtomicBool::new(true), AtomicBool::new(true));
    let echoes = AtomicUsize::new(0);
    let mut recoveries = Vec::new();
    let start = Instant::now();
    let heard: Vec<_> = thread::scope(|scope| {
        // Whatever fails ends the others.
        let listens = &listens;
        let ears: Vec<_> = ears
            .into_iter()
            .zip(&users)
            .map(|(ear, user)| scope.spawn(move || listen(ear, user, listens)))
            .collect();
        let writers: Vec<_> = mouths
            .iter_mut()
            .map(|mouth| {
                let (writes, echoes) = (&writes, &echoes);
                scope.spawn(move || {
                    mouth.run(
                        || writes.load(Relaxed),
                        || {
                            echoes.fetch_add(1, Relaxed);
                        },
                    );
                })
            })
            .collect();
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for kill in 0..KILLS {
                // At a moment of its own in every round, early and late.
                let up = Instant::now();
                let before = echoes.load(Relaxed);
                let enough = before + 40 + kill * kill * 37 % 300;
                let mut first = None;
                while echoes.load(Relaxed) < enough {
                    if first.is_none() && echoes.load(Relaxed) > before {
                        first = Some(up.elapsed());
                    }
                    assert!(up.elapsed() < PATIENCE, "kill {kill}: no echoes");
                    assert!(!writers.iter().any(thread::ScopedJoinHandle::is_finished));
                    thread::sleep(Duration::from_millis(1));
                }
                recoveries.extend(first.filter(|_| kill > 0));
                postgres.kill();
                postgres.resume();
            }
        }));
        writes.store(false, Relaxed);
        let written: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        listens.store(false, Relaxed);
        let heard = ears.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>();
        assert!(written.iter().all(Result::is_ok) && killed.is_ok(), "see above");
        heard.into_iter().map(Result::unwrap).collect()
    });
    let took = start.elapsed();
    let mut stored = 0;
    for (nth, conversation) in conversations.iter().enumerate() {
        let pair = &mut mouths[nth * 2..nth * 2 + 2];
        let count = check_history(&server, &[&pair[0], &pair[1]]);
        stored += count - 1;
        for (mouth, other) in [(0, 1), (1, 0)] {
            // Its own session, in the conversation, hears everything.
            pair[mouth].expect_all_heard(count as u64);
            // A session aside hears what the other said.
            let heard = &heard[nth * 2 + mouth];
            for (id, echo) in &pair[other].echoed {
                let place = (*conversation, echo["seq"].as_u64().unwrap());
                assert!(
                    heard.contains(&place),
                    "{} did not hear of {id}",
                    users[nth * 2 + mouth].name
                );
            }
        }
    }
    let sum = |of: fn(&Mouth) -> usize| mouths.iter().map(of).sum::<usize>();
    let (echoed, resent) = (sum(|mouth| mouth.echoed.len()), sum(|mouth| mouth.resent));
    let waited = mouths.iter().map(|mouth| mouth.waited).max().unwrap();
    let recovery = recoveries.iter().max().unwrap();
    println!(
        "{KILLS} kills of Postgres: {echoed} echoed, {stored} stored, {resent} sent again; the longest wait for an answer \
         {waited:?}, until something was written again {recovery:?}; {took:?} in all"
    );
    assert_eq!((echoed, stored), (echoes.load(Relaxed), echoed));
    assert!(echoed >= 40 * KILLS && *recovery < RECOVERY_MAX, "{recoveries:?}");
    // The same process all the while.
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
}
