//! Counters, gauges and histograms: one padded block a thread, added up when somebody asks.
//!
//! Counting is a relaxed addition to a cache line that no other thread writes; nothing is looked up, locked or allocated.
//! What exists is declared once, in `metrics/names.rs`.

mod histogram;
mod names;
mod process;
mod render;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

pub use names::{
    Auth, BusDrop, BusSource, BusTurn, CloseCode, Counter, Direction, Endpoint, Family, FamilyKind,
    Gauge, Handshake, Histogram, Queue, Refusal, Route, Settlement, StatusClass, StoreKind, Unit,
    families,
};
pub use render::CONTENT_TYPE;

use histogram::{Buckets, Totals};
use process::Process;
use render::Snapshot;

/// The figures of one thread. Any thread may add to it; it is cheap for as long as one does.
#[derive(Debug)]
#[repr(align(128))] // Two cache lines: the prefetcher of x86-64 fetches them in pairs.
pub struct Block {
    counters: [AtomicU64; Counter::SERIES],
    gauges: [AtomicU64; Gauge::SERIES],
    histograms: [Buckets; Histogram::ALL.len()],
}

impl Block {
    fn new() -> Self {
        Self {
            counters: [const { AtomicU64::new(0) }; Counter::SERIES],
            gauges: [const { AtomicU64::new(0) }; Gauge::SERIES],
            histograms: [const { Buckets::new() }; Histogram::ALL.len()],
        }
    }

    /// Counts `n` more.
    pub fn add(&self, counter: Counter, n: u64) {
        self.counters[counter.slot()].fetch_add(n, Relaxed);
    }

    /// Sets this thread's part of `gauge`.
    pub fn set(&self, gauge: Gauge, value: u64) {
        self.gauges[gauge.slot()].store(value, Relaxed);
    }

    /// Raises this thread's part of `gauge`.
    pub fn raise(&self, gauge: Gauge, by: u64) {
        self.gauges[gauge.slot()].fetch_add(by, Relaxed);
    }

    /// Lowers this thread's part of `gauge`, which was raised by as much before: by this thread, or by another (the sum is
    /// right although the parts are not).
    pub fn lower(&self, gauge: Gauge, by: u64) {
        self.gauges[gauge.slot()].fetch_sub(by, Relaxed);
    }

    /// Counts one observation of `value`, in microseconds where the histogram's name says seconds.
    pub fn observe(&self, histogram: Histogram, value: u64) {
        let place = histogram as usize;
        self.histograms[place].observe(Histogram::BOUNDS[place], value);
    }
}

/// Reads a figure that is counted elsewhere.
type Sample = Box<dyn Fn() -> u64 + Send + Sync>;

/// The blocks of all threads, those that ended included: a counter never goes down.
#[derive(Default)]
pub struct Registry {
    blocks: Mutex<Vec<Arc<Block>>>,
    sampled_counters: Mutex<Vec<(Counter, Sample)>>,
    sampled_gauges: Mutex<Vec<(Gauge, Sample)>>,
}

impl Registry {
    /// A registry without blocks.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new block, for a new thread.
    pub fn block(&self) -> Arc<Block> {
        let block = Arc::new(Block::new());
        self.blocks.lock().push(Arc::clone(&block));
        block
    }

    /// Adds what `sample` returns to `counter` whenever the figures are read; it must never return less than before.
    pub fn sample_counter(
        &self,
        counter: Counter,
        sample: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.sampled_counters.lock().push((counter, Box::new(sample)));
    }

    /// Adds what `sample` returns to `gauge` whenever the figures are read: the length of a queue, say.
    pub fn sample_gauge(&self, gauge: Gauge, sample: impl Fn() -> u64 + Send + Sync + 'static) {
        self.sampled_gauges.lock().push((gauge, Box::new(sample)));
    }

    /// `counter`, all threads together.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.snapshot(Process::default()).counters[counter.slot()]
    }

    /// `gauge`, all threads together.
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.snapshot(Process::default()).gauges[gauge.slot()]
    }

    /// All figures as text of type [`CONTENT_TYPE`]. Reads `/proc`; takes some 100 µs.
    pub fn render(&self) -> String {
        self.snapshot(Process::read()).render()
    }

    fn snapshot(&self, process: Process) -> Snapshot {
        let mut counters = vec![0_u64; Counter::SERIES];
        let mut gauges = vec![0_u64; Gauge::SERIES];
        let mut histograms = vec![Totals::default(); Histogram::ALL.len()];
        for block in self.blocks.lock().iter() {
            sum_into(&mut counters, &block.counters);
            sum_into(&mut gauges, &block.gauges);
            for (total, buckets) in histograms.iter_mut().zip(&block.histograms) {
                buckets.add_to(total);
            }
        }
        for (counter, sample) in self.sampled_counters.lock().iter() {
            counters[counter.slot()] += sample();
        }
        for (gauge, sample) in self.sampled_gauges.lock().iter() {
            gauges[gauge.slot()] = gauges[gauge.slot()].wrapping_add(sample());
        }
        // A thread may have lowered what another is about to raise: such a moment is shown as nothing.
        for gauge in &mut gauges {
            if *gauge > i64::MAX as u64 {
                *gauge = 0;
            }
        }
        Snapshot { counters, gauges, histograms, process }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("blocks", &self.blocks.lock().len())
            .finish_non_exhaustive()
    }
}

fn sum_into(totals: &mut [u64], part: &[AtomicU64]) {
    for (total, value) in totals.iter_mut().zip(part) {
        *total = total.wrapping_add(value.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "these figures are exact in binary")]

    use std::collections::BTreeMap;

    use super::*;

    /// Series and values of a rendered text; asserts its shape line by line (OpenMetrics 1.0).
    fn parse(text: &str) -> BTreeMap<String, f64> {
        let mut series = BTreeMap::new();
        let mut family = "";
        let body = text.strip_suffix("# EOF\n").expect("the text ends with its marker");
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split_once(' ').expect("a help has a text").0;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type has a word");
                assert_eq!(name, family);
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a series has a value");
                assert!(name.starts_with(family), "{line}");
                assert!(!name.contains("{}"), "{line}");
                assert!(series.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line}");
            }
        }
        series
    }

    #[test]
    fn the_sum_over_threads_is_shown() {
        let registry = Registry::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let block = registry.block();
                scope.spawn(move || {
                    for _ in 0..1_000 {
                        block.add(Counter::MessagesCommitted, 2);
                        block.raise(Gauge::ConnectionsOpen(Endpoint::Chat), 1);
                        block.observe(Histogram::Commit, 2_500);
                    }
                    block.lower(Gauge::ConnectionsOpen(Endpoint::Chat), 999);
                    block.set(Gauge::OutboundBytes, 10);
                });
            }
        });
        let series = parse(&registry.render());
        assert_eq!(series["fortifun_messages_committed_total"], 8_000.0);
        assert_eq!(series["fortifun_connections_open{endpoint=\"chat\"}"], 4.0);
        assert_eq!(series["fortifun_outbound_bytes"], 40.0);
        assert_eq!(series["fortifun_commit_seconds_count"], 4_000.0);
        assert_eq!(series["fortifun_commit_seconds_sum"], 10.0);
        assert_eq!(series["fortifun_commit_seconds_bucket{le=\"0.001\"}"], 0.0);
        assert_eq!(series["fortifun_commit_seconds_bucket{le=\"0.0025\"}"], 4_000.0);
        assert_eq!(series["fortifun_commit_seconds_bucket{le=\"+Inf\"}"], 4_000.0);
    }

    #[test]
    fn every_series_is_shown_under_its_own_labels() {
        let registry = Registry::new();
        let block = registry.block();
        block.add(Counter::HttpRequests(Route::Leave, StatusClass::ClientError), 3);
        block.add(Counter::Disconnects(CloseCode::SlowConsumer), 5);
        block.add(Counter::ShardBusy, 1_500_000);
        let series = parse(&registry.render());
        assert_eq!(series["fortifun_http_requests_total{route=\"leave\",status=\"4xx\"}"], 3.0);
        assert_eq!(series["fortifun_disconnects_total{code=\"4480\"}"], 5.0);
        assert_eq!(series["fortifun_shard_busy_seconds_total"], 1.5);
        // The process's own figures may be 3 by chance.
        let counted =
            |(name, value): &(&String, &f64)| !name.starts_with("process_") && **value == 3.0;
        assert_eq!(series.iter().filter(counted).count(), 1);
        for family in families().filter(|family| family.kind != FamilyKind::Histogram) {
            let name = family.exposed_name();
            let is_own = |key: &&String| **key == name || key.starts_with(&format!("{name}{{"));
            assert_eq!(series.keys().filter(is_own).count(), family.series(), "{name}");
        }
        for family in Histogram::FAMILIES {
            for part in ["_sum", "_count", "_bucket{le=\"+Inf\"}"] {
                assert!(series.contains_key(&format!("{}{part}", family.name)), "{}", family.name);
            }
        }
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(series[&format!("fortifun_build_info{{version=\"{version}\"}}")], 1.0);
    }

    #[test]
    fn a_counter_never_goes_down_when_its_thread_ends() {
        let registry = Registry::new();
        let block = registry.block();
        block.add(Counter::Frames(Direction::In), 7);
        drop(block);
        registry.block().add(Counter::Frames(Direction::In), 1);
        assert_eq!(registry.counter(Counter::Frames(Direction::In)), 8);
    }

    #[test]
    fn figures_counted_elsewhere_are_added_when_asked() {
        let registry = Registry::new();
        registry.sample_counter(Counter::LogLinesDropped, || 11);
        registry.sample_gauge(Gauge::QueueDepth(Queue::Write), || 2);
        registry.block().set(Gauge::QueueDepth(Queue::Write), 3);
        assert_eq!(registry.counter(Counter::LogLinesDropped), 11);
        assert_eq!(registry.gauge(Gauge::QueueDepth(Queue::Write)), 5);
    }

    #[test]
    fn a_gauge_lowered_before_it_was_raised_is_shown_as_nothing() {
        let registry = Registry::new();
        registry.block().lower(Gauge::OutboundBytes, 5);
        assert_eq!(registry.gauge(Gauge::OutboundBytes), 0);
    }

    #[test]
    fn blocks_of_two_threads_share_no_cache_line() {
        assert_eq!(align_of::<Block>(), 128);
        assert_eq!(size_of::<Block>() % 128, 0);
    }
}
