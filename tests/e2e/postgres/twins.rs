//! Two servers on one database, writing into the same conversations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use fortifun_fixtures::{Durability, Postgres};
use serde_json::{Value, json};

use crate::support::server::UNLIMITED;
use crate::support::{Got, Server, User, Ws};

/// Everybody talks with everybody: ten conversations.
const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// How long they write.
const LOAD: Duration = Duration::from_secs(4);
const IN_FLIGHT: usize = 8;
/// Kinds of errors of which there must not be one.
const KINDS: [&str; 9] = [
    "denied",
    "unavailable",
    "unknown",
    "contended",
    "timed_out",
    "not_writable",
    "schema",
    "poisoned",
    "internal",
];

/// Writes into all conversations of a user in turn, and reads what others write there; what was acknowledged: the
/// `client_id`s, and where they are.
fn write(
    server: &Server,
    name: &str,
    user: &User,
    talks: &[i64],
    goes_on: &AtomicBool,
) -> BTreeMap<String, (i64, u64)> {
    let mut ws = Ws::v1(server, user, "/ws/chat/");
    let (mut sent, mut acknowledged, mut reads) = (0, BTreeMap::new(), BTreeSet::new());
    loop {
        let is_going = goes_on.load(Relaxed);
        while is_going && sent < acknowledged.len() + IN_FLIGHT {
            let id = format!("{name}-{}-{sent}", user.name);
            let talk = talks[sent % talks.len()];
            ws.send(&json!({"type": "message", "conversation_id": talk, "content": id,
                "client_id": id, "ref": id}));
            sent += 1;
        }
        if !is_going && sent == acknowledged.len() {
            return acknowledged;
        }
        match ws.got() {
            Got::Event(event) => match event["type"].as_str() {
                Some("ack") if event["seq"].is_u64() => {
                    let id = event["ref"].as_str().unwrap().to_owned();
                    let nth: usize = id.rsplit('-').next().unwrap().parse().unwrap();
                    let place = (talks[nth % talks.len()], event["seq"].as_u64().unwrap());
                    assert!(acknowledged.insert(id, place).is_none(), "twice: {event}");
                }
                // Every so often somebody reads.
                Some("new_message") => {
                    let message = &event["message"];
                    let seq = message["seq"].as_u64().unwrap();
                    if message["sender"]["id"] != user.id && seq % 10 == 0 && reads.insert(seq) {
                        ws.send(&json!({"type": "read_receipt", "message_id": message["id"],
                            "conversation_id": event["conversation_id"]}));
                    }
                }
                Some("error") => panic!("{name} {}: {event}", user.name),
                _ => {}
            },
            other => panic!("{name} {}: {other:?}", user.name),
        }
    }
}

/// What a session in a conversation hears while others write, in order.
fn hear(server: &Server, user: &User, talk: i64, goes_on: &AtomicBool) -> Vec<(u64, i64)> {
    let mut ear = Ws::v1(server, user, &format!("/ws/conversations/{talk}/"));
    let mut heard = Vec::new();
    let place = |event: &Value| {
        let message = &event["message"];
        (message["seq"].as_u64().unwrap(), message["id"].as_i64().unwrap())
    };
    while goes_on.load(Relaxed) {
        match ear.got_within(Duration::from_millis(50)) {
            Some(Got::Event(event)) if event["type"] == "message" => heard.push(place(&event)),
            Some(Got::Event(_)) | None => {}
            other => panic!("{other:?}"),
        }
    }
    heard
}

/// Everything of a conversation, by a resume from its start.
fn resumed(server: &Server, user: &User, talk: i64) -> Vec<Value> {
    let mut ws = Ws::v1(server, user, &format!("/ws/conversations/{talk}/"));
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(json!(0), |message| message["seq"].clone());
        ws.send(&json!({"type": "resume", "after_seq": after}));
        loop {
            let event = ws.next();
            match event["type"].as_str() {
                Some("message") => all.push(event["message"].clone()),
                Some("resumed") if event["complete"] == true => return all,
                Some("resumed") => break,
                _ => {}
            }
        }
    }
}

#[test]
fn two_servers_that_share_conversations_agree_and_never_stand_in_each_others_way() {
    let postgres = Postgres::start(Durability::Full);
    let database = postgres.database();
    let more = [("WRITE_WORKERS", "2"), ("READ_WORKERS", "2")];
    let settings = [UNLIMITED, &more].concat();
    let one = Server::on(&database.url(), &settings);
    let two = Server::on(&database.url(), &settings);
    let servers = [("one", &one), ("two", &two)];
    let users = one.users(&USERS);
    let mut talks: BTreeMap<i64, [usize; 2]> = BTreeMap::new();
    for a in 0..users.len() {
        for b in a + 1..users.len() {
            talks.insert(one.matched(&users[a], &users[b]), [a, b]);
        }
    }
    assert_eq!(talks.len(), 10);
    let (writes, listens) = (AtomicBool::new(true), AtomicBool::new(true));
    let start = Instant::now();
    let (acknowledged, heard) = thread::scope(|scope| {
        let mut ears = Vec::new();
        for (_, server) in servers {
            for (&talk, [a, _]) in &talks {
                let (user, listens) = (&users[*a], &listens);
                ears.push((talk, scope.spawn(move || hear(server, user, talk, listens))));
            }
        }
        let mut writers = Vec::new();
        for (name, server) in servers {
            for (nth, user) in users.iter().enumerate() {
                let mut mine: Vec<_> = talks
                    .iter()
                    .filter(|(_, pair)| pair.contains(&nth))
                    .map(|(talk, _)| *talk)
                    .collect();
                // In orders of their own.
                if name == "two" {
                    mine.reverse();
                }
                let writes = &writes;
                writers.push(scope.spawn(move || write(server, name, user, &mine, writes)));
            }
        }
        while start.elapsed() < LOAD && !writers.iter().any(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(10));
        }
        writes.store(false, Relaxed);
        let written: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        listens.store(false, Relaxed);
        let heard: Vec<_> = ears.into_iter().map(|(talk, ear)| (talk, ear.join())).collect();
        let acknowledged: BTreeMap<_, _> = written.into_iter().flat_map(Result::unwrap).collect();
        let heard: Vec<_> = heard.into_iter().map(|(talk, heard)| (talk, heard.unwrap())).collect();
        (acknowledged, heard)
    });
    let took = start.elapsed();
    let mut stored = 0;
    for (&talk, &[a, b]) in &talks {
        let history = one.history(talk, &users[a]);
        assert_eq!(history, two.history(talk, &users[b]), "the servers disagree");
        let mut ids = BTreeSet::new();
        for (place, message) in history.iter().enumerate() {
            assert_eq!(message["seq"], place + 1, "a hole");
            if let Some(id) = message["client_id"].as_str() {
                assert!(ids.insert(id.to_owned()), "stored twice: {id}");
                assert_eq!(acknowledged.get(id), Some(&(talk, place as u64 + 1)), "{id}");
            }
        }
        stored += ids.len();
        for (_, server) in servers {
            assert_eq!(resumed(server, &users[b], talk), history, "a resume tells otherwise");
        }
        let places: Vec<_> = history
            .iter()
            .map(|message| (message["seq"].as_u64().unwrap(), message["id"].as_i64().unwrap()))
            .collect();
        for (_, heard) in heard.iter().filter(|(of, _)| *of == talk) {
            // From where it came in, everything in order, also what the other server stored.
            let first = heard.first().map_or(0, |(seq, _)| *seq as usize - 1);
            assert_eq!(heard[..], places[first..first + heard.len()]);
        }
    }
    let all_heard: usize = heard.iter().map(|(_, heard)| heard.len()).sum();
    let deadlocks: i64 = postgres
        .admin()
        .query_one("SELECT sum(deadlocks)::bigint FROM pg_stat_database", &[])
        .unwrap()
        .get(0);
    println!(
        "two servers, ten conversations: {} acknowledged, {stored} stored, {all_heard} heard in order, {deadlocks} \
         deadlocks; {took:?}",
        acknowledged.len()
    );
    assert_eq!((stored, deadlocks), (acknowledged.len(), 0));
    for (name, server) in servers {
        let mine = acknowledged.keys().filter(|id| id.starts_with(name)).count();
        assert!(mine >= 100, "{name} stored {mine}");
        for kind in KINDS {
            let metric = format!("fortifun_store_errors_total{{kind=\"{kind}\"}}");
            assert_eq!(server.metric(&metric), 0, "{name}: {kind}");
        }
    }
}
