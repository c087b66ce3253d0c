//! One text through an open connection: decoder, heartbeat and phase, as a shard walks what it received.
//!
//! The frames are masked with a key of zeros, so that unmasking them in place leaves them fit for the next round; it costs
//! what any key costs.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fortifun_realtime::conn::outbound::OutboundLimits;
use fortifun_realtime::conn::{Conn, ConnLimits, Received};
use fortifun_realtime::protocol::ws::Opcode;
use fortifun_realtime::protocol::ws::encoder::client_frame;
use fortifun_realtime::protocol::{http, ws};
use fortifun_realtime::time::Mono;

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

fn open() -> Conn {
    let now = Mono(1_000);
    let mut conn = Conn::new(now, &LIMITS);
    let request = b"GET /ws/chat/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let asked = conn.next_request(request, &mut 0, now, &LIMITS);
    assert!(asked.is_some_and(|request| request.is_ok()));
    conn.upgrade(b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(), now);
    conn.on_sent(conn.outbound().len(), now, &LIMITS);
    conn
}

/// Bytes of text in `read`.
fn receive(conn: &mut Conn, read: &mut [u8], now: Mono) -> usize {
    let mut read = read;
    let mut text_bytes = 0;
    while let Some(received) = conn.next_text(&mut read, now, &LIMITS) {
        match black_box(received) {
            Received::Text(text) => text_bytes += text.len(),
            other => panic!("{other:?}"),
        }
    }
    text_bytes
}

fn conn_receive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("conn_receive");
    for len in [100, 4_096] {
        let mut read = Vec::new();
        client_frame(Opcode::Text, true, [0; 4], &vec![b'x'; len], &mut read);
        let mut conn = open();
        let mut now = Mono(1_000);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("text", len), |bencher| {
            bencher.iter(|| {
                now = now.plus(1);
                assert_eq!(receive(&mut conn, black_box(&mut read), now), len);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, conn_receive);
criterion_main!(benches);
