//! The whole server from one seed: real shards, workers, queues, rules and bounds on a simulated network, store and clock.
//!
//! `SIM_SEED=123 cargo test --test simulation` replays one run, `SIM_LOUD=1` says what its clients say and hear, and
//! `SIM_SEEDS=3000` makes more of them.

mod caller;
mod device;
mod faults;
mod invariants;
mod net;
mod panics;
mod peer;
mod rng;
mod scene;
mod server;
mod sim_io;
mod store;
mod stream;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use world::Report;

const SEEDS: u64 = 300;

/// What a day of storms has to have in it, or it shows nothing.
const SEEN: &[&str] = &[
    "ack",
    "busy",
    "close 1002",
    "close 1007",
    "close 1009",
    "close 1012",
    "close 1013",
    "close 4400",
    "close 4401",
    "close 4403",
    "close 4404",
    "close 4409",
    "close 4480",
    "forbidden",
    "http 201",
    "http 408",
    "http 503",
    "lost answers",
    "lost deliveries",
    "new_match",
    "not_found",
    "rate_limited",
    "read_receipt",
    "reconnect",
    "resumed in part",
    "stalled",
    "store_unavailable",
    "token_expiring",
    "typing",
    "unsettled",
    "user_status",
];

/// One seed; an error says which, why, and how to see it again.
fn simulate(seed: u64) -> Result<Report, String> {
    panics::watch();
    let is_loud = setting("SIM_LOUD").is_some();
    catch_unwind(AssertUnwindSafe(|| world::run(seed, is_loud))).map_err(|panic| {
        let why = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        let seen = panics::take();
        let place = seen.last().and_then(|text| text.lines().next()).unwrap_or_default().to_owned();
        format!(
            "seed {seed} fails: {why}\n{place}\nreplay: SIM_SEED={seed} cargo test --test simulation"
        )
    })
}

#[expect(clippy::disallowed_methods, reason = "how a person chooses what is run")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_seed_holds_every_invariant() {
    let (first, count) = match setting("SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (1, setting("SIM_SEEDS").unwrap_or(SEEDS)),
    };
    let next = AtomicU64::new(first);
    let has_failed = AtomicBool::new(false);
    let failures = Mutex::new(Vec::new());
    let counts = Mutex::new(BTreeMap::<String, u64>::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while !has_failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    match simulate(seed) {
                        Ok(report) => {
                            let mut counts = counts.lock().expect("nobody panics with it");
                            for (what, n) in report.counts {
                                *counts.entry(what).or_default() += n;
                            }
                        }
                        Err(why) => {
                            has_failed.store(true, Ordering::Relaxed);
                            failures.lock().expect("nobody panics with it").push(why);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panics with it");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let counts = counts.into_inner().expect("nobody panics with it");
    println!("{counts:#?}");
    let is_seen = |what: &&&str| counts.get(**what).is_some_and(|times| *times > 0);
    let unseen: Vec<_> = SEEN.iter().filter(|what| !is_seen(what)).collect();
    assert!(unseen.is_empty() || count < SEEDS, "never seen: {unseen:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 1..=4 {
        let hashes = [0; 2].map(|_| simulate(seed).map(|report| report.hash));
        match hashes {
            [Ok(one), Ok(other)] => assert_eq!(one, other, "seed {seed}"),
            [Err(why), _] | [_, Err(why)] => panic!("{why}"),
        }
    }
}
