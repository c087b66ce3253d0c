//! Two servers on one database: who is online for both, and what is revoked on both.

use std::time::{Duration, Instant};

use fortifun_fixtures::Postgres;
use serde_json::{Value, json};

use crate::revoke::{expect_refused, expect_revoked, fresh_token};
use crate::support::users::Pair;
use crate::support::{Server, User, Ws, eventually};

/// The shortest that may be set.
const LEASE: Duration = Duration::from_secs(5);
/// Renewals, a look for the dead, and a machine that has other things to do.
const SLACK: Duration = Duration::from_secs(10);

fn two(settings: &[(&str, &str)]) -> (fortifun_fixtures::Database, Server, Server) {
    let database = Postgres::shared().database();
    let one = Server::on(&database.url(), settings);
    let two = Server::on(&database.url(), settings);
    (database, one, two)
}

/// A socket in the conversation that hears who comes and goes; what it is told first is read.
fn watcher(server: &Server, user: &User, conversation: i64) -> Ws {
    let mut ws = Ws::v1(server, user, &format!("/ws/conversations/{conversation}/"));
    ws.hears_presence = true;
    ws
}

/// The next `user_status` of `user`.
fn status_of(ws: &mut Ws, user: &User) -> Value {
    loop {
        let status = ws.expect("user_status");
        if status["user_id"] == user.id {
            return status["is_online"].clone();
        }
    }
}

/// What was said of `user` by now.
fn heard_of(ws: &mut Ws, user: &User) -> Vec<Value> {
    let all = ws.drain().into_iter();
    all.filter(|event| event["user_id"] == user.id).collect()
}

fn is_online(server: &Server, seen_by: &User) -> bool {
    server.json("/api/v1/matching/recent-matches/", &seen_by.token)[0]["is_online"] == true
}

#[test]
fn whoever_is_on_two_servers_leaves_with_the_last_and_a_killed_server_keeps_nobody_online() {
    let (_database, one, mut two) = two(&[("LEASE_S", "5")]);
    let Pair { alice, bob, conversation } = one.pair();
    let mut hears = watcher(&one, &alice, conversation);
    assert_eq!(status_of(&mut hears, &bob), false);
    let here = Ws::v1(&one, &bob, "/ws/chat/");
    assert_eq!(status_of(&mut hears, &bob), true);
    let _there = Ws::v1(&two, &bob, "/ws/chat/");
    let places = format!("SELECT count(*) FROM fortifun_presence WHERE user_id = {}", bob.id);
    eventually("bob is on both", || (one.count(&places) == 2).then_some(()));
    here.close();
    eventually("bob is on one", || (one.count(&places) == 1).then_some(()));
    let heard = heard_of(&mut hears, &bob);
    assert!(heard.is_empty(), "closing one of two tells nothing: {heard:?}");
    assert!(is_online(&one, &alice) && is_online(&two, &alice));
    two.kill();
    let since = Instant::now();
    assert_eq!(status_of(&mut hears, &bob), false);
    let took = since.elapsed();
    assert!(!is_online(&one, &alice));
    println!(
        "a killed server's user is offline for others after {took:?}; a lease lasts {LEASE:?}"
    );
    assert!(took < LEASE + SLACK, "{took:?}");
    // Alice was here all the while.
    let heard = heard_of(&mut hears, &alice);
    assert!(heard.is_empty(), "{heard:?}");
}

#[test]
fn a_server_that_stops_leaves_its_users_to_the_others() {
    let (_database, one, mut two) = two(&[("LEASE_S", "5"), ("DRAIN_S", "0")]);
    let Pair { alice, bob, conversation } = one.pair();
    let mut hears = watcher(&one, &alice, conversation);
    let _there = Ws::v1(&two, &bob, "/ws/chat/");
    eventually("bob is online", || is_online(&one, &alice).then_some(()));
    two.terminate();
    assert_eq!(two.wait().code(), Some(0));
    eventually("bob is offline", || (!is_online(&one, &alice)).then_some(()));
    // It was told, too: the other server's word of bob's coming is not heard here.
    assert_eq!(status_of(&mut hears, &bob), false);
}

#[test]
fn what_is_revoked_is_revoked_on_both() {
    let (_database, one, two) = two(&[]);
    let names: Vec<String> = (0..100).map(|n| format!("user{n}")).collect();
    let users = one.users(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut slowest = Duration::ZERO;
    for user in &users {
        let mut open = [&one, &two].map(|server| Ws::v1(server, user, "/ws/notifications/"));
        one.cli(&["revoke", "--user", &user.id.to_string()]);
        let since = Instant::now();
        open.iter_mut().for_each(expect_revoked);
        slowest = slowest.max(since.elapsed());
        for server in [&one, &two] {
            expect_refused(server, &user.token);
        }
    }
    println!("revoked on two servers, {} times; the slowest took {slowest:?}", users.len());
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let fresh = fresh_token(users[0].id);
    for server in [&one, &two] {
        Ws::v1_token(server, &fresh, "/ws/chat/").expect("hello");
    }
}
