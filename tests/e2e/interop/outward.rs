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

    /// What `consumers` hear next, in any order: each one event for this handler. Of whoever comes online they hear at moments
    /// of its own; that is left out where it is not what they wait for. The events without what only servers of ours look at.
    fn hear(&mut self, consumers: &[&str], handler: &str) -> Vec<Value> {
        let mut events = vec![None; consumers.len()];
        while events.contains(&None) {
            let told = self.python.answer();
            assert_eq!(told["died"], Value::Null, "{told}");
            if told["handler"] == "user_status" && handler != "user_status" {
                continue;
            }
            assert_eq!(told["handler"], handler, "{told}");
            let place = consumers.iter().position(|name| told["consumer"] == *name);
            let place = place.unwrap_or_else(|| panic!("nothing for it: {told}"));
            let mut event = told["event"].clone();
            assert_eq!(event["type"].as_str().unwrap().replace('.', "_"), handler);
            event.as_object_mut().unwrap().remove("fortifun").expect("it says who sent it");
            assert!(events[place].replace(event).is_none(), "twice: {told}");
            self.heard += 1;
        }
        events.into_iter().flatten().collect()
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
    for status in consumers.hear(&["room", "watch"], "user_status") {
        assert_eq!((&status["user_id"], &status["status"]), (&json!(bob.id), &json!("online")));
        assert_eq!((&status["username"], &status["is_online"]), (&json!("bob"), &json!(true)));
    }

    // Says something, which both servers may have been asked to tell.
    let path = format!("/ws/conversations/{conversation}/");
    for (node, speaker, other) in [(0, &alice, "bob"), (1, &bob, "alice")] {
        let mut ws = Ws::v1(&nodes[node], speaker, &path);
        ws.send(&json!({"type": "message", "content": "Hé 😀", "client_id": format!("c-{node}")}));
        let message = ws.until("message")["message"].clone();
        let told = heard_both(&mut consumers, ("room", "chat_message"), (other, "new_message"));
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
        let told = consumers.hear(&["room"], "user_typing").remove(0);
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
    let told = consumers.hear(&["room"], "read_receipt").remove(0);
    assert_eq!((&told["message_id"], &told["username"]), (&message, &json!("bob")));

    // Likes, and is liked.
    let like = |node: usize, user: &User, other: &User| {
        let body = json!({"user_id": other.id});
        let answer = nodes[node].ask("POST", "/api/v1/matching/like/", &user.token, Some(&body));
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["match"].clone()
    };
    like(0, carol, dave);
    let told = consumers.hear(&["dave"], "notification").remove(0);
    let liker = json!({"id": carol.id, "username": "carol", "profile_picture": null});
    assert_eq!(
        told,
        json!({"type": "notification",
        "notification": {"type": "new_like", "liker": liker}})
    );
    let made = like(1, dave, carol);
    let told = consumers.hear(&["carol", "dave"], "match_notification");
    for (event, other) in told.iter().zip(["dave", "carol"]) {
        assert_eq!(event["data"]["type"], "new_match");
        assert_eq!(event["data"]["match"]["id"], made["id"]);
        assert_eq!(event["data"]["match"]["user"]["username"], other, "each sees the other");
    }
    // The welcome is news for the one who did not complete the match.
    let told = consumers.hear(&["carol"], "new_message").remove(0);
    assert_eq!(told["message"]["sender"]["username"], "dave");

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

/// One event for each of two consumers, in whatever order they come.
fn heard_both(consumers: &mut Consumers, one: (&str, &str), other: (&str, &str)) -> [Value; 2] {
    // They are in groups of their own, and no order between groups is promised.
    let mut found = [Value::Null, Value::Null];
    while found.contains(&Value::Null) {
        let told = consumers.python.answer();
        assert_eq!(told["died"], Value::Null, "{told}");
        if told["handler"] == "user_status" {
            continue;
        }
        let place = [one, other]
            .iter()
            .position(|(name, handler)| told["consumer"] == *name && told["handler"] == *handler);
        let place = place.unwrap_or_else(|| panic!("neither {one:?} nor {other:?}: {told}"));
        let mut event = told["event"].clone();
        event.as_object_mut().unwrap().remove("fortifun").expect("it says who sent it");
        assert_eq!(std::mem::replace(&mut found[place], event), Value::Null, "twice: {told}");
        consumers.heard += 1;
    }
    found
}
