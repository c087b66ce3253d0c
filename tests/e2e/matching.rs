//! Likes that become matches: one match, one conversation, one welcome, whoever likes first and however often.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::http::request;
use crate::support::{Answer, Http, Server, User, Ws};

const WELCOME: &str = "Vous avez matché! Commencez la conversation.";

fn matching(server: &Server, what: &str, user: &User, other: i64) -> Answer {
    let path = format!("/api/v1/matching/{what}/");
    server.ask("POST", &path, &user.token, Some(&json!({"user_id": other})))
}

#[test]
fn a_like_is_told_and_a_like_of_both_is_a_match_told_to_both() {
    let server = Server::start();
    let users = server.users(&["alice", "bob"]);
    let [alice, bob] = &users[..] else { unreachable!() };
    let mut sockets = [
        Ws::v1(&server, alice, "/ws/chat/"),
        Ws::plain(&server, alice, "/ws/notifications/"),
        Ws::plain(&server, bob, "/ws/chat/"),
        Ws::v1(&server, bob, "/ws/notifications/"),
    ];
    let first = matching(&server, "like", alice, bob.id);
    assert_eq!(first.status, 201);
    assert_eq!((&first.json()["is_match"], &first.json()["match"]), (&json!(false), &Value::Null));
    let liker = json!({"id": alice.id, "username": "alice", "profile_picture": null});
    for ws in &mut sockets[2..] {
        let told = ws.expect("new_like");
        assert_eq!(told["data"], json!({"type": "new_like", "liker": liker}));
    }
    for ws in &mut sockets[..2] {
        ws.expect_nothing();
    }
    let second = matching(&server, "like", bob, alice.id);
    assert_eq!(second.status, 201);
    let made = second.json()["match"].clone();
    assert_eq!(second.json()["is_match"], true);
    assert_eq!(made["user"]["id"], alice.id);
    let conversation = made["conversation_id"].as_i64().unwrap();
    for (place, ws) in sockets.iter_mut().enumerate() {
        let data = ws.expect("new_match")["data"].clone();
        assert_eq!(data["type"], "new_match");
        assert_eq!(
            (&data["match"]["id"], &data["match"]["conversation_id"]),
            (&made["id"], &json!(conversation))
        );
        let other = if place < 2 { bob } else { alice };
        assert_eq!(data["match"]["user"]["username"], other.name.as_str(), "each sees the other");
        // The welcome, sent by the one whose like completed it. It is no news to that one's notices.
        if place < 3 {
            let welcome = ws.expect("new_message");
            assert_eq!(welcome["message"]["content"], WELCOME);
            assert_eq!(welcome["message"]["sender"]["id"], bob.id);
            assert_eq!(welcome["message"]["seq"], 1);
        }
        ws.expect_nothing();
    }
    // Nobody likes the same one twice, nor oneself, nor nobody.
    for (user, other, code) in [
        (alice, bob.id, "already_liked"),
        (bob, alice.id, "already_liked"),
        (bob, bob.id, "invalid_field"),
        (bob, 1_000_000, "user_not_found"),
    ] {
        let answer = matching(&server, "like", user, other);
        assert_eq!((answer.status, answer.code().as_str()), (400, code));
    }
    for ws in &mut sockets {
        ws.expect_nothing();
    }
}

#[test]
fn a_like_taken_back_is_none_and_a_blocked_user_cannot_be_liked() {
    let server = Server::start();
    let users = server.users(&["alice", "bob"]);
    let [alice, bob] = &users[..] else { unreachable!() };
    assert_eq!(matching(&server, "like", alice, bob.id).status, 201);
    assert_eq!(matching(&server, "unlike", alice, bob.id).status, 200);
    let answer = matching(&server, "like", bob, alice.id);
    assert_eq!((answer.status, &answer.json()["is_match"]), (201, &json!(false)));
    assert_eq!(matching(&server, "block", alice, bob.id).status, 200);
    for (user, other) in [(alice, bob), (bob, alice)] {
        let answer = matching(&server, "like", user, other.id);
        assert_eq!((answer.status, answer.code().as_str()), (400, "user_blocked"));
    }
    assert_eq!(matching(&server, "unblock", alice, bob.id).status, 200);
    assert_eq!(matching(&server, "like", alice, bob.id).status, 201);
}

#[test]
fn a_conversation_that_is_there_already_is_kept() {
    let server = Server::start();
    let users = server.users(&["alice", "bob"]);
    let [alice, bob] = &users[..] else { unreachable!() };
    let body = json!({"participant_id": bob.id, "message": "hello before"});
    let opened = server.ask("POST", "/api/v1/conversations/", &alice.token, Some(&body)).json();
    matching(&server, "like", alice, bob.id);
    let made = matching(&server, "like", bob, alice.id).json()["match"].clone();
    assert_eq!(made["conversation_id"], opened["id"]);
    let all = server.json("/api/v1/conversations/", &alice.token);
    assert_eq!(all.as_array().unwrap().len(), 1);
}

#[test]
fn a_thousand_pairs_who_like_each_other_at_once_are_a_thousand_matches() {
    const PAIRS: usize = 1_000;
    const COUPLES: usize = 4;
    let server = Server::with(&[("SHARDS", "4")]);
    let names: Vec<_> = (0..2 * PAIRS).map(|number| format!("user{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let users = server.users(&names);
    let pairs: Vec<_> = users.chunks(2).collect();
    let (by_first, by_second) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Each couple of threads goes through its share of the pairs side by side: the barrier lets both likes go at once, and
    // what the kernel and the shards make of it is either order. A tenth of the pairs does not wait, one order each.
    let like = |http: &mut Http, liker: &User, liked: &User| {
        let body = json!({"user_id": liked.id});
        http.send(request("POST", "/api/v1/matching/like/", &liker.token, Some(&body)));
        let answer = http.answer(false);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["is_match"] == true
    };
    thread::scope(|scope| {
        for couple in 0..COUPLES {
            let barrier = std::sync::Arc::new(Barrier::new(2));
            for side in 0..2 {
                let barrier = std::sync::Arc::clone(&barrier);
                let (pairs, server, by) = (&pairs, &server, [&by_first, &by_second][side]);
                scope.spawn(move || {
                    let mut http = Http::connect(server.address);
                    for (number, pair) in pairs.iter().enumerate().skip(couple).step_by(COUPLES) {
                        let (own, other) = (&pair[side], &pair[1 - side]);
                        barrier.wait();
                        if number % 10 == 9 && (number / 10) % 2 == side {
                            barrier.wait();
                        }
                        if like(&mut http, own, other) {
                            by.fetch_add(1, Ordering::Relaxed);
                        }
                        if number % 10 == 9 && (number / 10) % 2 != side {
                            barrier.wait();
                        }
                    }
                });
            }
        }
    });
    let (first, second) = (by_first.into_inner(), by_second.into_inner());
    println!("{PAIRS} pairs: completed by the first {first}, by the second {second}");
    assert_eq!(first + second, PAIRS, "one like of each pair completed its match");
    assert!(first >= 10 && second >= 10, "both orders: {first} {second}");
    let count = |sql: &str| server.count(sql);
    let pairs_i64 = PAIRS as i64;
    assert_eq!(count("SELECT count(*) FROM matching_match"), pairs_i64);
    assert_eq!(count("SELECT count(*) FROM conversations_conversation"), pairs_i64);
    assert_eq!(
        count("SELECT count(*) FROM conversations_conversation_participants"),
        2 * pairs_i64
    );
    assert_eq!(count("SELECT count(*) FROM conversations_message"), pairs_i64);
    assert_eq!(
        count("SELECT count(DISTINCT conversation_id) FROM conversations_message WHERE seq = 1"),
        pairs_i64
    );
    for pair in pairs.iter().step_by(97) {
        for (own, other) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let matches = server.json("/api/v1/matching/matches/", &own.token);
            assert_eq!(matches["count"], 1);
            assert_eq!(matches["results"][0]["matched_user"]["id"], other.id);
            let talks = server.json("/api/v1/conversations/", &own.token);
            assert_eq!(talks.as_array().unwrap().len(), 1);
            assert_eq!(talks[0]["last_message"]["content"], WELCOME);
        }
    }
}
