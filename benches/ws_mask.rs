//! Unmasking in place: `mask::apply` against the byte loop of RFC 6455 §5.3.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fortifun_realtime::protocol::ws::mask;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn ws_mask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ws_mask");
    for len in [16, 100, 500, 4_096, 65_536] {
        let mut payload = vec![b'x'; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("apply", len), |bench| {
            bench.iter(|| mask::apply(black_box(&mut payload), black_box(KEY)));
        });
        group.bench_function(BenchmarkId::new("byte_loop", len), |bench| {
            bench.iter(|| {
                let key = black_box(KEY);
                for (index, byte) in black_box(&mut payload).iter_mut().enumerate() {
                    *byte ^= key[index % 4];
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ws_mask);
criterion_main!(benches);
