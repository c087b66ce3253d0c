//! A block is felt on every node, within a second.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{CORE, Cluster, PUBSUB};
use crate::support::users::Pair;
use crate::support::{Ws, eventually};

/// How often it is tried.
const TRIES: usize = 100;
/// How long it may take.
const WITHIN: Duration = Duration::from_secs(1);

#[test]
fn a_block_takes_effect_on_the_other_node_within_a_second_by_pubsub() {
    blocks(&Cluster::start(PUBSUB, 2));
}

#[test]
fn a_block_takes_effect_on_the_other_node_within_a_second_by_core() {
    blocks(&Cluster::start(CORE, 2));
}

fn blocks(cluster: &Cluster) {
    let [here, there] = cluster.two();
    let Pair { alice, bob, conversation } = here.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let ask = |what: &str| {
        let path = format!("/api/v1/matching/{what}/");
        let body = json!({ "user_id": bob.id });
        let answer = here.ask("POST", &path, &alice.token, Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let mut slowest = Duration::ZERO;
    for _ in 0..TRIES {
        let mut alices = Ws::v1(there, &alice, &path);
        let mut bobs = Ws::v1(there, &bob, &path);
        let asked = Instant::now();
        ask("block");
        assert_eq!(bobs.closed(), 4403);
        slowest = slowest.max(asked.elapsed());
        // The blocker's own socket stays, and is silenced before the other one goes.
        alices.send(&json!({"type": "message", "content": "still there?"}));
        assert_eq!(alices.until("error")["code"], "forbidden");
        ask("unblock");
        eventually("speaks again", || {
            alices.send(&json!({"type": "message", "content": "again", "ref": "again"}));
            (alices.next()["type"] != "error").then_some(())
        });
        alices.close();
    }
    println!("the slowest of {TRIES} blocks took {slowest:?}");
    assert!(slowest < WITHIN, "{slowest:?}");
}
