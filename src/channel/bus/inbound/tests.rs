//! The contract's table, from what Django sent, and what goes to nobody.

use proptest::prelude::*;

use super::*;
use crate::channel::bus::golden::{bytes, section};
use crate::channel::bus::value::tests::fields;
use crate::channel::bus::{Envelope, Format, Layer};
use crate::model::UserId;
use crate::time::Timestamp;

/// 2024-01-01T00:00:00Z.
const AT: Timestamp = Timestamp(1_704_067_200_000_000);
const ME: NodeId = NodeId(1);
const CHAT: Group = Group::Conversation(ConversationId(456));
const USER: Group = Group::User(UserId(7));
const PLACE: Option<(ConversationId, Seq)> = Some((ConversationId(456), Seq(120)));

/// The handlers that Django's consumers have, by the contract's table.
pub(in crate::channel::bus) const DJANGO: [&str; 11] = [
    "match_notification",
    "notification",
    "chat_message",
    "new_message",
    "user_typing",
    "typing_indicator",
    "read_receipt",
    "user_status",
    "conversation_update",
    "system_alert",
    "send_notification",
];

/// A frame's text, topic, place and whether it may be shed.
pub(in crate::channel::bus) fn shown(
    delivery: &Delivery,
) -> (&str, Topic, Option<(ConversationId, Seq)>, bool) {
    match &delivery.payload {
        Payload::Frame { frame, topic, place, except: None, sheddable } => {
            (encoder::text_of(frame).unwrap(), *topic, *place, *sheddable)
        }
        other => panic!("{other:?}"),
    }
}

fn json(text: &str) -> Fields {
    Fields::from_json(text.as_bytes()).unwrap()
}

const SENDER: &str =
    r#""sender":{"id":1,"username":"john_doe","profile_picture":"https://example.com/photo.jpg"}"#;
const REST: &str = r#""content":"Hello, how are you? é😀","created_at":"2024-01-01T00:00:00Z","is_read":false,"attachment":null"#;

/// Name of the event in the golden file; what clients get; topic; may be shed; place; unplaced.
type Row = (&'static str, Result<String, Dropped>, Topic, bool, bool, bool);

fn contract() -> Vec<Row> {
    let message = format!(r#"{{"id":123,"conversation_id":456,{SENDER},{REST}}}"#);
    let placed = format!(r#"{{"id":123,"conversation_id":456,{SENDER},{REST},"seq":120}}"#);
    let nested = r#"{"type":"message","message":{"id":123,"conversation_id":456,"sender":{"id":1,"username":"john_doe","profile_picture":null},"content":"Hello","created_at":"2024-01-01T00:00:00Z","is_read":false,"attachment":null,"client_id":null}}"#;
    let matched = r#"{"type":"new_match","data":{"type":"new_match","match":{"id":1,"user":{"id":2,"username":"jane_doe","profile_picture":null},"created_at":"2024-01-01T00:00:00Z"}}}"#;
    let as_is = |text: &str| Ok(text.to_owned());
    let event = |text: String| Ok(text);
    let nobody = |why| Err(why);
    let (conversation, other) = (Topic::Conversation, Topic::Other);
    vec![
        ("match_notification", as_is(matched), Topic::Matches, false, false, false),
        ("match.notification", as_is(matched), Topic::Matches, false, false, false),
        (
            "notification",
            as_is(r#"{"type":"notification","notification":{"title":"Hi","n":1}}"#),
            other,
            false,
            false,
            false,
        ),
        (
            "chat_message",
            event(format!(r#"{{"type":"message","message":{message}}}"#)),
            conversation,
            false,
            false,
            true,
        ),
        (
            "chat.message",
            event(format!(r#"{{"type":"message","message":{placed}}}"#)),
            conversation,
            false,
            true,
            false,
        ),
        ("flat inside", as_is(nested), conversation, false, false, true),
        ("flat outside", as_is(nested), conversation, false, false, true),
        (
            "new_message",
            event(format!(r#"{{"type":"new_message","conversation_id":456,"message":{message}}}"#)),
            Topic::Messages,
            false,
            false,
            true,
        ),
        (
            "user_typing",
            as_is(
                r#"{"type":"typing","conversation_id":456,"user_id":1,"username":"john_doe","is_typing":true}"#,
            ),
            conversation,
            true,
            false,
            false,
        ),
        (
            "typing_indicator",
            as_is(r#"{"type":"typing","conversation_id":456,"user_id":1,"is_typing":false}"#),
            conversation,
            true,
            false,
            false,
        ),
        (
            "read_receipt",
            as_is(
                r#"{"type":"read_receipt","message_id":123,"user_id":1,"username":"john_doe","timestamp":"2024-01-01T00:00:00Z"}"#,
            ),
            conversation,
            false,
            false,
            false,
        ),
        (
            "user_status",
            as_is(r#"{"type":"user_status","user_id":2,"status":"online","is_online":true}"#),
            Topic::UserStatus,
            true,
            false,
            false,
        ),
        (
            "conversation_update",
            as_is(
                r#"{"type":"conversation_update","event":"conversation.create","data":{"id":456}}"#,
            ),
            other,
            false,
            false,
            false,
        ),
        (
            "system_alert",
            as_is(r#"{"type":"system_alert","data":{"level":"info","title":"T"}}"#),
            Topic::Alerts,
            false,
            false,
            false,
        ),
        (
            "send_notification",
            as_is(r#"{"type":"send_notification","title":"T","rate":0.5}"#),
            other,
            false,
            false,
            false,
        ),
        (
            "any other name",
            as_is(r#"{"type":"weather_report","sky":["blue","grey"]}"#),
            conversation,
            false,
            false,
            false,
        ),
        ("a leading underscore", nobody(Dropped::PrivateType), other, false, false, false),
        ("a leading dot", nobody(Dropped::PrivateType), other, false, false, false),
        ("no type", nobody(Dropped::NoType), other, false, false, false),
        ("a type that is no text", nobody(Dropped::NoType), other, false, false, false),
    ]
}

#[test]
fn what_django_sends_reaches_clients_as_the_contract_says() {
    let sent = section("sent");
    let contract = contract();
    assert_eq!(sent.len(), contract.len());
    let envelope = Envelope::new(Layer::PubSub, Format::Msgpack, []);
    for (entry, (name, told, topic, sheddable, has_place, is_unplaced)) in sent.iter().zip(contract)
    {
        assert_eq!(entry["name"], name);
        let address = Address::parse(entry["group"].as_str().unwrap()).unwrap();
        let opened = envelope.open(&bytes(&entry["pubsub"]["payload"]), AT).unwrap();
        match (inbound(address, opened.fields, ME), told) {
            (Ok(received), Ok(text)) => {
                let place = PLACE.filter(|_| has_place);
                assert_eq!(shown(&received.delivery), (&*text, topic, place, sheddable), "{name}");
                assert_eq!(Address::Shared(received.delivery.group), address);
                let unplaced = (ConversationId(456), MessageId(123));
                assert_eq!(received.unplaced, is_unplaced.then_some(unplaced), "{name}");
            }
            (Err(dropped), Err(told)) => assert_eq!(dropped, told, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn an_event_without_what_its_name_needs_goes_to_nobody() {
    for (event, missing) in [
        (r#"{"type":"match_notification"}"#, "data"),
        (r#"{"type":"notification","data":1}"#, "notification"),
        (r#"{"type":"chat_message"}"#, "message"),
        (r#"{"type":"chat_message","message":7}"#, "message"),
        (r#"{"type":"chat_message","message":{"sender_id":1}}"#, "message"),
        (r#"{"type":"chat_message","message":null,"sender_id":1}"#, "message"),
    ] {
        let dropped = inbound(Address::Shared(CHAT), json(event), ME).unwrap_err();
        assert_eq!(dropped, Dropped::NoField(missing), "{event}");
    }
    for event in [r#"{"type":""}"#, r#"{"type":null}"#, "{}"] {
        assert_eq!(inbound(Address::Shared(CHAT), json(event), ME).unwrap_err(), Dropped::NoType);
    }
    let long = format!(r#"{{"type":"x","a":"{}"}}"#, "\\u0000".repeat(BUS_MESSAGE_BYTES_MAX / 6));
    let dropped = inbound(Address::Shared(CHAT), json(&long), ME).unwrap_err();
    assert!(matches!(dropped, Dropped::TooLong(_)), "{dropped:?}");
}

#[test]
fn a_typing_that_names_its_conversation_keeps_it() {
    let event = r#"{"type":"user_typing","user_id":1,"is_typing":true,"conversation_id":9}"#;
    let received = inbound(Address::Shared(CHAT), json(event), ME).unwrap();
    let told = r#"{"type":"typing","user_id":1,"is_typing":true,"conversation_id":9}"#;
    assert_eq!(shown(&received.delivery).0, told);
    let event = r#"{"type":"user_typing","user_id":1,"is_typing":true}"#;
    let received = inbound(Address::Shared(USER), json(event), ME).unwrap();
    assert_eq!(
        shown(&received.delivery),
        (r#"{"type":"typing","user_id":1,"is_typing":true}"#, Topic::Other, None, true)
    );
}

#[test]
fn where_nodes_speak_alone_others_are_not_heard() {
    let event = json(r#"{"type":"chat_message","message":{"id":1}}"#);
    for address in [Address::Own(CHAT), Address::Nodes] {
        assert_eq!(inbound(address, event.clone(), ME).unwrap_err(), Dropped::Misplaced);
    }
    let half =
        json(r#"{"type":"fortifun_order","group":"chat_456","order":"disband","code":4404}"#);
    assert_eq!(inbound(Address::Own(CHAT), half, ME).unwrap_err(), Dropped::Misplaced);
}

#[test]
fn a_tag_that_is_not_known_makes_it_an_event_of_djangos() {
    let event = json(r#"{"type":"user_status","user_id":2,"fortifun":{"v":2}}"#);
    let received = inbound(Address::Shared(CHAT), event, ME).unwrap();
    assert_eq!(shown(&received.delivery).0, r#"{"type":"user_status","user_id":2}"#);
}

/// Events of the names that are treated in a way of their own, with anything in their fields.
fn events() -> impl Strategy<Value = Fields> {
    let kind = prop_oneof![
        prop::sample::select(&DJANGO[..]).prop_map(str::to_owned),
        Just(ORDER.to_owned()),
        "[._a-z]{0,8}",
    ];
    let key = prop::sample::select(vec![
        "message",
        "data",
        "notification",
        "content",
        "sender_id",
        "conversation_id",
        "id",
        "seq",
        "fortifun",
        "v",
        "node",
        "topic",
        "place",
        "group",
        "order",
        "code",
        "user_id",
    ]);
    let inner = (key.clone(), fields()).prop_map(|(key, inner)| {
        let mut fields = inner;
        fields.push(key, 7_i64);
        fields
    });
    (kind, fields(), prop::collection::vec((key, inner), 0..4)).prop_map(|(kind, rest, inner)| {
        let mut fields = rest;
        for (key, value) in inner {
            fields.push(key, value);
        }
        fields.push("type", kind);
        fields
    })
}

proptest! {
    #[test]
    fn any_event_is_delivered_as_an_object_or_dropped(event in events()) {
        for address in [Address::Shared(CHAT), Address::Shared(USER), Address::Own(CHAT), Address::Nodes] {
            if let Ok(received) = inbound(address, event.clone(), ME)
                && let Payload::Frame { frame, .. } = received.delivery.payload
            {
                let told = json(encoder::text_of(&frame).unwrap());
                prop_assert!(told.get("type").and_then(Value::as_text).is_some());
                prop_assert_eq!(told.get(TAG_KEY), None);
            }
        }
    }
}
