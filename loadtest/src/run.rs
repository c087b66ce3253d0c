//! One file a subcommand.

pub(crate) mod chat;
pub(crate) mod churn;
pub(crate) mod commits;
pub(crate) mod compare;
pub(crate) mod crash;
pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod fleet;
pub(crate) mod handshakes;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod likes;
pub(crate) mod nodes;
pub(crate) mod open;
pub(crate) mod publishes;
pub(crate) mod seed;
pub(crate) mod slow;
pub(crate) mod soak;
pub(crate) mod storm;
pub(crate) mod verify;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hdrhistogram::Histogram;

/// Runs `work` on `0..count` by `threads` threads, each with a state of its own, and gives the first error up. The results
/// come in the order of the work.
pub(crate) fn parallel<S, T: Send>(
    count: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        let run = || {
            let mut state = state();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok(());
                }
                match work(&mut state, n) {
                    Ok(result) => {
                        done.lock().expect("no thread panics with it").push((n, result));
                    }
                    Err(error) => {
                        next.store(count, Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        };
        let threads: Vec<_> = (0..threads.min(count)).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a worker returns its errors"))
    })?;
    let mut done = done.into_inner().expect("no thread panics with it");
    done.sort_unstable_by_key(|(n, _)| *n);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Latencies in microseconds, to three digits; what takes over ten minutes counts as ten minutes.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are in order")
}

/// The middle one, or the mean of the two in the middle; `None` of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

/// A name for this run, so that client ids of different runs differ.
pub(crate) fn run_name() -> String {
    format!("{:x}-{:x}", crate::clock::unix().as_millis(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_an_error_ends_the_work() {
        let squares = parallel(100, 7, || 0, |_, n| Ok(n * n)).unwrap();
        assert!(squares.into_iter().enumerate().all(|(n, square)| square == n * n));
        let failed = parallel(
            100,
            3,
            || 0,
            |_, n| {
                anyhow::ensure!(n != 50, "no");
                Ok(n)
            },
        );
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }
}
