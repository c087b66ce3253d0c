//! What one text costs: decoding commands, encoding events, verifying a token.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fortifun_realtime::auth::{Bucket, Rate, Verifier, jwt};
use fortifun_realtime::model::{Card, ConversationId, Event, Message, MessageId, Seq, UserId};
use fortifun_realtime::time::{Mono, Timestamp};
use fortifun_realtime::wire::{self, Encoder};

const AT: Timestamp = Timestamp(1_704_067_200_123_456);

fn decode(c: &mut Criterion) {
    let long = "Lorem ipsum dolor sit amet. ".repeat(14);
    let message = |content: &str| {
        format!(r#"{{"type":"message","content":"{content}","client_id":"0f1e2d3c-4b5a-6978"}}"#)
    };
    let mut group = c.benchmark_group("decode");
    for (name, text) in [
        ("typing", r#"{"type":"typing","is_typing":true}"#.to_owned()),
        ("message", message("Hello, how are you? See you at eight?")),
        ("message_long", message(&long)),
        ("message_escapes", message(&r"l\u00e9 \ud83d\ude00 \n".repeat(20))),
        ("resume", r#"{"type":"resume","after":{"456":118,"457":3,"9":12}}"#.to_owned()),
        ("fault", r#"{"type":"message","content":7,"ref":"r1"}"#.to_owned()),
    ] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| wire::decode(black_box(&text)).is_ok()));
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let encoder = Encoder::new("https://cdn.example/media/");
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
        client_id: Some("0f1e2d3c-4b5a-6978".into()),
    };
    let typing = Event::Typing {
        conversation: ConversationId(456),
        user: UserId(1),
        username: "john_doe",
        is_typing: true,
    };
    let mut group = c.benchmark_group("encode");
    for (name, event) in [("message", Event::Message(&message)), ("typing", typing)] {
        group.bench_function(name, |b| b.iter(|| encoder.event(black_box(&event))));
    }
    group.finish();
}

fn auth(c: &mut Criterion) {
    let (current, previous) = (&[7; 50][..], &[8; 50][..]);
    let verifier = Verifier::new(&[current, previous], None, None);
    let mut group = c.benchmark_group("auth");
    for (name, secret) in [("verify", current), ("verify_previous", previous)] {
        let token = jwt::issue(secret, UserId(7), 3_600, AT, u128::MAX);
        group.bench_function(name, |b| b.iter(|| verifier.verify(black_box(&token), AT).is_ok()));
    }
    let rate = Rate::new(5.0, 10);
    let mut bucket = Bucket::default();
    let mut now = Mono(0);
    group.bench_function("take", |b| {
        b.iter(|| {
            now = now.plus(100);
            bucket.take(black_box(now), &rate)
        });
    });
    group.finish();
}

criterion_group!(benches, decode, encode, auth);
criterion_main!(benches);
