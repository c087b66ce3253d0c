//! Received bytes to inputs: one whole text, a buffer full of texts, and a text that two reads cut.
//!
//! The frames are masked with a key of zeros, so that unmasking them in place leaves them fit for the next round; it
//! costs what any key costs.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fortifun_realtime::protocol::ws::encoder::client_frame;
use fortifun_realtime::protocol::ws::{Decoder, Input, Limits, Opcode};

const LIMITS: Limits = Limits { text_bytes: 65_536, binary_bytes: 65_536, fragments: 64 };

fn frames(count: usize, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        client_frame(Opcode::Text, true, [0; 4], text.as_bytes(), &mut bytes);
    }
    bytes
}

/// Bytes of text in `read`.
fn receive(decoder: &mut Decoder, read: &mut [u8]) -> usize {
    let mut read = read;
    let mut text_bytes = 0;
    while let Some(input) = decoder.next(&mut read, &LIMITS) {
        match black_box(input) {
            Ok(Input::Text(text)) => text_bytes += text.len(),
            other => panic!("{other:?}"),
        }
    }
    text_bytes
}

fn ws_decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ws_decode");
    for (name, text) in [
        ("text_100", "x".repeat(100)),
        ("text_100_accents", "été à ".repeat(11)),
        ("text_16k", "x".repeat(16 * 1024)),
    ] {
        let mut bytes = frames(1, &text);
        let mut decoder = Decoder::default();
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("whole", name), |bench| {
            bench.iter(|| receive(&mut decoder, black_box(&mut bytes)));
        });
        group.bench_function(BenchmarkId::new("cut_in_two", name), |bench| {
            let middle = bytes.len() / 2;
            bench.iter(|| {
                let (first, second) = black_box(&mut bytes).split_at_mut(middle);
                receive(&mut decoder, first) + receive(&mut decoder, second)
            });
        });
    }
    let mut bytes = frames(500, &"x".repeat(100));
    let mut decoder = Decoder::default();
    group.throughput(Throughput::Elements(500));
    group.bench_function("500_texts_of_100_in_a_read", |bench| {
        bench.iter(|| receive(&mut decoder, black_box(&mut bytes)));
    });
    group.finish();
}

criterion_group!(benches, ws_decode);
criterion_main!(benches);
