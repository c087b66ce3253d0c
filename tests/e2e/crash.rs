//! `kill -9` in the middle of the load: what a client saw echoed is stored, once, and the places have no holes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::support::server::UNLIMITED;
use crate::support::{Got, PATIENCE, Server, User, Ws};

const CRASHES: usize = 20;
/// Messages of one writer that are not echoed yet.
const IN_FLIGHT: usize = 8;

/// One of those who write: what was sent and not echoed, and everything that was.
struct Writer {
    user: User,
    conversation: i64,
    sent: usize,
    pending: BTreeSet<String>,
    echoed: BTreeMap<String, Value>,
}

/// How many echoes were seen in this round.
#[derive(Default)]
struct Tally {
    echoes: Mutex<usize>,
    changed: Condvar,
}

impl Tally {
    fn add(&self) {
        *self.echoes.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn wait_for(&self, echoes: usize) {
        let guard = self.echoes.lock().unwrap();
        let (guard, timeout) =
            self.changed.wait_timeout_while(guard, PATIENCE, |seen| *seen < echoes).unwrap();
        assert!(!timeout.timed_out(), "{} of {echoes} echoes within {PATIENCE:?}", *guard);
    }
}

impl Writer {
    /// Writes until the connection is lost. What was not echoed the last time is sent again, as a client would.
    fn run(&mut self, mut ws: Ws, tally: &Tally) {
        for id in &self.pending {
            ws.send(&Self::command(id));
        }
        loop {
            while self.pending.len() < IN_FLIGHT {
                self.sent += 1;
                let id = format!("{}-{}", self.user.name, self.sent);
                ws.send(&Self::command(&id));
                self.pending.insert(id);
            }
            match ws.got() {
                Got::Event(event) if event["type"] == "message" => {
                    let message = &event["message"];
                    if message["sender"]["id"] != self.user.id {
                        continue;
                    }
                    let id = message["client_id"].as_str().unwrap();
                    assert!(self.pending.remove(id), "{event}");
                    self.echoed.insert(id.to_owned(), message.clone());
                    tally.add();
                }
                Got::Event(event) => assert_ne!(event["type"], "error", "{event}"),
                Got::Lost => return,
                Got::Closed(code, reason) => panic!("{code} {reason}"),
            }
        }
    }

    fn command(id: &str) -> Value {
        json!({"type": "message", "content": format!("content of {id}"), "client_id": id})
    }
}

#[test]
fn what_was_echoed_before_a_kill_is_stored_once_and_in_its_place() {
    let mut server = Server::with(UNLIMITED);
    let users = server.users(&["alice", "bob", "carol", "dave"]);
    let first = server.matched(&users[0], &users[1]);
    let second = server.matched(&users[2], &users[3]);
    let mut writers: Vec<_> = users
        .iter()
        .zip([first, first, second, second])
        .map(|(user, conversation)| Writer {
            user: user.clone(),
            conversation,
            sent: 0,
            pending: BTreeSet::new(),
            echoed: BTreeMap::new(),
        })
        .collect();
    let mut resent = 0;
    for crash in 0..CRASHES {
        let tally = Tally::default();
        let open = |writer: &Writer| {
            Ws::v1(&server, &writer.user, &format!("/ws/conversations/{}/", writer.conversation))
        };
        let sockets: Vec<_> = writers.iter().map(open).collect();
        resent += writers.iter().map(|writer| writer.pending.len()).sum::<usize>();
        thread::scope(|scope| {
            for (writer, ws) in writers.iter_mut().zip(sockets) {
                let tally = &tally;
                scope.spawn(move || writer.run(ws, tally));
            }
            // At a moment of its own in every round, early and late.
            tally.wait_for(20 + crash * crash * 37 % 300);
            server.kill();
        });
        server.restart();
        check(&server, &writers);
    }
    let echoed: usize = writers.iter().map(|writer| writer.echoed.len()).sum();
    let stored: usize = [first, second]
        .iter()
        .zip([&users[0], &users[2]])
        .map(|(conversation, user)| server.history(*conversation, user).len() - 1)
        .sum();
    println!(
        "{CRASHES} kills: {echoed} echoes seen, every one stored once; {stored} stored; {resent} sent again"
    );
    assert!(echoed >= 20 * CRASHES && stored >= echoed);
    // What was on its way at the last kill comes in, once.
    for writer in &mut writers {
        let mut ws =
            Ws::v1(&server, &writer.user, &format!("/ws/conversations/{}/", writer.conversation));
        for id in std::mem::take(&mut writer.pending) {
            let mut command = Writer::command(&id);
            command["ref"] = "r".into();
            ws.send(&command);
            let message = ws.until("message")["message"].clone();
            assert_eq!(message["client_id"], id.as_str());
            writer.echoed.insert(id, message);
        }
    }
    check(&server, &writers);
}

/// Reads everything by REST, page by page, and holds it against what the writers saw.
fn check(server: &Server, writers: &[Writer]) {
    for pair in writers.chunks(2) {
        let stored = server.history(pair[0].conversation, &pair[0].user);
        let mut by_id = BTreeMap::new();
        for (place, message) in stored.iter().enumerate() {
            assert_eq!(message["seq"], place + 1, "a hole");
            if let Some(id) = message["client_id"].as_str() {
                assert!(by_id.insert(id, message).is_none(), "stored twice: {id}");
            }
        }
        for writer in pair {
            for (id, echo) in &writer.echoed {
                assert_eq!(by_id.get(id.as_str()), Some(&echo), "echoed and not stored: {id}");
            }
        }
    }
}
