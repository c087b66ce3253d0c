//! One server under the load of several processes of this program, each with a part of the sessions; what they counted is added up.

use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use hdrhistogram::iterators::IterationValue;
use serde::{Deserialize, Serialize};

use super::crew::{Crew, Part, Steps};
use super::measure::{Begun, Measured};
use super::site::Site;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::output;
use crate::pairs::Pair;
use crate::run::latencies;
use crate::swarm::Swarm;
use crate::usage::Spent;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(20);

/// How a process that has a part finds the server of the one that started it.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Shared {
    /// Where it is, `HOST:PORT`.
    pub(crate) address: String,
    /// The key of its tokens.
    pub(crate) secret: String,
    /// The first of its users.
    pub(crate) first_user: i64,
    /// All conversations that are talked in, each with its users.
    pub(crate) pairs: Vec<(i64, [i64; 2])>,
}

impl Shared {
    /// The conversations of `part`: every so many-th one.
    pub(crate) fn pairs_of(&self, part: &Part) -> Vec<Pair> {
        let own = self.pairs.iter().skip(part.n as usize).step_by(part.of as usize);
        own.map(|(conversation, users)| Pair { conversation: *conversation, users: *users })
            .collect()
    }
}

/// What one process counted while it was measured, or all of them.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Found {
    /// Counts, in an order that the scenario knows.
    pub(crate) counts: Vec<u64>,
    /// Latencies, in such an order: microseconds, and how often.
    latencies: Vec<Vec<(u64, u64)>>,
    spent: Spent,
    faults: Vec<String>,
}

impl Found {
    /// What this process found.
    pub(crate) fn of(
        counts: &[u64],
        latencies: &[&Histogram<u64>],
        measured: &Measured,
        faults: &Faults,
    ) -> Self {
        Self {
            counts: counts.to_vec(),
            latencies: latencies.iter().map(|histogram| values(histogram)).collect(),
            spent: measured.client,
            faults: faults.told().to_vec(),
        }
    }

    /// Adds what another process found.
    fn add(&mut self, other: Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        for (values, more) in self.latencies.iter_mut().zip(other.latencies) {
            values.extend(more);
        }
        self.spent.user += other.spent.user;
        self.spent.system += other.spent.system;
        self.faults.extend(other.faults);
    }

    /// The latencies of that number.
    pub(crate) fn latency(&self, n: usize) -> Histogram<u64> {
        let mut histogram = latencies();
        for (value, count) in self.latencies.get(n).into_iter().flatten() {
            histogram.saturating_record_n(*value, *count);
        }
        histogram
    }

    /// What was wrong.
    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        faults.extend(&self.faults);
        faults
    }
}

/// The values of a histogram, and how often each is in it.
fn values(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let value = |value: IterationValue<u64>| (value.value_iterated_to(), value.count_at_value());
    histogram.iter_recorded().map(value).collect()
}

/// Starts so many processes with this one's command line, lets them begin when all sessions stand, and measures the server for as
/// long as they measure themselves.
///
/// # Errors
///
/// One of them could not do its part.
pub(crate) fn together(
    processes: u32,
    (site, clock): (&Site, &Clock),
    pairs: &[Pair],
    [warm_up, window]: [Duration; 2],
) -> anyhow::Result<(Measured, Found)> {
    let shared = site.shared(pairs)?;
    let mut crew = Crew::start_at(processes, Some(&shared))?;
    let bar = output::bar((warm_up + window).as_secs(), "opening sessions");
    crew.step(&bar)?;
    bar.set_message("warming up");
    crew.listen(clock, clock.now() + warm_up, |_| {})?;
    let mut begun = Begun::now(site, clock)?;
    bar.set_message("measuring");
    let end = begun.at() + window;
    crew.listen(clock, end, |counted| begun.look(clock, counted))?;
    let mut measured = begun.end(site, clock)?;
    bar.set_message("ending");
    let mut found = crew.end::<Found>()?.into_iter();
    let mut all = found.next().context("there is no process")?;
    found.for_each(|more| all.add(more));
    bar.finish_and_clear();
    measured.client = all.spent;
    Ok((measured, all))
}

/// A process that has a part waits here until all are as far; its sessions stay alive.
///
/// # Errors
///
/// The one who started it is gone.
pub(crate) fn wait_for_all(swarm: &mut Swarm) -> anyhow::Result<()> {
    let steps = Steps::listen();
    Steps::arrive();
    while !steps.may_go_on()? {
        swarm.wait(TURN)?;
        while swarm.next().is_some() {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(counts: &[u64], values: &[(u64, u64)]) -> Found {
        Found { counts: counts.to_vec(), latencies: vec![values.to_vec()], ..Found::default() }
    }

    #[test]
    fn what_processes_found_is_added_up() {
        let mut all = found(&[3, 1], &[(10, 2), (40, 1)]);
        all.add(Found { faults: vec!["no".to_owned()], ..found(&[4, 1], &[(10, 7), (90, 1)]) });
        let latency = all.latency(0);
        assert_eq!((&all.counts[..], all.faults().count()), (&[7, 2][..], 1));
        assert_eq!((latency.len(), latency.max(), latency.value_at_quantile(0.5)), (11, 90, 10));
        assert!(all.latency(1).is_empty());
    }

    #[test]
    fn a_histogram_that_was_told_is_the_same() {
        let mut histogram = latencies();
        (1..5_000).for_each(|us| histogram.saturating_record(us * 7));
        let told = found(&[], &values(&histogram)).latency(0);
        assert_eq!(values(&told), values(&histogram));
    }

    #[test]
    fn conversations_are_shared_out_and_none_is_left() {
        let pairs = (0..7).map(|n| (n, [n, n])).collect();
        let shared = Shared { address: String::new(), secret: String::new(), first_user: 1, pairs };
        let of = |n: u32| shared.pairs_of(&format!("{n}/3:x").parse().unwrap());
        let all: Vec<_> = (0..3).flat_map(of).map(|pair| pair.conversation).collect();
        assert_eq!(all, [0, 3, 6, 1, 4, 2, 5]);
    }
}
