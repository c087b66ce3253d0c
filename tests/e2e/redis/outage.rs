//! Redis is away, and everything goes on as far as one node reaches; Redis is back, and nothing was missed.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{CORE, Cluster, PUBSUB, hear, readiness, seq_of};
use crate::support::users::Pair;
use crate::support::{Server, Ws, eventually};

#[test]
fn a_node_that_starts_without_redis_serves_and_comes_to_it_by_itself_by_pubsub() {
    starts_without_redis(PUBSUB);
}

#[test]
fn a_node_that_starts_without_redis_serves_and_comes_to_it_by_itself_by_core() {
    starts_without_redis(CORE);
}

#[test]
fn what_was_said_while_redis_was_away_is_heard_once_and_in_order_by_pubsub() {
    goes_away_and_comes_back(PUBSUB);
}

#[test]
fn what_was_said_while_redis_was_away_is_heard_once_and_in_order_by_core() {
    goes_away_and_comes_back(CORE);
}

#[test]
fn a_redis_that_answers_nobody_is_noticed_and_nobody_waits_for_it_by_pubsub() {
    stands_still(PUBSUB);
}

#[test]
fn a_redis_that_answers_nobody_is_noticed_and_nobody_waits_for_it_by_core() {
    stands_still(CORE);
}

fn starts_without_redis(layer: &'static str) {
    let mut cluster = Cluster::without_nodes(layer);
    cluster.redis.kill();
    for _ in 0..2 {
        cluster.add(&[]);
    }
    let [here, there] = cluster.two();
    for node in [here, there] {
        is_degraded(node);
    }
    let Pair { alice, bob, conversation } = here.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let (mut alices, mut bobs) = (Ws::v1(here, &alice, &path), Ws::v1(here, &bob, &path));
    let mut far = Ws::v1(there, &bob, "/ws/chat/");
    say(&mut alices, "near");
    hear(&mut alices, 2, 2);
    hear(&mut bobs, 2, 2);
    cluster.redis.resume();
    for node in &cluster.nodes {
        is_ready(node);
    }
    say(&mut alices, "far");
    hear(&mut far, 2, 3);
    far.expect_nothing();
}

fn goes_away_and_comes_back(layer: &'static str) {
    let mut cluster = Cluster::start(layer, 2);
    let [here, there] = cluster.two();
    let Pair { alice, bob, conversation } = here.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut alices = [Ws::v1(here, &alice, &path), Ws::v1(here, &alice, "/ws/chat/")];
    let mut bobs = [Ws::v1(there, &bob, &path), Ws::v1(there, &bob, "/ws/chat/")];
    let quiet = &here.users(&["carol", "dave"]);
    // Somebody who hears nothing that would show a gap.
    let silent = here.matched(&quiet[0], &quiet[1]);
    let silent_path = format!("/ws/conversations/{silent}/");
    let mut carols = Ws::v1(here, &quiet[0], &silent_path);
    let mut daves = [Ws::v1(there, &quiet[1], &silent_path), Ws::v1(there, &quiet[1], "/ws/chat/")];
    say(&mut alices[0], "before");
    for ws in alices.iter_mut().chain(&mut bobs) {
        hear(ws, 2, 2);
    }
    cluster.redis.kill();
    for node in &cluster.nodes {
        is_degraded(node);
    }
    // On the own node at once.
    for (n, seq) in (3..=5).enumerate() {
        let sent = Instant::now();
        say(&mut alices[0], &format!("alice {n}"));
        for ws in &mut alices {
            hear(ws, seq, seq);
        }
        assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    }
    say(&mut carols, "unheard");
    hear(&mut carols, 2, 2);
    // What the node itself stored shows that there was more before.
    say(&mut bobs[0], "bob");
    for ws in &mut bobs {
        hear(ws, 3, 6);
    }
    let back = Instant::now();
    cluster.redis.resume();
    for ws in &mut daves {
        hear(ws, 2, 2);
    }
    for ws in &mut alices {
        hear(ws, 6, 6);
    }
    println!("{layer}: all was heard {:?} after Redis was back", back.elapsed());
    for node in &cluster.nodes {
        is_ready(node);
    }
    say(&mut bobs[0], "after");
    for ws in alices.iter_mut().chain(&mut bobs) {
        hear(ws, 7, 7);
    }
    for ws in alices.iter_mut().chain(&mut bobs).chain(&mut daves) {
        ws.expect_nothing();
    }
    let repaired: u64 =
        cluster.nodes.iter().map(|node| node.metric("fortifun_bus_repaired_total")).sum();
    assert!(repaired >= 2, "{repaired}");
}

fn stands_still(layer: &'static str) {
    let cluster = Cluster::start(layer, 2);
    let [here, there] = cluster.two();
    let Pair { alice, bob, conversation } = here.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut alices = Ws::v1(here, &alice, &path);
    let mut bobs = Ws::v1(there, &bob, "/ws/chat/");
    cluster.redis.freeze();
    let sent = Instant::now();
    say(&mut alices, "still");
    hear(&mut alices, 2, 2);
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    for node in &cluster.nodes {
        is_degraded(node);
    }
    println!("{layer}: a Redis that stands still is noticed after {:?}", sent.elapsed());
    cluster.redis.thaw();
    hear(&mut bobs, 2, 2);
    for node in &cluster.nodes {
        is_ready(node);
    }
    bobs.expect_nothing();
}

fn say(ws: &mut Ws, content: &str) {
    ws.send(&json!({"type": "message", "content": content, "client_id": content}));
}

/// Takes traffic, and says what is amiss.
fn is_degraded(node: &Server) {
    eventually("the node says that it is degraded", || {
        let told = readiness(node);
        (told["status"] == "degraded").then(|| {
            let why = told["failing"]["channel_layer"].as_str().unwrap_or_else(|| panic!("{told}"));
            assert!(!why.is_empty(), "{told}");
        })
    });
}

fn is_ready(node: &Server) {
    eventually("the node is ready", || (readiness(node)["status"] == "ok").then_some(()));
}
