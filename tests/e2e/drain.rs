//! SIGTERM: nothing new, what is queued is committed, clients are moved away, and a second one ends it all.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::server::UNLIMITED;
use crate::support::users::Pair;
use crate::support::{Got, Http, Server, Ws};

#[test]
fn a_drain_moves_clients_away_and_ends_with_0() {
    let mut server = Server::with(&[("DRAIN_S", "1")]);
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut v1 = [&alice, &bob]
        .map(|user| [Ws::v1(&server, user, &path), Ws::v1(&server, user, "/ws/chat/")]);
    let mut plain = Ws::plain(&server, &bob, &path);
    let mut idle = Http::connect(server.address);
    assert_eq!(idle.ask("GET", "/readyz", "", None).json(), json!({"status": "ok"}));
    let mut begun = Http::connect(server.address);
    begun.send("GET /readyz HTTP/1.1\r\nHost: ");
    // So that the half of a request is there when the drain begins.
    plain.drain();
    server.ask("GET", "/healthz", "", None);
    server.terminate();
    for ws in v1.as_flattened_mut() {
        let told = ws.expect("reconnect");
        assert_eq!(told["reason"], "drain");
        assert!(told["delay_ms"].as_u64().unwrap() < 1_000, "{told}");
    }
    begun.send("localhost\r\n\r\n");
    let answer = begun.answer(false);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["status"], "not_ready");
    assert!(answer.json()["failing"]["draining"].is_string());
    assert!(begun.is_ended() && idle.is_ended());
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
    for ws in v1.as_flattened_mut() {
        assert_eq!(ws.closed(), 1012);
    }
    // Whoever does not know the extensions is told by code alone.
    let told = std::iter::from_fn(|| match plain.got() {
        Got::Event(event) => Some(event),
        end => {
            assert_eq!(end, Got::Closed(1012, "restarting".to_owned()));
            None
        }
    });
    assert!(told.into_iter().all(|event| event["type"] != "reconnect"));
    let status = server.wait();
    assert_eq!(status.code(), Some(0));
    assert!(server.log().contains("stopped"), "{}", server.log());
}

#[test]
fn what_was_queued_when_the_signal_came_is_committed() {
    const WRITERS: usize = 4;
    let settings = [UNLIMITED, &[("DRAIN_S", "1")]];
    let mut server = Server::with(&settings.concat());
    let Pair { alice, conversation, .. } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let echoed: BTreeSet<String> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let mut ws = Ws::v1(&server, &alice, &path);
                scope.spawn(move || {
                    let (mut sent, mut echoed) = (0, BTreeSet::new());
                    loop {
                        // Ten are on their way at any time.
                        while sent < echoed.len() + 10 {
                            let id = format!("w{writer}-{sent}");
                            ws.send(&json!({"type": "message", "content": id, "client_id": id,
                                "ref": id}));
                            sent += 1;
                        }
                        match ws.got() {
                            Got::Event(event) if event["type"] == "ack" => {
                                echoed.insert(event["ref"].as_str().unwrap().to_owned());
                            }
                            Got::Event(_) => {}
                            Got::Closed(code, _) => {
                                assert_eq!(code, 1012);
                                return echoed;
                            }
                            Got::Lost => panic!("lost without a word"),
                        }
                    }
                })
            })
            .collect();
        let mut ear = Ws::v1(&server, &alice, "/ws/notifications/");
        ear.drain();
        let mut watch = Ws::v1(&server, &alice, "/ws/chat/");
        for _ in 0..200 {
            watch.until("new_message");
        }
        server.terminate();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(server.wait().code(), Some(0));
    assert!(echoed.len() >= 100, "{}", echoed.len());
    server.restart();
    let stored = server.history(conversation, &alice);
    for (place, message) in stored.iter().enumerate() {
        assert_eq!(message["seq"], place + 1);
    }
    let ids: Vec<_> = stored.iter().filter_map(|m| m["client_id"].as_str()).collect();
    let distinct: BTreeSet<_> = ids.iter().copied().collect();
    assert_eq!(ids.len(), distinct.len());
    println!("{} acknowledged, {} stored", echoed.len(), ids.len());
    for id in &echoed {
        assert!(distinct.contains(id.as_str()), "{id}");
    }
    let read = stored.iter().filter(|message| message["is_read"] == Value::Bool(true)).count();
    assert_eq!(read, 0);
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let mut server = Server::with(&[("DRAIN_S", "600")]);
    let alice = &server.users(&["alice"])[0];
    let mut ws = Ws::v1(&server, alice, "/ws/chat/");
    server.terminate();
    ws.expect("reconnect");
    server.terminate();
    assert_eq!(server.wait().code(), Some(130));
    // It had ten minutes to go.
    assert!([1006, 1012].contains(&ws.closed()));
}

#[test]
fn a_few_clients_are_moved_away_over_the_whole_time_too() {
    let mut server = Server::with(&[("DRAIN_S", "2"), ("SHARDS", "1")]);
    let users = server.users(&["a", "b", "c", "d", "e", "f"]);
    let mut open: Vec<_> =
        users.iter().map(|user| Ws::v1(&server, user, "/ws/notifications/")).collect();
    server.terminate();
    let ends: Vec<_> = thread::scope(|scope| {
        let wait = |ws: &mut Ws| {
            assert_eq!(ws.closed(), 1012);
            Instant::now()
        };
        let threads: Vec<_> = open.iter_mut().map(|ws| scope.spawn(move || wait(ws))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (first, last) = (*ends.iter().min().unwrap(), *ends.iter().max().unwrap());
    assert!(last - first > Duration::from_millis(300), "all came at once: {:?}", last - first);
    assert_eq!(server.wait().code(), Some(0));
}
