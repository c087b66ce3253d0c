//! What nodes send each other, there and back; and what Django gets of it.

use proptest::prelude::*;

use super::*;
use crate::channel::bus::inbound::tests::{DJANGO, shown};
use crate::channel::bus::value::tests::fields;
use crate::channel::bus::{Dropped, Envelope, Format, Fresh, Layer, Recipients, inbound};
use crate::model::{
    Card, ConnKey, ConnRef, Control, Conversation, ConversationId, Event, Group, Match, MatchId,
    Message, MessageId, Seq, ShardId, UserId,
};
use crate::time::Timestamp;
use crate::wire::Encoder;

/// 2024-01-01T00:00:00Z.
const AT: Timestamp = Timestamp(1_704_067_200_000_000);
const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);
const CHAT: Group = Group::Conversation(ConversationId(456));
const USER: Group = Group::User(UserId(7));
const PLACE: Option<(ConversationId, Seq)> = Some((ConversationId(456), Seq(120)));

fn john() -> Card {
    Card { id: UserId(1), username: "john_doe".into(), profile_picture: Some("p/j d.png".into()) }
}

fn message() -> Message {
    Message {
        id: MessageId(123),
        conversation: ConversationId(456),
        seq: Seq(120),
        sender: john(),
        content: "Hello, \"you\"\n é😀 \u{2028}".into(),
        created_at: AT,
        is_read: false,
        attachment: None,
        client_id: Some("c1".into()),
    }
}

/// A delivery of each event to each group it is published to, as the rules do it.
fn deliveries() -> Vec<Delivery> {
    let encoder = Encoder::new("https://cdn/m");
    let (john, message) = (john(), message());
    let made = Match { id: MatchId(1), conversation: ConversationId(456), created_at: AT };
    let conversation = Conversation {
        id: ConversationId(456),
        participants: vec![john.clone()],
        created_at: AT,
        updated_at: AT,
        is_active: true,
        last_message: Some(message.clone()),
        last_seq: Seq(120),
        unread_count: 3,
    };
    let typing = Event::Typing {
        conversation: ConversationId(456),
        user: UserId(1),
        username: "john_doe",
        is_typing: true,
    };
    let receipt = Event::ReadReceipt {
        conversation: ConversationId(456),
        message: MessageId(123),
        reader: &john,
        at: AT,
    };
    let status =
        Event::UserStatus { user: &john, is_online: true, last_activity: Some(AT), at: AT };
    let watched = Group::Presence(UserId(1));
    let events = [
        (Event::Message(&message), CHAT, Topic::Conversation, PLACE, false),
        (Event::NewMessage(&message), USER, Topic::Messages, PLACE, false),
        (Event::NewMessage(&message), USER, Topic::OwnMessages, PLACE, false),
        (typing.clone(), CHAT, Topic::Conversation, None, true),
        (typing, USER, Topic::Activity, None, true),
        (receipt.clone(), CHAT, Topic::Conversation, None, false),
        (receipt, USER, Topic::Activity, None, false),
        (status.clone(), watched, Topic::UserStatus, None, true),
        (status, CHAT, Topic::Conversation, None, true),
        (Event::NewMatch { made: &made, other: &john }, USER, Topic::Matches, None, false),
        (Event::NewLike { liker: &john }, USER, Topic::Matches, None, false),
        (Event::ConversationCreated(&conversation), USER, Topic::Other, None, false),
    ];
    let here = ConnRef { shard: ShardId(0), key: ConnKey { index: 1, generation: 1 } };
    events
        .into_iter()
        .map(|(event, group, topic, place, sheddable)| {
            let frame = encoder.event(&event);
            let payload = Payload::Frame { frame, topic, place, except: Some(here), sheddable };
            Delivery { group, payload, committed_at: place.map(|_| AT) }
        })
        .collect()
}

/// `sent` as it arrives, through each layer and format.
fn arrivals(sent: &Outbound) -> Vec<Fields> {
    let fresh = Fresh { unique: [0; 12], iv: [0; 16], now: AT };
    let mut arrived = Vec::new();
    for (layer, to) in [
        (Layer::PubSub, Recipients::Listeners),
        (Layer::Core { expiry_s: 60 }, Recipients::Channels(&["specific.ab!c"])),
    ] {
        for (format, key) in
            [(Format::Msgpack, None), (Format::Msgpack, Some("k")), (Format::Json, None)]
        {
            let envelope = Envelope::new(layer, format, key);
            let sealed = envelope.seal(&envelope.pack(&sent.fields), to, &fresh);
            arrived.push(envelope.open(&sealed, AT).unwrap().fields);
        }
    }
    arrived
}

#[test]
fn what_a_node_sends_is_delivered_by_others_byte_for_byte_and_not_again_by_itself() {
    for delivery in deliveries() {
        let Payload::Frame { frame, topic, place, sheddable, .. } = &delivery.payload else {
            unreachable!()
        };
        let sent = outbound(&delivery, ME).unwrap();
        for fields in arrivals(&sent) {
            assert_eq!(inbound(sent.to, fields.clone(), ME).unwrap_err(), Dropped::Own);
            let received = inbound(sent.to, fields, OTHER).unwrap();
            let text = encoder::text_of(frame).unwrap();
            assert_eq!(shown(&received.delivery), (text, *topic, *place, *sheddable));
            assert_eq!(received.delivery.group, delivery.group);
            assert_eq!(received.delivery.committed_at, delivery.committed_at);
            assert_eq!(received.unplaced, None);
        }
    }
}

#[test]
fn django_hears_what_it_has_handlers_for_and_nothing_else() {
    let mut shared = Vec::new();
    for delivery in deliveries() {
        let Outbound { to, mut fields } = outbound(&delivery, ME).unwrap();
        let (text, topic) = match &delivery.payload {
            Payload::Frame { frame, topic, .. } => (encoder::text_of(frame).unwrap(), *topic),
            Payload::Control(_) => unreachable!(),
        };
        let is_for_sockets_alone = matches!(topic, Topic::OwnMessages | Topic::Activity);
        if is_for_sockets_alone {
            assert_eq!(to, Address::Own(delivery.group), "{text}");
            continue;
        }
        assert_eq!(to, Address::Shared(delivery.group), "{text}");
        let kind = fields.get("type").unwrap().as_text().unwrap().to_owned();
        assert!(DJANGO.contains(&&*kind), "{kind}");
        // A consumer that passes on what the contract says makes the same event of it: so does a node, without the tag.
        fields.take(TAG_KEY).unwrap();
        let passed_on = inbound(to, fields, OTHER).unwrap().delivery;
        let is_like = text.starts_with(r#"{"type":"new_like""#);
        assert_eq!(shown(&passed_on).0 == text, !is_like, "{text}");
        shared.push(kind);
    }
    shared.sort();
    let kinds = [
        "chat_message",
        "conversation_update",
        "match_notification",
        "new_message",
        "notification",
        "read_receipt",
        "user_status",
        "user_status",
        "user_typing",
    ];
    assert_eq!(shared, kinds);
}

#[test]
fn an_event_without_a_handler_goes_to_nodes_alone() {
    let payload = |text: &str| Payload::Frame {
        frame: encoder::text(text),
        topic: Topic::Other,
        place: None,
        except: None,
        sheddable: false,
    };
    let text = r#"{"type":"weather","sky":"blue"}"#;
    let sent = outbound(&Delivery::new(USER, payload(text)), ME).unwrap();
    assert_eq!(sent.to, Address::Own(USER));
    let received = inbound(sent.to, sent.fields, OTHER).unwrap();
    assert_eq!(shown(&received.delivery).0, text);
    for (text, flaw) in [("{}", Unsendable::NoType), (r#"{"type":1}"#, Unsendable::NoType)] {
        assert_eq!(outbound(&Delivery::new(USER, payload(text)), ME), Err(flaw));
    }
    let no_object = outbound(&Delivery::new(USER, payload("[]")), ME);
    assert!(matches!(no_object, Err(Unsendable::NoObject(_))));
    let binary = Payload::Frame {
        frame: encoder::binary(b"{}"),
        topic: Topic::Other,
        place: None,
        except: None,
        sheddable: false,
    };
    assert_eq!(outbound(&Delivery::new(USER, binary), ME), Err(Unsendable::NoText));
}

#[test]
fn orders_reach_other_nodes_where_django_does_not_listen() {
    let evict = Control::Evict { user: UserId(9), code: 4403 };
    let sent = outbound(&Delivery::new(CHAT, Payload::Control(evict)), ME).unwrap();
    assert_eq!(sent.to, Address::Own(CHAT));
    for fields in arrivals(&sent) {
        for address in [Address::Own(CHAT), Address::Nodes] {
            let received = inbound(address, fields.clone(), OTHER).unwrap().delivery;
            assert_eq!(received.group, CHAT);
            assert!(matches!(received.payload, Payload::Control(control) if control == evict));
            assert_eq!(inbound(address, fields.clone(), ME).unwrap_err(), Dropped::Own);
        }
        let shared = inbound(Address::Shared(CHAT), fields, OTHER);
        assert_eq!(shared.unwrap_err(), Dropped::Misplaced, "Django gives no orders");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_event_of_ours_comes_back_byte_for_byte(
        rest in fields(),
        kind in prop_oneof![
            Just("message"), Just("typing"), Just("new_match"), Just("new_message"), Just("weather")
        ],
        sheddable in any::<bool>(),
        place in prop::option::of((1..i64::MAX, 1..i64::MAX)),
    ) {
        let mut event = rest;
        for reserved in ["type", TAG_KEY, "__asgi_channel__"] {
            event.take(reserved);
        }
        event.push_first("type", kind);
        let text = serde_json::to_string(&event).unwrap();
        let place = place.map(|(conversation, seq)| (ConversationId(conversation), Seq(seq)));
        let frame = encoder::text(&text);
        let payload = Payload::Frame { frame, topic: Topic::Conversation, place, except: None, sheddable };
        let sent = outbound(&Delivery::new(CHAT, payload), ME).unwrap();
        for fields in arrivals(&sent) {
            let received = inbound(sent.to, fields, OTHER).unwrap();
            prop_assert_eq!(shown(&received.delivery), (&*text, Topic::Conversation, place, sheddable));
        }
    }
}
