//! Keeps the clients on one core.

use anyhow::{Context, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Keeps this thread, and those that it starts from now on, on `core`.
///
/// # Errors
///
/// There is no such core.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("cannot run on core {core}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_where_it_is_pinned_and_nowhere_else() {
        let pinned = std::thread::spawn(|| {
            pin(0).unwrap();
            std::thread::available_parallelism().unwrap().get()
        });
        assert_eq!(pinned.join().unwrap(), 1);
        assert!(pin(CpuSet::MAX_CPU).is_err() && pin(CpuSet::MAX_CPU - 1).is_err());
    }
}
