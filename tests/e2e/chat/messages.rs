//! A message: who hears of it in which form, and that it is stored once.

use serde_json::{Value, json};

use crate::support::server::UNLIMITED;
use crate::support::users::Pair;
use crate::support::{Got, Server, Ws};

fn message(content: &str) -> Value {
    json!({"type": "message", "content": content})
}

#[test]
fn hello_comes_first_and_only_to_those_who_know_it() {
    let server = Server::start();
    let Pair { alice, conversation, .. } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    for path in ["/ws/chat/", "/ws/notifications/", path.as_str()] {
        let (_ws, hello) = Ws::v1_with_hello(&server, &alice, path);
        assert_eq!(hello["user_id"], alice.id);
        assert_eq!(hello["heartbeat_interval_ms"], 25_000);
        assert_eq!(hello["limits"], json!({"message_bytes": 65_536, "messages_per_second": 5}));
        assert!(!hello["connection_id"].as_str().unwrap().is_empty());
        for time in ["server_time", "token_expires_at"] {
            assert!(hello[time].as_str().unwrap().ends_with('Z'), "{hello}");
        }
        let place = json!({"id": conversation, "last_seq": 1});
        let expected = if path.contains("conversations") { place } else { Value::Null };
        assert_eq!(hello["conversation"], expected, "{path}");
        Ws::plain(&server, &alice, path).expect_nothing();
    }
}

#[test]
fn a_message_in_a_conversation_reaches_every_socket_in_its_form() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut here = Ws::v1(&server, &alice, &path);
    let mut alice_chat = Ws::v1(&server, &alice, "/ws/chat/");
    let alice_notes = Ws::v1(&server, &alice, "/ws/notifications/");
    let mut there = Ws::plain(&server, &bob, &path);
    let mut bob_chat = Ws::plain(&server, &bob, "/ws/chat/");
    let mut bob_notes = Ws::v1(&server, &bob, "/ws/notifications/");
    here.send(&json!({"type": "message", "content": "  Hello, Bob ☺ \n", "client_id": "c-1",
        "attachment": "https://cdn.test/a.png", "ref": "r-1"}));
    let echo = here.expect("message");
    let told = &echo["message"];
    assert_eq!(told["content"], "Hello, Bob ☺");
    assert_eq!(told["seq"], 2);
    assert_eq!(told["conversation_id"], conversation);
    assert_eq!(
        told["sender"],
        json!({"id": alice.id, "username": "alice", "profile_picture": null})
    );
    assert_eq!(told["is_read"], false);
    assert_eq!(told["attachment"], "https://cdn.test/a.png");
    assert_eq!(told["client_id"], "c-1");
    let ack = here.expect("ack");
    assert_eq!(
        ack,
        json!({"type": "ack", "ref": "r-1", "message_id": told["id"], "seq": 2, "duplicate": false,
            "conversation_id": conversation, "created_at": told["created_at"]})
    );
    assert_eq!(there.expect("message"), echo, "one and the same frame for all");
    let news = json!({"type": "new_message", "conversation_id": conversation, "message": told});
    assert_eq!(bob_chat.expect("new_message"), news);
    assert_eq!(bob_notes.expect("new_message"), news);
    assert_eq!(alice_chat.expect("new_message"), news, "a second device keeps up");
    for mut quiet in [here, there, alice_chat, alice_notes, bob_chat, bob_notes] {
        quiet.expect_nothing();
    }
    let history = server.json(&format!("/api/v1{}messages/", &path[3..]), &bob.token);
    assert_eq!(history.as_array().unwrap().len(), 2);
    assert_eq!(&history[1], told, "REST shows it as the socket did");
}

#[test]
fn a_message_on_the_chat_socket_is_echoed_to_its_session_and_news_to_the_others() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut chat = Ws::v1(&server, &alice, "/ws/chat/");
    let mut second = Ws::v1(&server, &alice, "/ws/chat/");
    let mut own = Ws::v1(&server, &alice, &path);
    let mut bob_chat = Ws::v1(&server, &bob, "/ws/chat/");
    let mut there = Ws::v1(&server, &bob, &path);
    let mut command = message("from the chat socket");
    command["conversation_id"] = conversation.into();
    chat.send(&command);
    let echo = chat.expect("message");
    assert_eq!(echo["message"]["client_id"], Value::Null);
    assert_eq!(own.expect("message"), echo);
    assert_eq!(there.expect("message"), echo);
    assert_eq!(second.expect("new_message")["message"], echo["message"]);
    assert_eq!(bob_chat.expect("new_message")["message"], echo["message"]);
    for mut quiet in [chat, second, own, bob_chat, there] {
        quiet.expect_nothing();
    }
}

#[test]
fn one_chat_socket_serves_several_conversations() {
    let server = Server::start();
    let users = server.users(&["alice", "bob", "carol"]);
    let [alice, bob, carol] = &users[..] else { unreachable!() };
    let with_bob = server.matched(alice, bob);
    let with_carol = server.matched(alice, carol);
    let mut chat = Ws::v1(&server, alice, "/ws/chat/");
    let mut bob_chat = Ws::v1(&server, bob, "/ws/chat/");
    let mut carol_chat = Ws::v1(&server, carol, "/ws/chat/");
    for (conversation, content) in [(with_bob, "to bob"), (with_carol, "to carol")] {
        chat.say(&json!({"type": "message", "content": content, "conversation_id": conversation}));
    }
    let heard = |ws: &mut Ws| ws.expect("new_message")["message"]["content"].clone();
    assert_eq!(heard(&mut bob_chat), "to bob");
    assert_eq!(heard(&mut carol_chat), "to carol");
    bob_chat.expect_nothing();
    carol_chat.expect_nothing();
    bob_chat.say(&json!({"type": "message", "content": "b", "conversation_id": with_bob}));
    carol_chat.say(&json!({"type": "message", "content": "c", "conversation_id": with_carol}));
    let mut from: Vec<_> = (0..2).map(|_| heard(&mut chat).to_string()).collect();
    from.sort();
    assert_eq!(from, [r#""b""#, r#""c""#]);
}

#[test]
fn the_first_clients_spelling_is_a_message() {
    let server = Server::start();
    let Pair { alice, conversation, .. } = server.pair();
    let mut ws = Ws::plain(&server, &alice, &format!("/ws/conversations/{conversation}/"));
    ws.send(&json!({"type": "chat_message", "message": "as Django's page says it"}));
    assert_eq!(ws.expect("message")["message"]["content"], "as Django's page says it");
    ws.send(&json!({"type": "chat_message", "content": "no message"}));
    ws.expect_error("invalid_field");
}

#[test]
fn a_client_id_is_stored_once_for_ever_wherever_it_comes_again() {
    let mut server = Server::with(UNLIMITED);
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let command = json!({"type": "message", "content": "once", "client_id": "id-1"});
    let stored = {
        let mut ws = Ws::v1(&server, &alice, &path);
        ws.send(&command);
        let first = ws.expect("message")["message"].clone();
        let mut there = Ws::v1(&server, &bob, &path);
        // The same from the same socket, with another content.
        let mut again = command.clone();
        again["content"] = "twice".into();
        again["ref"] = "r".into();
        ws.send(&again);
        let duplicate = ws.expect("message");
        assert_eq!(duplicate["duplicate"], true);
        assert_eq!(duplicate["message"], first);
        let ack = ws.expect("ack");
        assert_eq!((&ack["duplicate"], &ack["seq"]), (&json!(true), &first["seq"]));
        there.expect_nothing();
        // The other's word is the other's.
        there.send(&command);
        assert_eq!(there.expect("message")["message"]["seq"], 3);
        first
    };
    server.kill_and_restart();
    let mut chat = Ws::v1(&server, &alice, "/ws/chat/");
    let mut on_chat = command.clone();
    on_chat["conversation_id"] = conversation.into();
    chat.send(&on_chat);
    assert_eq!(chat.expect("message")["message"], stored);
    chat.expect_nothing();
    let messages = format!("/api/v1/conversations/{conversation}/messages/");
    let body = json!({"content": "once more", "client_id": "id-1"});
    let answer = server.ask("POST", &messages, &alice.token, Some(&body));
    assert_eq!((answer.status, answer.json()), (201, stored));
    assert_eq!(server.json(&messages, &alice.token).as_array().unwrap().len(), 3);
}

#[test]
fn writers_in_one_conversation_are_heard_by_all_in_one_order() {
    const EACH: usize = 60;
    let server = Server::with(UNLIMITED);
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut ears: Vec<_> =
        [&alice, &bob, &alice, &bob].map(|user| Ws::v1(&server, user, &path)).into();
    std::thread::scope(|scope| {
        for user in [&alice, &bob] {
            let mut mouth = Ws::plain(&server, user, &path);
            scope.spawn(move || {
                for number in 0..EACH {
                    let content = format!("{} {number}", user.name);
                    let command = json!({"type": "message", "content": content});
                    // Ten at a time, and then what comes of them.
                    mouth.send(&command);
                    if number % 10 == 9 {
                        mouth.drain();
                    }
                }
            });
        }
    });
    let heard: Vec<Vec<Value>> = ears
        .iter_mut()
        .map(|ear| (0..2 * EACH).map(|_| ear.expect("message")["message"].clone()).collect())
        .collect();
    for (place, told) in heard[0].iter().enumerate() {
        assert_eq!(told["seq"], place + 2);
    }
    for other in &heard[1..] {
        assert_eq!(*other, heard[0]);
    }
    let of_alice: Vec<_> = heard[0]
        .iter()
        .filter(|told| told["sender"]["username"] == "alice")
        .map(|told| told["content"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<_> = (0..EACH).map(|number| format!("alice {number}")).collect();
    assert_eq!(of_alice, expected, "a writer's own order stands");
}

#[test]
fn whoever_is_not_in_a_conversation_says_nothing_there() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let others = server.users(&["carol", "dave"]);
    let elsewhere = server.matched(&others[0], &others[1]);
    let mut carol = Ws::v1(&server, &others[0], "/ws/chat/");
    let mut there = Ws::v1(&server, &bob, &format!("/ws/conversations/{conversation}/"));
    for (id, code) in [(conversation, "forbidden"), (conversation + 1_000, "not_found")] {
        for command in [
            json!({"type": "message", "content": "hi", "conversation_id": id, "ref": "r",
                "client_id": "c"}),
            json!({"type": "typing", "is_typing": true, "conversation_id": id, "ref": "r"}),
            json!({"type": "read_receipt", "message_id": 1, "conversation_id": id, "ref": "r"}),
            json!({"type": "resume", "after": {id.to_string(): 0}, "ref": "r"}),
        ] {
            carol.send(&command);
            let error = carol.expect_error(code);
            assert_eq!(error["ref"], "r", "{command}");
            assert_eq!(error["temporary"], false);
            let is_message = command["type"] == "message";
            assert_eq!(error["client_id"], if is_message { json!("c") } else { Value::Null });
        }
    }
    // A conversation's socket serves that conversation.
    let mut own = Ws::v1(&server, &others[0], &format!("/ws/conversations/{elsewhere}/"));
    for kind in [
        json!({"type": "message", "content": "hi"}),
        json!({"type": "typing", "is_typing": true}),
        json!({"type": "read_receipt", "message_id": 1}),
        json!({"type": "resume", "after_seq": 0}),
    ] {
        let mut command = kind;
        command["conversation_id"] = conversation.into();
        own.send(&command);
        own.expect_error("forbidden");
    }
    there.expect_nothing();
    let history = format!("/api/v1/conversations/{conversation}/messages/");
    assert_eq!(server.json(&history, &alice.token).as_array().unwrap().len(), 1);
}

#[test]
fn a_socket_for_notices_takes_ping_and_auth_alone() {
    let server = Server::start();
    let Pair { alice, conversation, .. } = server.pair();
    let mut ws = Ws::v1(&server, &alice, "/ws/notifications/");
    for command in [
        json!({"type": "message", "content": "hi", "conversation_id": conversation}),
        json!({"type": "typing", "is_typing": true, "conversation_id": conversation}),
        json!({"type": "read_receipt", "message_id": 1, "conversation_id": conversation}),
        json!({"type": "resume", "after": {conversation.to_string(): 0}}),
        json!({"type": "subscribe", "subscription_type": "match_notifications"}),
        json!({"type": "unsubscribe", "subscription_type": "match_notifications"}),
    ] {
        ws.send(&command);
        ws.expect_error("invalid_command");
    }
    ws.send(&json!({"type": "ping", "ref": "p"}));
    let pong = ws.expect("pong");
    assert!(pong["timestamp"].as_str().unwrap().ends_with('Z'), "{pong}");
    assert_eq!(ws.expect("ack")["ref"], "p");
    ws.send(&json!({"type": "ping", "timestamp": 1_704_067_200_123_i64}));
    assert_eq!(ws.expect("pong")["timestamp"], 1_704_067_200_123_i64);
    ws.send(&json!({"type": "auth", "token": alice.token}));
    ws.expect("auth_ok");
}

#[test]
fn leaving_ends_a_conversation_for_both() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut sockets = [&alice, &bob].map(|user| Ws::v1(&server, user, &path));
    let mut chat = Ws::v1(&server, &bob, "/ws/chat/");
    let leave = format!("/api/v1/conversations/{conversation}/leave/");
    assert_eq!(server.ask("DELETE", &leave, &alice.token, None).status, 200);
    for ws in &mut sockets {
        assert_eq!(ws.closed(), 4404);
    }
    chat.send(&json!({"type": "message", "content": "?", "conversation_id": conversation}));
    let error = chat.expect("error");
    assert!(["not_found", "forbidden"].contains(&error["code"].as_str().unwrap()), "{error}");
    for user in [&alice, &bob] {
        assert_eq!(server.json("/api/v1/conversations/", &user.token), json!([]));
        let path = format!("/api/v1{}", &path[3..]);
        let answer = server.ask("GET", &path, &user.token, None);
        assert_eq!((answer.status, answer.code().as_str()), (404, "conversation_not_found"));
        assert_eq!(
            Ws::v1_token(&server, &user.token, &format!("/ws{}", &path[7..])).closed(),
            4404
        );
    }
}

#[test]
fn a_block_silences_both_and_closes_the_blocked_ones_socket() {
    let server = Server::start();
    let Pair { alice, bob, conversation } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut blocker = Ws::v1(&server, &alice, &path);
    let mut blocked = Ws::v1(&server, &bob, &path);
    let mut blocked_chat = Ws::v1(&server, &bob, "/ws/chat/");
    let matching = |what: &str, user: &crate::support::User, id: i64| {
        let body = json!({"user_id": id});
        server.ask("POST", &format!("/api/v1/matching/{what}/"), &user.token, Some(&body)).status
    };
    assert_eq!(matching("block", &alice, bob.id), 200);
    assert_eq!(blocked.closed(), 4403);
    blocker.send(&message("to nobody"));
    blocker.expect_error("forbidden");
    blocker.send(&json!({"type": "typing", "is_typing": true}));
    blocker.expect_error("forbidden");
    blocked_chat.send(&json!({"type": "message", "content": "?", "conversation_id": conversation}));
    blocked_chat.expect_error("forbidden");
    let history = format!("/api/v1/conversations/{conversation}/messages/");
    let body = json!({"content": "by REST"});
    assert_eq!(server.ask("POST", &history, &bob.token, Some(&body)).status, 403);
    let matches = server.json("/api/v1/matching/matches/", &alice.token);
    assert_eq!(matches["count"], 0, "a block ends the match");
    // The blocked one's presence is hidden from the blocker, and the other way about.
    let mut watcher = Ws::v1(&server, &bob, "/ws/chat/");
    watcher.send(&json!({"type": "subscribe", "subscription_type": "user_status",
        "user_ids": [alice.id]}));
    assert_eq!(watcher.expect("subscribed")["user_ids"], json!([]));
    assert_eq!(matching("unblock", &alice, bob.id), 200);
    blocker.send(&message("again"));
    blocker.expect("message");
    assert_eq!(server.json(&history, &alice.token).as_array().unwrap().len(), 2);
}

#[test]
fn binaries_are_refused_and_a_text_may_come_in_pieces() {
    use tungstenite::Message;
    use tungstenite::protocol::frame::Frame;
    use tungstenite::protocol::frame::coding::{Data, OpCode};

    let server = Server::start();
    let Pair { alice, conversation, .. } = server.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut ws = Ws::v1(&server, &alice, &path);
    let text = json!({"type": "message", "content": "in pieces ☺"}).to_string();
    let pieces: Vec<_> = text.as_bytes().chunks(7).collect();
    for (place, piece) in pieces.iter().enumerate() {
        let opcode = if place == 0 { Data::Text } else { Data::Continue };
        let is_last = place + 1 == pieces.len();
        let frame = Frame::message(piece.to_vec(), OpCode::Data(opcode), is_last);
        assert!(ws.try_send(Message::Frame(frame)));
        assert!(ws.try_send(Message::Ping(vec![1].into())), "control frames may come between");
    }
    assert_eq!(ws.expect("message")["message"]["content"], "in pieces ☺");
    ws.send_binary(text.as_bytes());
    assert!(matches!(ws.got(), Got::Closed(1003, _)));
}
