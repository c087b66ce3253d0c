//! A Postgres that is not there: at the start, in the middle, and one that is not ours.

use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use fortifun_fixtures::{Durability, Postgres};
use serde_json::{Value, json};

use crate::support::server::{SECRET, UNLIMITED};
use crate::support::users::Pair;
use crate::support::{Http, PATIENCE, Server, Ws, eventually};

/// How soon an answer has to come that says that the store is not there.
const SOON: Duration = Duration::from_secs(10);

/// Asks until the node is ready.
fn until_ready(server: &Server) {
    eventually("ready", || {
        let answer = server.ask("GET", "/readyz", "", None);
        thread::sleep(Duration::from_millis(20));
        (answer.status == 200).then_some(())
    });
}

/// The node lives, is not ready, says why, and says to all who ask that they should come again.
fn expect_absence(server: &Server, Pair { alice, conversation, .. }: &Pair) {
    let start = Instant::now();
    assert_eq!(server.ask("GET", "/healthz", "", None).status, 200);
    let ready = server.ask("GET", "/readyz", "", None);
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(ready.json()["failing"]["store"].is_string(), "{}", ready.text());
    let path = format!("/api/v1/conversations/{conversation}/messages/");
    for (method, body) in
        [("GET", None), ("POST", Some(json!({"content": "c", "client_id": "down"})))]
    {
        let answer = server.ask(method, &path, &alice.token, body.as_ref());
        assert_eq!(answer.status, 503, "{method}: {}", answer.text());
        assert_eq!(answer.json()["code"], "store_unavailable", "{method}: {}", answer.text());
        let retry: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&retry), "{retry}");
    }
    let refused = Ws::open(server.address, &format!("/ws/chat/?token={}", alice.token), None);
    assert_eq!(refused.err(), Some(503));
    println!("all was answered within {:?}", start.elapsed());
    assert!(start.elapsed() < SOON, "after {:?}", start.elapsed());
}

/// A message can be said and heard.
fn expect_presence(server: &Server, Pair { alice, bob, conversation }: &Pair) {
    let path = format!("/ws/conversations/{conversation}/");
    let mut ear = Ws::v1(server, bob, &path);
    let mut mouth = Ws::v1(server, alice, &path);
    mouth.say(&json!({"type": "message", "content": "there you are"}));
    assert_eq!(ear.until("message")["message"]["content"], "there you are");
}

/// Lines of the log with this in them.
fn told(server: &Server, what: &str) -> Vec<String> {
    server.log().lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
}

#[test]
fn a_server_starts_without_its_database_and_works_when_that_comes() {
    let mut postgres = Postgres::start(Durability::Relaxed);
    let database = postgres.database();
    let mut server = Server::on(&database.url(), UNLIMITED);
    let pair = server.pair();
    server.kill();
    postgres.stop();
    let start = Instant::now();
    server.restart();
    println!("listens after {:?}", start.elapsed());
    assert!(start.elapsed() < SOON, "after {:?}", start.elapsed());
    expect_absence(&server, &pair);
    let log = server.log();
    assert!(log.contains(&postgres.port().to_string()), "it says which: {log}");
    postgres.resume();
    let start = Instant::now();
    until_ready(&server);
    println!("ready {:?} after its database", start.elapsed());
    assert!(start.elapsed() < SOON, "after {:?}", start.elapsed());
    expect_presence(&server, &pair);
    // Nothing of what was refused was done.
    assert!(
        !server.history(pair.conversation, &pair.alice).iter().any(|m| m["client_id"] == "down")
    );
}

#[test]
fn a_server_starts_before_a_database_that_says_nothing() {
    let postgres = Postgres::shared();
    let database = postgres.database();
    let mut server = Server::on(&database.url(), UNLIMITED);
    let pair = server.pair();
    server.kill();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://app@{}/app", silent.local_addr().unwrap());
    server.set("DATABASE_URL", &url);
    server.restart();
    expect_absence(&server, &pair);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn sockets_outlive_a_restart_of_the_database_and_it_is_told_once() {
    let mut postgres = Postgres::start(Durability::Relaxed);
    let database = postgres.database();
    let server = Server::on(&database.url(), UNLIMITED);
    let Pair { alice, bob, conversation } = &server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let (mut mouth, mut ear) = (Ws::v1(&server, alice, &path), Ws::v1(&server, bob, &path));
    let mut aside = Ws::plain(&server, bob, "/ws/chat/");
    mouth.say(&json!({"type": "message", "content": "before"}));
    for round in 1..=2 {
        postgres.stop();
        for nth in 0..3 {
            let id = format!("{round}-{nth}");
            let start = Instant::now();
            mouth.send(&json!({"type": "message", "content": id, "client_id": id, "ref": id}));
            let error = loop {
                let event = mouth.next();
                if event["ref"] == id.as_str() {
                    break event;
                }
            };
            assert_eq!(error["code"], "store_unavailable", "{error}");
            assert_eq!((&error["client_id"], &error["temporary"]), (&json!(id), &json!(true)));
            assert!(error["retry_after_ms"].as_u64().unwrap() >= 1, "{error}");
            assert!(start.elapsed() < SOON, "after {:?}", start.elapsed());
        }
        assert_eq!(server.ask("GET", "/readyz", "", None).status, 503);
        // What needs no store is answered.
        mouth.drain();
        postgres.resume();
        until_ready(&server);
        let word = format!("after {round}");
        // The workers find it one by one.
        let start = Instant::now();
        loop {
            mouth
                .send(&json!({"type": "message", "content": word, "client_id": word, "ref": word}));
            let answer = loop {
                let event = mouth.next();
                if event["ref"] == word.as_str() {
                    break event;
                }
            };
            if answer["type"] == "ack" {
                break;
            }
            assert_eq!(answer["code"], "store_unavailable", "{answer}");
            assert!(start.elapsed() < PATIENCE, "{answer}");
            thread::sleep(Duration::from_millis(50));
        }
        let content = |ws: &mut Ws, kind: &str| loop {
            let message = ws.until(kind)["message"].clone();
            if message["content"] == word.as_str() {
                break;
            }
        };
        content(&mut ear, "message");
        content(&mut aside, "new_message");
        eventually("the log says that it works again", || {
            // Of two readers one may still pause.
            server.ask("GET", "/api/v1/conversations/", &alice.token, None);
            mouth.say(&json!({"type": "message", "content": "again"}));
            (told(&server, "works again").len() == round).then_some(())
        });
        // Once for each kind of failure: lost in the middle, and not there.
        let failures = told(&server, "the database fails");
        assert!((round..=2 * round).contains(&failures.len()), "{failures:#?}");
    }
    let stored = server.history(*conversation, alice);
    let contents: Vec<_> = stored.iter().map(|message| &message["content"]).collect();
    for (place, message) in stored.iter().enumerate() {
        assert_eq!(message["seq"], place + 1);
    }
    // What was refused was not done after all.
    let refused = |content: &&&Value| content.as_str().is_some_and(|text| text.contains('-'));
    assert_eq!(contents.iter().find(refused), None);
}

#[test]
fn a_database_that_stops_answering_keeps_nobody_waiting_for_ever() {
    let postgres = Postgres::start(Durability::Relaxed);
    let database = postgres.database();
    let more = [("DATABASE_STATEMENT_TIMEOUT_S", "2")];
    let server = Server::on(&database.url(), &[UNLIMITED, &more].concat());
    let pair = server.pair();
    let path = format!("/ws/conversations/{}/", pair.conversation);
    let mut mouth = Ws::v1(&server, &pair.alice, &path);
    mouth.say(&json!({"type": "message", "content": "before"}));
    postgres.freeze();
    let start = Instant::now();
    mouth.send(&json!({"type": "message", "content": "m", "client_id": "m", "ref": "m"}));
    let mut http = Http::connect(server.address);
    http.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let ready = http.answer(false).status;
    println!("readyz answers {ready} after {:?}", start.elapsed());
    let error = mouth.until("error");
    println!("the sender is answered after {:?}", start.elapsed());
    postgres.thaw();
    assert_eq!((ready, error["code"].as_str()), (503, Some("store_unavailable")));
    until_ready(&server);
    mouth.drain();
    // What became of it is known, or found out by sending it again.
    let answer = eventually("stored", || {
        mouth.send(&json!({"type": "message", "content": "m", "client_id": "m", "ref": "again"}));
        loop {
            let event = mouth.next();
            if event["ref"] == "again" {
                thread::sleep(Duration::from_millis(50));
                return (event["type"] == "ack").then_some(event);
            }
        }
    });
    assert!(answer["seq"].is_u64(), "{answer}");
    let stored = server.history(pair.conversation, &pair.alice);
    assert_eq!(stored.iter().filter(|message| message["client_id"] == "m").count(), 1);
}

#[test]
fn a_database_without_a_migration_is_refused_with_the_command() {
    let postgres = Postgres::shared();
    let database = postgres.database();
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_fortifun"))
            .args(args)
            .env_clear()
            .envs([
                ("DATABASE_URL", database.url().as_str()),
                ("SECRET_KEY", SECRET),
                ("PORT", "0"),
                ("HOST", "127.0.0.1"),
            ])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = run(&["serve"]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("fortifun migrate"), "{told}");
    let (code, told) = run(&["migrate"]);
    assert_eq!(code, Some(0), "{told}");
    // A later program was here.
    database
        .connect()
        .batch_execute("INSERT INTO fortifun_migration VALUES (9999, 'of tomorrow', now())")
        .unwrap();
    let (code, told) = run(&["serve"]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("newer"), "{told}");
}

#[test]
fn a_server_that_is_not_let_in_says_so_and_ends() {
    let postgres = Postgres::shared();
    let database = postgres.database();
    let url = database.url_as("nobody_here", "a-password-of-ours");
    let output = Command::new(env!("CARGO_BIN_EXE_fortifun"))
        .arg("serve")
        .env_clear()
        .envs([
            ("DATABASE_URL", url.as_str()),
            ("SECRET_KEY", SECRET),
            ("PORT", "0"),
            ("HOST", "127.0.0.1"),
        ])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("28P01") || told.contains("nobody_here"), "{told}");
    assert!(!told.contains("a-password-of-ours"), "{told}");
}
