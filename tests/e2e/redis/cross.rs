//! What is said on one node is heard on the others.

use serde_json::{Value, json};

use crate::cluster::{CORE, Cluster, PUBSUB, hear};
use crate::support::users::Pair;
use crate::support::{Got, Server, User, Ws, eventually};

#[test]
fn events_of_every_kind_cross_nodes_by_pubsub() {
    every_kind_crosses(&Cluster::start(PUBSUB, 2));
}

#[test]
fn events_of_every_kind_cross_nodes_by_core() {
    every_kind_crosses(&Cluster::start(CORE, 2));
}

#[test]
fn events_of_every_kind_cross_nodes_by_a_redis_cluster() {
    every_kind_crosses(&Cluster::over_redis_cluster(2));
}

#[test]
fn what_is_said_on_three_nodes_at_once_is_heard_in_one_order_by_pubsub() {
    all_hear_one_order(&Cluster::start(PUBSUB, 3));
}

#[test]
fn what_is_said_on_three_nodes_at_once_is_heard_in_one_order_by_core() {
    all_hear_one_order(&Cluster::start(CORE, 3));
}

fn every_kind_crosses(cluster: &Cluster) {
    let [here, there] = cluster.two();
    let Pair { alice, bob, conversation } = here.pair();
    let path = format!("/ws/conversations/{conversation}/");
    let mut watcher = Ws::v1(here, &alice, "/ws/chat/");
    watcher.hears_presence = true;
    watcher.send(&json!({"type": "subscribe", "subscription_type": "user_status",
        "user_ids": [bob.id]}));
    watcher.until("subscribed");
    assert_eq!(watcher.until("user_status")["is_online"], false);
    // Presence is told at most once, and a node listens a moment after its first session came.
    let mut bobs_chat = eventually("bob is told to be online", || {
        let ws = Ws::v1(there, &bob, "/ws/chat/");
        loop {
            match watcher.got_within(std::time::Duration::from_secs(2)) {
                Some(Got::Event(event)) if event["type"] == "user_status" => {
                    if event["user_id"] == bob.id && event["is_online"] == true {
                        return Some(ws);
                    }
                }
                Some(Got::Event(_)) => {}
                None => return None,
                other => panic!("{other:?}"),
            }
        }
    });
    let mut alices = Ws::v1(here, &alice, &path);
    let mut bobs = Ws::v1(there, &bob, &path);
    let mut bobs_notices = Ws::v1(there, &bob, "/ws/notifications/");
    let said = json!({"type": "message", "content": "Salut !", "client_id": "one"});
    alices.send(&said);
    let message = alices.until("message");
    assert_eq!(message["message"]["client_id"], "one");
    assert_eq!(bobs.until("message"), message, "one and the same for all");
    for ws in [&mut bobs_chat, &mut bobs_notices, &mut watcher] {
        let mut told = ws.until("new_message");
        if told["message"]["seq"] == 1 {
            // The welcome, of which a chat socket may be told that came right after it.
            told = ws.until("new_message");
        }
        assert_eq!(told["message"], message["message"]);
        assert_eq!(told["conversation_id"], conversation);
    }
    typing_crosses(&mut alices, [&mut bobs, &mut bobs_chat], &alice);
    let id = &message["message"]["id"];
    bobs.send(&json!({"type": "read_receipt", "message_id": id}));
    for ws in [&mut alices, &mut bobs] {
        let receipt = ws.until("read_receipt");
        assert_eq!((&receipt["message_id"], &receipt["user_id"]), (id, &json!(bob.id)));
    }
    a_match_crosses(here, there);
}

/// Typing is told at most once: so it is shown until it is seen.
fn typing_crosses(typist: &mut Ws, watchers: [&mut Ws; 2], user: &User) {
    for ws in watchers {
        let event = eventually("typing is seen", || {
            typist.send(&json!({"type": "typing", "is_typing": true}));
            match ws.got_within(std::time::Duration::from_millis(500))? {
                Got::Event(event) => (event["type"] == "typing").then_some(event),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(event["user_id"], user.id);
        assert_eq!(event["is_typing"], true);
    }
}

fn a_match_crosses(here: &Server, there: &Server) {
    let users = here.users(&["carol", "dave"]);
    let (carol, dave) = (&users[0], &users[1]);
    // Each hears of it on another node than that where they liked.
    let mut carols = Ws::v1(there, carol, "/ws/notifications/");
    let mut daves = Ws::v1(here, dave, "/ws/notifications/");
    let like = |node: &Server, liker: &User, liked: &User| {
        let body = json!({ "user_id": liked.id });
        let answer = node.ask("POST", "/api/v1/matching/like/", &liker.token, Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    };
    assert_eq!(like(here, carol, dave)["is_match"], false);
    assert_eq!(daves.until("new_like")["data"]["liker"]["id"], carol.id);
    let matched = like(there, dave, carol);
    assert_eq!(matched["is_match"], true);
    for (ws, other) in [(&mut carols, dave), (&mut daves, carol)] {
        let told = ws.until("new_match");
        assert_eq!(told["data"]["match"]["user"]["id"], other.id, "{told}");
        assert_eq!(told["data"]["match"]["id"], matched["match"]["id"]);
    }
}

fn all_hear_one_order(cluster: &Cluster) {
    // Fewer in all than a node holds back for an earlier one.
    const EACH: u64 = 20;
    let nodes: Vec<&Server> = cluster.nodes.iter().collect();
    let Pair { alice, bob, conversation } = nodes[0].pair();
    let path = format!("/ws/conversations/{conversation}/");
    let speakers: Vec<(Ws, &User)> = [(0, &alice), (1, &bob), (2, &alice)]
        .map(|(node, user)| (Ws::v1(nodes[node], user, &path), user))
        .into();
    let mut chats: Vec<Ws> = [(2, &bob), (0, &bob), (1, &alice)]
        .map(|(node, user)| Ws::v1(nodes[node], user, "/ws/chat/"))
        .into();
    std::thread::scope(|scope| {
        for (nth, (mut ws, _)) in speakers.into_iter().enumerate() {
            scope.spawn(move || {
                for n in 0..EACH {
                    let client_id = format!("{nth}-{n}");
                    ws.send(&json!({"type": "message", "content": "x", "client_id": client_id}));
                }
                // The welcome came before.
                hear(&mut ws, 2, 1 + 3 * EACH);
                ws.expect_nothing();
            });
        }
        for ws in &mut chats {
            scope.spawn(move || {
                hear(ws, 2, 1 + 3 * EACH);
                ws.expect_nothing();
            });
        }
    });
    let stored: Vec<Value> = nodes[0].history(conversation, &alice);
    assert_eq!(stored.len() as u64, 1 + 3 * EACH);
}
