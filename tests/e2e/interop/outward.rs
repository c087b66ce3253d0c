//! What happens on our servers reaches consumers of Django's, under names that they have handlers for.

use serde_json::{Value, json};

use crate::python::Python;
use crate::support::users::Pair;
use crate::support::{User, Ws};
use crate::world::{CORE, Layer, PUBSUB, SECRET_CORE, SECRET_PUBSUB, World};

#[test]
fn our_events_reach_consumers_by_redis_pubsub() {
    events_reach_consumers(PUBSUB);
}

#[test]
fn our_events_reach_consumers_by_redis_core() {
    events_reach_consumers(CORE);
}

#[test]
fn our_encrypted_events_reach_consumers_by_redis_pubsub() {
    events_reach_consumers(SECRET_PUBSUB);
}

#[test]
fn our_encrypted_events_reach_consumers_by_redis_core() {
    events_reach_consumers(SECRET_CORE);
}

/// Real consumers, each in one group, and what each of them heard.
struct Consumers {
    python: Python,
    names: Vec<(String, String)>,
    heard: usize,
}

impl Consumers {
    fn start(world: &World, groups: &[(&str, String)]) -> Self {
        let asked =
            groups.iter().map(|(name, group)| ((*name).to_owned(), json!([group]))).collect();
        let python = world.python("listen.py", &json!({"consumers": Value::Object(asked)}));
        let names =
            groups.iter().map(|(name, group)| ((*name).to_owned(), group.clone())).collect();
        Self { python, names, heard: 0 }
    }

    /// What consumers hear next, one event by each of these handlers of theirs, in any order: no order between groups is promised.
    /// Of whoever comes online they hear at moments of its own; that is left out where it is not what is waited for. The events
    /// without what only servers of ours look at.
    fn hear<const N: usize>(&mut self, expected: [(&str, &str); N]) -> [Value; N] {
        let mut events = [const { Value::Null }; N];
        while events.contains(&Value::Null) {
            let told = self.python.answer();
            assert_eq!(told["died"], Value::Null, "{told}");
            let is_it = |(name, handler): &(&str, &str)| {
                told["consumer"] == *name && told["handler"] == *handler
            };
            let Some(place) = expected.iter().position(is_it) else {
                assert_eq!(told["handler"], "user_status", "{told}, where {expected:?} was due");
                continue;
            };
            let mut event = told["event"].clone();
            assert_eq!(event["type"].as_str().unwrap().replace('.', "_"), expected[place].1);
            event.as_object_mut().unwrap().remove("fortifun").expect("it says who sent it");
            assert_eq!(std::mem::replace(&mut events[place], event), Value::Null, "twice: {told}");
            self.heard += 1;
        }
        events
    }

    /// All of them live, and have nothing left to say.
    fn expect_alive(&mut self, world: &World) {
        let mut speaker = world.python("speak.py", &json!({}));
        for (name, group) in self.names.clone() {
            let end = json!({"type": "send_notification", "end": name});
            speaker.send(&group, &end);
            loop {
                let told = self.python.answer();
                assert_eq!(told["died"], Value::Null, "{told}");
                if told["handler"] != "user_status" {
                    let expected =
                        json!({"consumer": name, "handler": "send_notification", "event": end});
                    assert_eq!(told, expected);
                    break;
                }
            }
        }
    }
}

fn group_of(user: &User) -> String {
    format!("user_{}_notifications", user.id)
}

fn events_reach_consumers(layer: Layer) {
    let world = World::new(layer);
    let nodes = &world.nodes;
    let Pair { alice, bob, conversation } = nodes[0].pair();
    let users = nodes[0].users(&["carol", "dave"]);
    let [carol, dave] = &users[..] else { unreachable!() };
    let mut consumers = Consumers::start(
        &world,
        &[
            ("alice", group_of(&alice)),
            ("bob", group_of(&bob)),
            ("carol", group_of(carol)),
            ("dave", group_of(dave)),
            ("room", format!("chat_{conversation}")),
            ("watch", format!("presence_{}", bob.id)),
            ("all", "general_chat_notifications".to_owned()),
        ],
    );

    // Somebody comes.
    let mut bob_chat = Ws::v1(&nodes[1], &bob, "/ws/chat/");
    for status in consumers.hear([("room", "user_status"), ("watch", "user_status")]) {
        assert_eq!((&status["user_id"], &status["status"]), (&json!(bob.id), &json!("online")));
        assert_eq!((&status["username"], &status["is_online"]), (&json!("bob"), &json!(true)));
    }

    // Says something, each on another server.
    let path = format!("/ws/conversations/{conversation}/");
    for (node, speaker, other) in [(0, &alice, "bob"), (1, &bob, "alice")] {
        let mut ws = Ws::v1(&nodes[node], speaker, &path);
        ws.send(&json!({"type": "message", "content": "Hé 😀", "client_id": format!("c-{node}")}));
        let message = ws.until("message")["message"].clone();
        let told = consumers.hear([("room", "chat_message"), (other, "new_message")]);
        assert_eq!(told[0], json!({"type": "chat_message", "message": message}));
        assert_eq!(
            told[1],
            json!({"type": "new_message", "conversation_id": conversation,
            "message": message})
        );
    }

    // Types, and reads.
    for is_typing in [true, false] {
        bob_chat.send(&json!({"type": "typing", "conversation_id": conversation,
            "is_typing": is_typing}));
        let [told] = consumers.hear([("room", "user_typing")]);
        assert_eq!(
            told,
            json!({"type": "user_typing", "conversation_id": conversation,
            "user_id": bob.id, "username": "bob", "is_typing": is_typing})
        );
    }
    let history = format!("/api/v1/conversations/{conversation}/messages/");
    let message = nodes[0].json(&history, &bob.token)[1]["id"].clone();
    bob_chat.send(&json!({"type": "read_receipt", "conversation_id": conversation,
        "message_id": message}));
    let [told] = consumers.hear([("room", "read_receipt")]);
    assert_eq!((&told["message_id"], &told["username"]), (&message, &json!("bob")));

    // Likes, and is liked.
    let like = |node: usize, user: &User, other: &User| {
        let body = json!({"user_id": other.id});
        let answer = nodes[node].ask("POST", "/api/v1/matching/like/", &user.token, Some(&body));
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["match"].clone()
    };
    like(0, carol, dave);
    let [told] = consumers.hear([("dave", "notification")]);
    let liker = json!({"id": carol.id, "username": "carol", "profile_picture": null});
    assert_eq!(
        told,
        json!({"type": "notification",
        "notification": {"type": "new_like", "liker": liker}})
    );
    let made = like(1, dave, carol);
    let [to_carol, to_dave, welcome] = consumers.hear([
        ("carol", "match_notification"),
        ("dave", "match_notification"),
        ("carol", "new_message"),
    ]);
    for (event, other) in [(to_carol, "dave"), (to_dave, "carol")] {
        assert_eq!(event["data"]["type"], "new_match");
        assert_eq!(event["data"]["match"]["id"], made["id"]);
        assert_eq!(event["data"]["match"]["user"]["username"], other, "each sees the other");
    }
    // The welcome is news for the one who did not complete the match.
    assert_eq!(welcome["message"]["sender"]["username"], "dave");

    // Begins a conversation.
    let body = json!({"participant_id": dave.id, "message": "Salut"});
    let answer = nodes[0].ask("POST", "/api/v1/conversations/", &alice.token, Some(&body));
    assert_eq!(answer.status, 201, "{answer:?}");
    let [own, update, news] = consumers.hear([
        ("alice", "conversation_update"),
        ("dave", "conversation_update"),
        ("dave", "new_message"),
    ]);
    for told in [own, update] {
        assert_eq!(told["event"], "conversation.create");
        assert_eq!(told["data"]["id"], answer.json()["id"]);
    }
    assert_eq!(news["message"]["content"], "Salut");

    // Orders between servers, and what only our own sockets hear, end no consumer.
    let block = json!({"user_id": bob.id});
    for what in ["block", "unblock"] {
        let path = format!("/api/v1/matching/{what}/");
        assert_eq!(nodes[0].ask("POST", &path, &alice.token, Some(&block)).status, 200);
    }
    consumers.expect_alive(&world);
    println!(
        "{layer:?}: {} events of ours handled by Django's consumers, none ended",
        consumers.heard
    );
}
