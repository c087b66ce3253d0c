//! A message's way through a real shard, and echoes of many connections in one turn. What the kernel takes is not part of it.
//!
//! A message takes two turns and a batch between them: the command is read from its sender; the store, which is in memory, has
//! it; both participants are sent it.

#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "each bench has some of it")]
mod crowd;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use crowd::{Crowd, Door, command};

/// Bytes of an echoed text, and of the header of the frame that brings it back.
const ECHO_BYTES: usize = 100;
const HEADER_BYTES: usize = 2;

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shard_turn");
    group.throughput(Throughput::Elements(1));
    group.bench_function("message", |bencher| {
        bencher.iter_custom(|times| {
            // Another one for each sample: what the store holds stays small.
            let mut crowd = Crowd::new(2, Door::Conversation);
            (0..times).map(|number| message(&mut crowd, number)).sum()
        });
    });
    group.finish();
}

/// How long one message takes from its sender to both participants.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn message(crowd: &mut Crowd, number: u64) -> Duration {
    crowd.say(0, command(number).as_bytes());
    let start = Instant::now();
    crowd.turn();
    let was_asked = crowd.work();
    crowd.turn();
    let took = start.elapsed();
    assert!(was_asked && crowd.is_all_sent());
    let sent = crowd.take_sent();
    assert!(sent > 2 * 200 && sent.is_multiple_of(2), "both are sent the same event: {sent} bytes");
    took
}

fn echoes(criterion: &mut Criterion) {
    let text = [b'x'; ECHO_BYTES];
    let mut group = criterion.benchmark_group("shard_turn");
    for ready in [1, 16, 256] {
        let mut crowd = Crowd::new(ready, Door::Echo);
        group.throughput(Throughput::Elements(ready as u64));
        group.bench_function(BenchmarkId::new("echo", ready), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| echo(&mut crowd, ready, &text)).sum());
        });
    }
    group.finish();
}

/// How long the turn takes in which each of `ready` clients has its text echoed.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn echo(crowd: &mut Crowd, ready: usize, text: &[u8]) -> Duration {
    (0..ready).for_each(|client| crowd.say(client, text));
    let start = Instant::now();
    crowd.turn();
    let took = start.elapsed();
    assert_eq!(crowd.take_sent(), (ready * (text.len() + HEADER_BYTES)) as u64);
    assert!(crowd.is_all_sent());
    took
}

criterion_group!(benches, messages, echoes);
criterion_main!(benches);
