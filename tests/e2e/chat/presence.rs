//! Who is there, and which notices a chat socket wants.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::users::Pair;
use crate::support::{Server, User, Ws, eventually};

fn v1_with_presence(server: &Server, user: &User, path: &str) -> Ws {
    let mut ws = Ws::v1(server, user, path);
    ws.hears_presence = true;
    ws
}

fn subscribe(ws: &mut Ws, kind: &str, topic: &str, users: &[i64]) -> Value {
    ws.send(&json!({"type": kind, "subscription_type": topic, "user_ids": users}));
    ws.until(&format!("{kind}d"))
}

#[test]
fn whoever_comes_is_online_at_once_and_whoever_goes_is_offline_after_a_grace() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let stranger = &server.users(&["stranger"])[0];
    let path = format!("/ws/conversations/{conversation}/");
    let mut here = v1_with_presence(&server, &alice, &path);
    // A session that knows the extensions is told first how things are.
    let first = here.expect("user_status");
    assert_eq!((&first["user_id"], &first["is_online"]), (&json!(bob.id), &json!(false)));
    // Those in a conversation hear of each other, and so of themselves.
    assert_eq!(here.expect("user_status")["user_id"], alice.id);
    let mut watcher = v1_with_presence(&server, &alice, "/ws/chat/");
    // Who shares no conversation with the user is left out.
    let told = subscribe(&mut watcher, "subscribe", "user_status", &[bob.id, stranger.id, 999_999]);
    assert_eq!(told["user_ids"], json!([bob.id]));
    assert_eq!(watcher.expect("user_status")["is_online"], false);
    let mut elsewhere = v1_with_presence(&server, stranger, "/ws/chat/");
    let first = Ws::v1(&server, &bob, "/ws/notifications/");
    for ws in [&mut here, &mut watcher] {
        let status = ws.expect("user_status");
        assert_eq!(status["user_id"], bob.id);
        assert_eq!(status["username"], "bob");
        assert_eq!((&status["status"], &status["is_online"]), (&json!("online"), &json!(true)));
        for time in ["last_activity", "timestamp"] {
            assert!(status[time].as_str().unwrap().ends_with('Z'), "{status}");
        }
    }
    // Comes and goes: nobody is told, as long as one comes back in time.
    let second = Ws::v1(&server, &bob, "/ws/chat/");
    second.close();
    first.close();
    let third = Ws::v1(&server, &bob, &path);
    here.expect_nothing();
    watcher.expect_nothing();
    let recent = |user: &User| {
        server.json("/api/v1/matching/recent-matches/", &user.token)[0]["is_online"].clone()
    };
    assert_eq!(recent(&alice), true);
    third.close();
    let since = Instant::now();
    for ws in [&mut here, &mut watcher] {
        let status = ws.expect("user_status");
        assert_eq!((&status["status"], &status["is_online"]), (&json!("offline"), &json!(false)));
    }
    let lasted_s = since.elapsed().as_secs_f32();
    assert!((14.5..20.0).contains(&lasted_s), "{lasted_s}");
    assert_eq!(recent(&alice), false);
    elsewhere.expect_nothing();
}

#[test]
fn a_watch_ends_when_it_is_taken_back() {
    let server = Server::start();
    let Pair { alice, bob, .. } = server.pair();
    let mut watcher = v1_with_presence(&server, &alice, "/ws/chat/");
    subscribe(&mut watcher, "subscribe", "user_status", &[bob.id]);
    watcher.expect("user_status");
    subscribe(&mut watcher, "unsubscribe", "user_status", &[bob.id]);
    let mut ws = Ws::v1(&server, &bob, "/ws/notifications/");
    ws.expect_nothing();
    // The server has said it everywhere once the store knows it.
    eventually("bob is online", || {
        let recent = server.json("/api/v1/matching/recent-matches/", &alice.token);
        (recent[0]["is_online"] == true).then_some(())
    });
    watcher.expect_nothing();
}

#[test]
fn a_server_that_was_killed_left_nobody_online() {
    let mut server = Server::start();
    let Pair { alice, bob, .. } = server.pair();
    let online = |server: &Server| {
        server.json("/api/v1/matching/recent-matches/", &alice.token)[0]["is_online"] == true
    };
    let _ws = Ws::v1(&server, &bob, "/ws/chat/");
    eventually("bob is online", || online(&server).then_some(()));
    server.kill_and_restart();
    assert!(!online(&server));
}

#[test]
fn a_topic_can_be_muted_and_heard_again() {
    let server = Server::start();
    let users = server.users(&["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = &users[..] else { unreachable!() };
    let conversation = server.matched(alice, bob);
    let mut ws = Ws::v1(&server, alice, "/ws/chat/");
    let mut other = Ws::v1(&server, alice, "/ws/chat/");
    let mut bob_chat = Ws::v1(&server, bob, "/ws/chat/");
    let say = |ws: &mut Ws| {
        ws.say(&json!({"type": "message", "content": "m", "conversation_id": conversation}))
    };
    let like = |user: &User| {
        let body = json!({"user_id": alice.id});
        let answer = server.ask("POST", "/api/v1/matching/like/", &user.token, Some(&body));
        assert_eq!(answer.status, 201);
    };
    let told = subscribe(&mut ws, "unsubscribe", "message_notifications", &[]);
    assert_eq!(told, json!({"type": "unsubscribed", "subscription_type": "message_notifications"}));
    say(&mut bob_chat);
    other.expect("new_message");
    ws.expect_nothing();
    like(carol);
    ws.expect("new_like");
    other.expect("new_like");
    subscribe(&mut ws, "unsubscribe", "match_notifications", &[]);
    let told = subscribe(&mut ws, "subscribe", "message_notifications", &[]);
    assert_eq!(told, json!({"type": "subscribed", "subscription_type": "message_notifications"}));
    like(dave);
    other.expect("new_like");
    say(&mut bob_chat);
    assert_eq!(ws.expect("new_message")["conversation_id"], conversation);
    // The echo of one's own message is an answer, and no notice.
    subscribe(&mut ws, "unsubscribe", "message_notifications", &[]);
    ws.send(&json!({"type": "message", "content": "own", "conversation_id": conversation}));
    ws.expect("message");
    subscribe(&mut ws, "unsubscribe", "system_alerts", &[]);
    ws.expect_nothing();
    // Only a chat socket has subscriptions.
    let mut there = Ws::v1(&server, alice, &format!("/ws/conversations/{conversation}/"));
    there.send(&json!({"type": "subscribe", "subscription_type": "system_alerts"}));
    there.expect_error("invalid_command");
}
