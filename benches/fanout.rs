//! One message to a thousand sessions of one conversation, in one turn of a real shard: from its inbox until the outbound of
//! every session is empty again. What the kernel takes is not part of it.

#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "each bench has some of it")]
mod crowd;

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use crowd::{Crowd, Door};

const SESSIONS: usize = 1_000;

fn fanout(criterion: &mut Criterion) {
    let mut crowd = Crowd::new(SESSIONS, Door::Conversation);
    let mut group = criterion.benchmark_group("fanout");
    group.throughput(Throughput::Elements(SESSIONS as u64));
    for (name, len) in [("message_400", 400), ("message_4k", 4_096)] {
        let frame = Bytes::from(vec![b'x'; len]);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| deliver(&mut crowd, &frame)).sum());
        });
    }
    group.finish();
}

/// How long one message takes to everybody.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn deliver(crowd: &mut Crowd, frame: &Bytes) -> Duration {
    let start = Instant::now();
    crowd.publish(frame);
    crowd.turn();
    let took = start.elapsed();
    assert_eq!(crowd.take_sent(), (SESSIONS * frame.len()) as u64, "every session was sent it");
    assert!(crowd.is_all_sent(), "and nothing waits for any of them");
    took
}

criterion_group!(benches, fanout);
criterion_main!(benches);
