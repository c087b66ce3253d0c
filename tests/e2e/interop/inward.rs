//! What Django publishes reaches the sockets of both servers, in the words that clients know.

use fortifun_fixtures::django;
use postgres::Client;
use serde_json::{Value, json};

use crate::python::Python;
use crate::support::users::Pair;
use crate::world::{CORE, Ear, Layer, PUBSUB, SECRET_CORE, SECRET_PUBSUB, World};

#[test]
fn events_of_django_reach_sockets_by_redis_pubsub() {
    events_reach_sockets(PUBSUB);
}

#[test]
fn events_of_django_reach_sockets_by_redis_core() {
    events_reach_sockets(CORE);
}

#[test]
fn encrypted_events_of_django_reach_sockets_by_redis_pubsub() {
    events_reach_sockets(SECRET_PUBSUB);
}

#[test]
fn encrypted_events_of_django_reach_sockets_by_redis_core() {
    events_reach_sockets(SECRET_CORE);
}

/// An event for a group, and the frame that its sockets get; `None` where they get none.
type Case = (String, Value, Option<Value>);

fn events_reach_sockets(layer: Layer) {
    let world = World::new(layer);
    let pair = world.nodes[0].pair();
    let speaker = world.python("speak.py", &json!({}));
    let mut scene = Scene { ears: ears(&world, &pair), speaker, events: 0, frames: 0 };
    for ear in &mut scene.ears {
        ear.wait(&mut scene.speaker);
    }
    for case in cases(&pair) {
        scene.tell(&case);
    }
    tell_messages(&mut scene, &mut world.database.connect(), &pair);
    // Nobody got anything else.
    for group in groups(&pair) {
        let end = json!({"type": "end", "of": group});
        scene.tell(&(group, end.clone(), Some(end)));
    }
    let Scene { events, frames, .. } = scene;
    println!("{layer:?}: {events} events of Django's, {frames} frames as the contract has them");
}

/// Sockets, and who speaks to them.
struct Scene {
    ears: Vec<Ear>,
    speaker: Python,
    events: usize,
    frames: usize,
}

impl Scene {
    /// Django publishes an event, and each socket in its group gets the frame next.
    fn tell(&mut self, (group, event, frame): &Case) {
        self.speaker.send(group, event);
        self.events += 1;
        let Some(frame) = frame else { return };
        for ear in self.ears.iter_mut().filter(|ear| ear.groups.contains(group)) {
            assert_eq!(ear.next(), *frame, "{event} in {group} to {}", ear.told);
            self.frames += 1;
        }
    }
}

/// A group of each kind, and both names of the conversation's.
fn groups(Pair { alice, bob, conversation }: &Pair) -> [String; 5] {
    [
        format!("user_{}_notifications", alice.id),
        format!("chat_{conversation}"),
        format!("conversation_{conversation}"),
        format!("presence_{}", bob.id),
        "general_chat_notifications".to_owned(),
    ]
}

/// Sockets of each kind, each on one of the two servers or on both.
fn ears(world: &World, pair: &Pair) -> Vec<Ear> {
    let Pair { alice, bob, conversation } = pair;
    let [own, chat, conversation_name, presence, general] = groups(pair);
    let names = [chat, conversation_name];
    let all_of_one = [own, general, presence];
    let path = format!("/ws/conversations/{conversation}/");
    let mut ears = Vec::new();
    for node in [0, 1] {
        let mut watcher = Ear::open(world, node, alice, "/ws/chat/", true, &all_of_one);
        watcher.send(&json!({"type": "subscribe", "subscription_type": "user_status",
            "user_ids": [bob.id]}));
        assert_eq!(watcher.next()["type"], "subscribed");
        ears.push(watcher);
        ears.push(Ear::open(world, node, alice, "/ws/chat/", false, &all_of_one[..2]));
        let notifications = "/ws/notifications/";
        ears.push(Ear::open(world, node, alice, notifications, node == 0, &all_of_one[..1]));
        ears.push(Ear::open(world, node, alice, &path, node == 1, &names));
        ears.push(Ear::open(world, node, bob, &path, node == 0, &names));
    }
    ears
}

/// Everything that the contract names, but for messages, and what it does not name.
fn cases(pair: &Pair) -> Vec<Case> {
    let Pair { bob, conversation, .. } = pair;
    let [user, chat, other_name, presence, general] = &groups(pair);
    let becomes = |group: &String, event: Value, frame: Value| (group.clone(), event, Some(frame));
    let as_is = |group: &String, event: Value| (group.clone(), event.clone(), Some(event));
    let nobody = |group: &String, event: Value| (group.clone(), event, None);
    let data = json!({"type": "new_match", "match": {"id": 1, "created_at": "2024-01-01T00:00:00Z",
        "user": {"id": 2, "username": "jane_doe", "profile_picture": null}}});
    let new_match = json!({"type": "new_match", "data": data});
    let typing = |name: &str| json!({"type": name, "user_id": bob.id, "is_typing": true});
    let types = json!({"type": "typing", "user_id": bob.id, "is_typing": true,
        "conversation_id": conversation});
    let named = |name: &str| {
        json!({"type": name, "conversation_id": conversation, "user_id": bob.id,
            "username": "bob", "is_typing": false})
    };
    let status = |status: &str| json!({"type": "user_status", "user_id": bob.id, "status": status});
    let weather = |name: &str| json!({"type": name, "sky": ["blue", null, 1.5, -1, true, {}]});
    vec![
        becomes(user, json!({"type": "match_notification", "data": data}), new_match.clone()),
        becomes(user, json!({"type": "match.notification", "data": data}), new_match),
        as_is(user, json!({"type": "notification", "notification": {"title": "Hé", "n": 1}})),
        nobody(user, json!({"type": "_private", "x": 1})),
        nobody(user, json!({"type": ".private", "x": 1})),
        nobody(user, json!({"type": 7})),
        nobody(user, json!({"x": 1})),
        as_is(
            user,
            json!({"type": "conversation_update", "event": "conversation.create",
            "data": {"id": 456}}),
        ),
        as_is(user, json!({"type": "system_alert", "data": {"level": "info", "title": "T"}})),
        as_is(user, json!({"type": "send_notification", "title": "T", "rate": 0.5})),
        becomes(user, weather("weather.report"), weather("weather_report")),
        as_is(general, json!({"type": "system_alert", "data": {"level": "warning"}})),
        as_is(general, json!({"type": "notification", "notification": {"to": "all"}})),
        as_is(presence, status("online")),
        as_is(chat, status("offline")),
        as_is(
            chat,
            json!({"type": "read_receipt", "message_id": 123, "user_id": bob.id,
            "username": "bob", "timestamp": "2024-01-01T00:00:00Z"}),
        ),
        becomes(other_name, weather("weather.report"), weather("weather_report")),
        nobody(chat, json!({"type": "chat_message"})),
        becomes(chat, typing("user_typing"), types.clone()),
        becomes(other_name, typing("typing_indicator"), types),
        becomes(chat, named("user.typing"), named("typing")),
    ]
}

/// A `chat_message` of a message with an id and a text.
type Form<'a> = &'a dyn Fn(i64, &str) -> Value;

/// A message in each of its forms: stored by Django, which does not know its place; and one that is nowhere stored.
fn tell_messages(scene: &mut Scene, database: &mut Client, pair: &Pair) {
    let (sender, conversation) = (pair.bob.id, pair.conversation);
    let [user, chat, other_name, ..] = groups(pair);
    let created_at = "2024-01-01T00:00:00Z";
    let nested = |id: i64, content: &str| {
        json!({"id": id, "conversation_id": conversation,
            "sender": {"id": sender, "username": "bob", "profile_picture": null},
            "content": content, "created_at": created_at, "is_read": false, "attachment": null})
    };
    let whole = |id, content: &str| json!({"type": "chat_message", "message": nested(id, content)});
    let dotted =
        |id, content: &str| json!({"type": "chat.message", "message": nested(id, content)});
    let inside = |id: i64, content: &str| {
        json!({"type": "chat_message", "message": {"id": id, "content": content,
            "sender_id": sender, "sender_username": "bob", "sender_profile_picture": null,
            "created_at": created_at}})
    };
    let beside = |id: i64, content: &str| {
        json!({"type": "chat_message", "message": content, "message_id": id, "sender_id": sender,
            "sender_username": "bob", "sender_profile_picture": null, "timestamp": created_at})
    };
    let forms: [(&String, Form<'_>, &str); 4] = [
        (&chat, &whole, "whole é😀"),
        (&other_name, &dotted, "dotted"),
        (&chat, &inside, "flat inside"),
        (&chat, &beside, "flat beside"),
    ];
    // The welcome has the first place.
    for (seq, (group, form, content)) in (2..).zip(forms) {
        let id = django::say(database, conversation, sender, content);
        let mut placed = nested(id, content);
        placed["seq"] = seq.into();
        let news = |message: Value| json!({"type": "new_message", "conversation_id": conversation, "message": message});
        let news = (user.clone(), news(nested(id, content)), Some(news(placed.clone())));
        if content.starts_with("flat") {
            // What the older forms have no word for.
            placed["client_id"] = Value::Null;
        }
        let frame = json!({"type": "message", "message": placed});
        scene.tell(&(group.clone(), form(id, content), Some(frame)));
        // Both groups are told: a message that a user's was not told of would come from the store.
        scene.tell(&news);
    }
    let unknown = nested(1_000_000_007, "nowhere stored");
    let event = json!({"type": "chat_message", "message": unknown});
    scene.tell(&(chat, event, Some(json!({"type": "message", "message": unknown}))));
}
