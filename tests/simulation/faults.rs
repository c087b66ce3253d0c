//! What goes wrong in one run: each seed draws its own mix, because one fault can heal what another breaks.

use crate::rng::Rng;

/// Chances are per 1,000.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    pub(crate) shards: usize,
    pub(crate) write_workers: usize,
    pub(crate) read_workers: usize,
    pub(crate) inbox_notes: usize,
    pub(crate) write_queue: usize,
    pub(crate) read_queue: usize,
    pub(crate) batch: usize,
    pub(crate) soft_bytes: usize,
    pub(crate) hard_bytes: usize,
    pub(crate) write_delay_ms: u64,
    pub(crate) connections_per_user: usize,
    pub(crate) connections_per_ip: u32,
    /// True exactly when the limits of the contract hold for users; else there are none.
    pub(crate) has_rates: bool,
    pub(crate) users: usize,
    pub(crate) devices: usize,
    /// Whether REST clients block, and leave conversations.
    pub(crate) blocks: bool,
    pub(crate) leaves: bool,
    pub(crate) opens: bool,
    /// Lifetime of tokens, seconds.
    pub(crate) token_s: u64,
    /// How long the faults last, milliseconds.
    pub(crate) storm_ms: u64,
    pub(crate) end: End,
    pub(crate) net: NetFaults,
    pub(crate) store: StoreFaults,
    pub(crate) pace: PaceFaults,
}

/// What happens to the server in the middle of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Stays,
    /// It drains, and another begins on the same store.
    Drains,
    /// It dies, and another begins on the same store.
    Dies,
}

/// Of the network.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetFaults {
    /// A write of a client arrives in pieces.
    pub(crate) cut: u32,
    /// Milliseconds that a piece is under way, at most.
    pub(crate) latency_ms: u64,
    /// Milliseconds that readiness is told late, at most.
    pub(crate) late_ms: u64,
    /// A send takes less than fits.
    pub(crate) short_send: u32,
    /// A send takes nothing though there is room.
    pub(crate) no_send: u32,
    pub(crate) interrupted: u32,
    pub(crate) accept_aborted: u32,
    pub(crate) accept_exhausted: u32,
    pub(crate) register_failed: u32,
    /// A connection is reset at a receive or send.
    pub(crate) reset: u32,
    /// Bytes of the smallest and the largest send buffer.
    pub(crate) buffer: (u64, u64),
}

/// Of the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreFaults {
    pub(crate) contended: u32,
    pub(crate) unavailable: u32,
    pub(crate) timed_out: u32,
    /// The answer of a commit is lost: it happens, does not happen, or happens later.
    pub(crate) unknown: u32,
    /// Calls that fail after such an answer was lost, at most: the database is away.
    pub(crate) away: u32,
    pub(crate) poisoned: u32,
    pub(crate) panics: u32,
    pub(crate) read_fails: u32,
}

/// Of threads and clocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct PaceFaults {
    /// Milliseconds a worker takes for one batch, at most.
    pub(crate) worker_ms: u64,
    /// A worker sleeps for a second or two after a batch.
    pub(crate) worker_naps: u32,
    /// A shard is not run for up to so many milliseconds after a turn.
    pub(crate) shard_ms: u64,
    pub(crate) shard_naps: u32,
    /// How long a worker waits for room in an inbox.
    pub(crate) patience_ms: u64,
    /// Nobody runs for a while.
    pub(crate) freezes: u32,
    /// The wall clock is set forward.
    pub(crate) clock_jumps: u32,
    /// A turn without cause.
    pub(crate) spurious: u32,
}

impl Mix {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        // Half of the faults are off in any one run.
        let mut some =
            |most: u32| if rng.chance(500) { rng.between(1, u64::from(most)) as u32 } else { 0 };
        let net = NetFaults {
            cut: some(900),
            latency_ms: u64::from(some(80)),
            late_ms: u64::from(some(20)),
            short_send: some(500),
            no_send: some(200),
            interrupted: some(100),
            accept_aborted: some(200),
            accept_exhausted: some(100),
            register_failed: some(20),
            reset: some(4),
            buffer: (0, 0),
        };
        let store = StoreFaults {
            contended: some(300),
            unavailable: some(60),
            timed_out: some(30),
            unknown: some(40),
            away: some(40),
            poisoned: some(40),
            panics: some(20),
            read_fails: some(60),
        };
        let pace = PaceFaults {
            worker_ms: u64::from(some(40)),
            worker_naps: some(30),
            shard_ms: u64::from(some(10)),
            shard_naps: some(20),
            patience_ms: 5_000,
            freezes: some(2),
            clock_jumps: some(2),
            spurious: some(50),
        };
        let mut mix = Self {
            shards: rng.between(1, 3) as usize,
            write_workers: rng.between(1, 2) as usize,
            read_workers: rng.between(1, 2) as usize,
            inbox_notes: rng.pick(&[4, 16, 64, 4_096, 65_536]),
            write_queue: rng.pick(&[1, 4, 32, 1_024]),
            read_queue: rng.pick(&[2, 8, 64, 1_024]),
            batch: rng.pick(&[1, 3, 16, 256]),
            soft_bytes: rng.pick(&[4_000, 16_000, 256 * 1024]),
            hard_bytes: rng.pick(&[300_000, 1024 * 1024]),
            write_delay_ms: rng.pick(&[0, 0, 15, 400]),
            connections_per_user: rng.pick(&[2, 4, 20, 20]),
            connections_per_ip: rng.pick(&[5, 1_000, 1_000]),
            has_rates: rng.chance(400),
            users: rng.between(3, 5) as usize,
            devices: rng.between(6, 14) as usize,
            blocks: rng.chance(300),
            leaves: rng.chance(200),
            opens: rng.chance(400),
            token_s: rng.pick(&[20, 70, 3_600, 3_600]),
            storm_ms: rng.between(15_000, 45_000),
            end: rng.pick(&[End::Stays, End::Stays, End::Drains, End::Dies]),
            net,
            store,
            pace,
        };
        mix.net.buffer = rng.pick(&[(200, 2_000), (2_000, 40_000), (60_000, 2_000_000)]);
        mix.pace.patience_ms = rng.pick(&[50, 1_000, 5_000]);
        if mix.opens && mix.write_workers > 1 {
            // What one worker says in the conversation of another overtakes what that one has not settled.
            mix.store.away = 0;
        }
        if rng.chance(100) {
            // Much is lost only where three things come together.
            mix.inbox_notes = 4;
            mix.pace.patience_ms = 50;
            mix.pace.shard_naps = 20;
        }
        mix
    }

    /// The storm is over.
    pub(crate) fn heal(&mut self) {
        self.net = NetFaults { buffer: (60_000, 2_000_000), ..NetFaults::default() };
        self.store = StoreFaults::default();
        self.pace = PaceFaults { patience_ms: 5_000, ..PaceFaults::default() };
    }
}
