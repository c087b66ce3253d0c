//! Sessions come and go, and nothing of them stays on the bus. `fortifun-loadtest churn` does the same with 10,000 a round and
//! looks at memory.

use fortifun_fixtures::Redis;

use crate::cluster::{CORE, Cluster, PUBSUB};
use crate::support::{Ws, eventually};

const SESSIONS: usize = 100;
const ROUNDS: usize = 3;

#[test]
fn connections_to_redis_are_the_same_and_no_group_stays_by_pubsub() {
    churn(PUBSUB, |redis| redis.command(&["PUBSUB", "CHANNELS"]).texts().len());
}

#[test]
fn connections_to_redis_are_the_same_and_no_group_stays_by_core() {
    churn(CORE, |redis| redis.command(&["KEYS", "*:group:*"]).texts().len());
}

fn churn(layer: &'static str, listened: fn(&Redis) -> usize) {
    let cluster = Cluster::start(layer, 1);
    let (node, redis) = (&cluster.nodes[0], &cluster.redis);
    let names: Vec<String> = (0..SESSIONS).map(|n| format!("user-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let users = node.users(&names);
    let (fixed, clients) = (listened(redis), connections(redis));
    assert!(clients > 0);
    for _ in 0..ROUNDS {
        let sessions: Vec<Ws> = users.iter().map(|user| Ws::v1(node, user, "/ws/chat/")).collect();
        eventually("every user's group is listened to", || {
            (listened(redis) >= fixed + SESSIONS).then_some(())
        });
        assert_eq!(connections(redis), clients);
        sessions.into_iter().for_each(Ws::close);
        eventually("no group is listened to any more", || (listened(redis) == fixed).then_some(()));
        assert_eq!(connections(redis), clients);
    }
}

/// Besides the one that asks.
fn connections(redis: &Redis) -> usize {
    let list = redis.command(&["CLIENT", "LIST"]).text();
    list.lines().filter(|line| !line.contains("cmd=client")).count()
}
