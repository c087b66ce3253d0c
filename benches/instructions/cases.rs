//! What is counted.

use std::hint::black_box;

use bytes::Bytes;
use fortifun_realtime::auth::{Verifier, jwt};
use fortifun_realtime::conn::outbound::OutboundLimits;
use fortifun_realtime::conn::{Conn, ConnLimits, Received};
use fortifun_realtime::model::{Card, ConversationId, Event, Message, MessageId, Seq, UserId};
use fortifun_realtime::protocol::ws::encoder::client_frame;
use fortifun_realtime::protocol::ws::{Decoder, Input, Opcode, mask};
use fortifun_realtime::protocol::{http, ws};
use fortifun_realtime::time::{Mono, Timestamp};
use fortifun_realtime::wire::{self, Encoder};

use crate::crowd::{Crowd, Door, command};

/// One thing that is counted.
pub(crate) struct Case {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// How often it is run while callgrind counts.
    pub(crate) rounds: u64,
    /// What a round does that many of: the count is of one.
    pub(crate) in_a_round: u64,
    /// Makes a round; not counted.
    pub(crate) prepare: fn() -> Box<dyn FnMut()>,
}

/// All of them. The names say of what the count is.
pub(crate) const CASES: &[Case] = &[
    Case { name: "mask_100_bytes", rounds: 100, in_a_round: 1, prepare: mask_100_bytes },
    Case { name: "decode_frame_of_100", rounds: 100, in_a_round: 1, prepare: decode_frame_of_100 },
    Case { name: "wire_decode_message", rounds: 100, in_a_round: 1, prepare: wire_decode_message },
    Case { name: "wire_encode_message", rounds: 100, in_a_round: 1, prepare: wire_encode_message },
    Case { name: "conn_receive_of_100", rounds: 100, in_a_round: 1, prepare: conn_receive_of_100 },
    Case { name: "verify_token", rounds: 20, in_a_round: 1, prepare: verify_token },
    Case { name: "turn_with_an_echo", rounds: 100, in_a_round: 1, prepare: turn_with_an_echo },
    Case { name: "echo_in_a_turn_of_256", rounds: 5, in_a_round: 256, prepare: echo_in_a_turn },
    Case { name: "message_between_two", rounds: 50, in_a_round: 1, prepare: message_between_two },
    Case { name: "delivery_of_1000", rounds: 5, in_a_round: 1_000, prepare: delivery_of_1000 },
];

const NOW: Mono = Mono(1_000);
const AT: Timestamp = Timestamp(1_704_067_200_123_456);
const LIMITS: ConnLimits = ConnLimits {
    http: http::Limits { head_bytes: 8_192, headers: 64, target_bytes: 4_096, body_bytes: 1_024 },
    ws: ws::Limits { text_bytes: 65_536, binary_bytes: 65_536, fragments: 64 },
    outbound: OutboundLimits { hard_bytes: 1 << 20, soft_bytes: 1 << 18, soft_ms: 10_000 },
    request_ms: 10_000,
    idle_ms: 60_000,
    decide_ms: 10_000,
    heartbeat_ms: 25_000,
    close_ms: 5_000,
};

fn mask_100_bytes() -> Box<dyn FnMut()> {
    let mut payload = [b'x'; 100];
    Box::new(move || mask::apply(black_box(&mut payload), black_box([0x37, 0xfa, 0x21, 0x3d])))
}

/// Masked with zeros: unmasked in place, it is fit for the next round.
fn frame_of_100() -> Vec<u8> {
    let mut frame = Vec::new();
    client_frame(Opcode::Text, true, [0; 4], &[b'x'; 100], &mut frame);
    frame
}

fn decode_frame_of_100() -> Box<dyn FnMut()> {
    let (mut decoder, mut frame) = (Decoder::default(), frame_of_100());
    Box::new(move || {
        let mut read = black_box(&mut frame[..]);
        let input = decoder.next(&mut read, &LIMITS.ws);
        assert!(matches!(black_box(input), Some(Ok(Input::Text(_)))));
    })
}

fn wire_decode_message() -> Box<dyn FnMut()> {
    let text = command(1);
    Box::new(move || assert!(wire::decode(black_box(&text)).is_ok()))
}

fn wire_encode_message() -> Box<dyn FnMut()> {
    let encoder = Encoder::new("https://cdn.example/media/");
    Box::new(move || {
        let picture = Some("profiles/john.png".into());
        let sender = Card { id: UserId(1), username: "john_doe".into(), profile_picture: picture };
        let message = Message {
            id: MessageId(123),
            conversation: ConversationId(456),
            seq: Seq(120),
            sender,
            content: "Hello, how are you? See you at eight?".into(),
            created_at: AT,
            is_read: false,
            attachment: None,
            client_id: Some("01956f3c-7b2e-7000-8000-000000000001".into()),
        };
        drop(black_box(encoder.event(&Event::Message(black_box(&message)))));
    })
}

fn conn_receive_of_100() -> Box<dyn FnMut()> {
    let mut conn = Conn::new(NOW, &LIMITS);
    conn.upgrade(b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(), NOW);
    conn.on_sent(conn.outbound().len(), NOW, &LIMITS);
    let mut frame = frame_of_100();
    Box::new(move || {
        let mut read = black_box(&mut frame[..]);
        let received = conn.next_text(&mut read, NOW, &LIMITS);
        assert!(matches!(black_box(received), Some(Received::Text(_))));
    })
}

fn verify_token() -> Box<dyn FnMut()> {
    let secret = &[7; 50][..];
    let verifier = Verifier::new(&[secret], None, None);
    let token = jwt::issue(secret, UserId(7), 3_600, AT, u128::MAX);
    Box::new(move || assert!(verifier.verify(black_box(&token), AT).is_ok()))
}

fn turn_with_an_echo() -> Box<dyn FnMut()> {
    echo(1)
}

fn echo_in_a_turn() -> Box<dyn FnMut()> {
    echo(256)
}

/// What the clients do to say it is counted with it: their frame is made and copied.
fn echo(ready: usize) -> Box<dyn FnMut()> {
    let mut crowd = Crowd::new(ready, Door::Echo);
    Box::new(move || {
        (0..ready).for_each(|client| crowd.say(client, &[b'x'; 100]));
        crowd.turn();
        assert_eq!(crowd.take_sent(), ready as u64 * 102);
    })
}

fn message_between_two() -> Box<dyn FnMut()> {
    let (mut crowd, mut number) = (Crowd::new(2, Door::Conversation), 0);
    Box::new(move || {
        number += 1;
        crowd.say(0, command(number).as_bytes());
        crowd.turn();
        assert!(crowd.work());
        crowd.turn();
        assert!(crowd.take_sent() > 0);
    })
}

fn delivery_of_1000() -> Box<dyn FnMut()> {
    let mut crowd = Crowd::new(1_000, Door::Conversation);
    let frame = Bytes::from_static(&[b'x'; 400]);
    Box::new(move || {
        crowd.publish(&frame);
        crowd.turn();
        assert_eq!(crowd.take_sent(), 1_000 * 400);
    })
}
