//! Who is there, where nodes come and go.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, PUBSUB};
use crate::support::{Got, Server, User, Ws, eventually};

/// The shortest lease, so that the test is short; with the default a node that died is noticed later, within a minute.
const LEASE_S: u64 = 5;

#[test]
fn users_of_a_node_that_was_killed_are_offline_when_its_lease_ends_and_others_never() {
    let lease = LEASE_S.to_string();
    let mut cluster = Cluster::start_with(PUBSUB, 3, &[("LEASE_S", &lease)]);
    let users = cluster.nodes[0].users(&["alice", "bob", "carol"]);
    let (alice, bob, carol) = (&users[0], &users[1], &users[2]);
    cluster.nodes[0].matched(alice, bob);
    cluster.nodes[0].matched(alice, carol);
    let mut watcher = watch(&cluster.nodes[0], alice, &[bob, carol]);
    let doomed = &cluster.nodes[1];
    let _bobs = Ws::v1(doomed, bob, "/ws/chat/");
    let _carols = Ws::v1(doomed, carol, "/ws/chat/");
    let mut carols_other = Ws::v1(&cluster.nodes[2], carol, "/ws/chat/");
    is_shown(&cluster.nodes[0], alice, bob, true);
    is_shown(&cluster.nodes[0], alice, carol, true);
    watcher.drain();
    cluster.nodes[1].kill();
    let killed = Instant::now();
    assert_eq!(gone(&mut watcher), bob.id);
    let took = killed.elapsed();
    println!("a killed node's user was offline after {took:?}, with a lease of {LEASE_S} s");
    assert!(took < Duration::from_secs(2 * LEASE_S + 2), "{took:?}");
    is_shown(&cluster.nodes[2], alice, bob, false);
    // Who has another device elsewhere is there.
    is_shown(&cluster.nodes[0], alice, carol, true);
    carols_other.drain();
    let more = watcher.drain();
    assert!(more.iter().all(|event| event["is_online"] != false), "{more:?}");
}

#[test]
fn a_user_with_devices_on_two_nodes_is_online_until_the_last_one_goes() {
    let cluster = Cluster::start(PUBSUB, 2);
    let [here, there] = cluster.two();
    let users = here.users(&["alice", "bob"]);
    let (alice, bob) = (&users[0], &users[1]);
    here.matched(alice, bob);
    let first = Ws::v1(here, bob, "/ws/chat/");
    let second = Ws::v1(there, bob, "/ws/chat/");
    is_shown(here, alice, bob, true);
    let mut watchers = [watch(here, alice, &[bob]), watch(there, alice, &[bob])];
    second.close();
    // Longer than the grace after which a user without another device is offline.
    let end = Instant::now() + Duration::from_secs(18);
    let third = loop {
        for ws in &mut watchers {
            if let Some(Got::Event(event)) = ws.got_within(Duration::from_millis(100)) {
                let is_of_bob = event["type"] == "user_status" && event["user_id"] == bob.id;
                assert!(!is_of_bob || event["is_online"] == true, "{event}");
            }
        }
        if Instant::now() > end {
            break Ws::v1(there, bob, "/ws/notifications/");
        }
    };
    is_shown(there, alice, bob, true);
    third.close();
    first.close();
    let closed = Instant::now();
    for ws in &mut watchers {
        assert_eq!(gone(ws), bob.id);
    }
    let took = closed.elapsed();
    assert!((14.0..25.0).contains(&took.as_secs_f32()), "{took:?}");
    is_shown(here, alice, bob, false);
}

/// A chat socket that watches these users; how they stand now is read already.
fn watch(node: &Server, user: &User, watched: &[&User]) -> Ws {
    let mut ws = Ws::v1(node, user, "/ws/chat/");
    ws.hears_presence = true;
    let ids: Vec<i64> = watched.iter().map(|user| user.id).collect();
    ws.send(&json!({"type": "subscribe", "subscription_type": "user_status", "user_ids": ids}));
    ws.until("subscribed");
    for _ in watched {
        ws.until("user_status");
    }
    ws.drain();
    ws
}

/// Who is the next to be offline. That somebody is there may be told at any time, of those who came before.
fn gone(ws: &mut Ws) -> i64 {
    loop {
        let told = ws.until("user_status");
        if told["is_online"] == false {
            return told["user_id"].as_i64().unwrap();
        }
    }
}

/// Waits until `asker` is told over REST that `user` is there, or not.
fn is_shown(node: &Server, asker: &User, user: &User, is_online: bool) {
    eventually("the list shows it", || {
        let Value::Array(matches) = node.json("/api/v1/matching/recent-matches/", &asker.token)
        else {
            panic!("no list");
        };
        let shown = matches.iter().find(|other| other["id"] == user.id).expect("a match");
        (shown["is_online"] == is_online).then_some(())
    });
}
