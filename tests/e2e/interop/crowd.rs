//! Many events at once, to sockets of ours and to consumers of Django's in the same group.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::world::{CORE, Ear, Layer, PUBSUB, World};

/// Processes that publish at once.
const SENDERS: usize = 4;
/// Events of each.
const EVENTS: usize = 2_000;
/// Sockets of ours, half on each server; and consumers of Django's.
const SOCKETS: usize = 50;
const ALL: usize = SENDERS * EVENTS * SOCKETS;
/// For how long Django's consumers must have handled nothing before they are taken to be done.
const QUIET_S: f64 = 2.0;

#[test]
fn no_socket_misses_an_event_of_a_crowd_by_redis_pubsub() {
    // Nothing there is ever dropped, however far its consumers are behind: they are not waited for.
    crowd(PUBSUB, Duration::ZERO);
}

#[test]
fn no_socket_misses_an_event_of_a_crowd_by_redis_core() {
    crowd(CORE, Duration::from_secs(15));
}

fn crowd(layer: Layer, patience: Duration) {
    let world = World::new(layer);
    let fan = world.nodes[0].users(&["fan"]).remove(0);
    let group = format!("user_{}_notifications", fan.id);
    let groups = [group.clone()];
    let mut ears: Vec<_> = (0..SOCKETS)
        .map(|n| Ear::open(&world, n % 2, &fan, "/ws/notifications/", n % 4 < 2, &groups))
        .collect();
    let config = json!({"group": group, "consumers": SOCKETS, "capacity": 1_500});
    let mut senders: Vec<_> = (0..SENDERS).map(|_| world.python("speak.py", &config)).collect();
    for ear in &mut ears {
        ear.wait(&mut senders[0]);
    }
    // Their consumers know no probes.
    let mut consumers = world.python("crowd.py", &config);

    let start = Instant::now();
    for (number, sender) in senders.iter_mut().enumerate() {
        sender.tell(&json!({"group": group, "burst": EVENTS, "name": number}));
    }
    let listeners: Vec<_> = ears.into_iter().map(|ear| thread::spawn(move || count(ear))).collect();
    for sender in &senders {
        assert_eq!(sender.answer_within(4 * PATIENCE), json!({"sent": EVENTS}));
    }
    let sent = start.elapsed();
    let ours: usize = listeners.into_iter().map(|listener| listener.join().unwrap()).sum();
    let heard = start.elapsed();
    let theirs = loop {
        consumers.tell(&Value::Null);
        let told = consumers.answer();
        let handled = told["handled"].as_u64().unwrap();
        let is_done = handled == ALL as u64 || told["quiet_s"].as_f64().unwrap() > QUIET_S;
        if is_done || start.elapsed() > heard + patience {
            break handled;
        }
        thread::sleep(Duration::from_millis(200));
    };
    println!(
        "{}: {SENDERS} processes x {EVENTS} events sent in {sent:.1?}; {SOCKETS} sockets of two nodes got \
         {ours} of {ALL} within {heard:.1?}; channels_redis' own {SOCKETS} consumers had handled {theirs} of {ALL} after {:.1?}",
        layer.ours,
        start.elapsed()
    );
    assert_eq!(ours, ALL);
}

/// Counts the events of all senders at one socket, each sender's in order.
fn count(mut ear: Ear) -> usize {
    let mut next = BTreeMap::new();
    let mut heard = 0;
    while heard < SENDERS * EVENTS {
        let event = ear.next();
        let told = &event["notification"];
        let next = next.entry(told["of"].as_u64().unwrap()).or_insert(0);
        assert_eq!(told["n"], *next, "{}: {event}", ear.told);
        *next += 1;
        heard += 1;
    }
    heard
}
