//! How a run goes over time: every second, what was counted so far, and what the server's process holds and has spent.

use std::time::Duration;

use crate::procfs;
use crate::report::Report;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// Looks while a run is measured.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// The server, where it runs on this machine.
    pid: Option<u32>,
    every: Duration,
    /// When the last look was due.
    last: Duration,
    samples: Vec<Sample>,
}

/// One look.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Sample {
    at: Duration,
    count: u64,
    server: Option<Server>,
}

/// The server's process at that moment.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Server {
    /// Bytes.
    resident: u64,
    /// Processor time up to then.
    cpu: Duration,
}

/// What was seen, as points: seconds since the first look, and the figure then.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Courses {
    /// How long it was looked, seconds.
    took_s: f64,
    counts: Vec<(f64, f64)>,
    /// Counted a second, since the look before.
    rates: Vec<(f64, f64)>,
    /// Bytes.
    resident: Vec<(f64, f64)>,
    /// Processor time since the look before, percent of a core.
    busy: Vec<(f64, f64)>,
}

impl Sampler {
    /// Takes the first look; nothing is counted yet.
    pub(crate) fn begin(pid: Option<u32>, now: Duration) -> Self {
        let first = Sample { at: now, count: 0, server: Server::read(pid) };
        Self { pid, every: EVERY, last: now, samples: vec![first] }
    }

    /// Looks as often as this, in place of every second.
    pub(crate) fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Takes a look where it is time for one. `count` is what was counted since the first. One that comes late stands for those
    /// that were missed. True exactly when one was taken.
    pub(crate) fn look(&mut self, now: Duration, count: u64) -> bool {
        if now < self.last + self.every {
            return false;
        }
        while self.last + self.every <= now {
            self.last += self.every;
        }
        self.take(now, count);
        true
    }

    /// Takes a look, whether it is time for one or not: the last one.
    pub(crate) fn take(&mut self, now: Duration, count: u64) {
        self.samples.push(Sample { at: now, count, server: Server::read(self.pid) });
    }

    /// What was seen.
    pub(crate) fn courses(&self) -> Courses {
        courses(&self.samples)
    }
}

impl Server {
    /// `None` where it is not here, or has gone.
    fn read(pid: Option<u32>) -> Option<Self> {
        let pid = pid?;
        Some(Self { resident: procfs::resident(pid).ok()?, cpu: procfs::cpu(pid).ok()? })
    }
}

impl Courses {
    /// What was counted a second, and the server's part of it; each name begins with `of`.
    pub(crate) fn tell(&self, report: &mut Report, of: &str, counted: &str) {
        report.series(format!("{of}{counted}"), "1/s", self.rates.clone());
        self.tell_server(report, of);
    }

    /// What was counted up to each moment, and the server's part of it.
    pub(crate) fn tell_counts(&self, report: &mut Report, counted: &str) {
        report.series(counted, "", self.counts.clone());
        self.tell_server(report, "");
    }

    fn tell_server(&self, report: &mut Report, of: &str) {
        if !self.resident.is_empty() {
            report.series(format!("{of}server resident"), "bytes", self.resident.clone());
            report.series(format!("{of}server busy"), "%", self.busy.clone());
        }
    }

    /// Goes on with those of a later look, as if they had followed at once.
    pub(crate) fn go_on(&mut self, later: Self) {
        let counted = self.counts.last().map_or(0.0, |(_, count)| *count);
        let begin = self.took_s;
        let after = |points: Vec<(f64, f64)>, base: f64| {
            points.into_iter().map(move |(at, figure)| (begin + at, base + figure))
        };
        self.counts.extend(after(later.counts, counted));
        self.rates.extend(after(later.rates, 0.0));
        self.resident.extend(after(later.resident, 0.0));
        self.busy.extend(after(later.busy, 0.0));
        self.took_s += later.took_s;
    }
}

fn courses(samples: &[Sample]) -> Courses {
    let mut courses = Courses::default();
    let Some(first) = samples.first() else { return courses };
    for pair in samples.windows(2) {
        let [before, now] = [pair[0], pair[1]];
        let at = now.at.saturating_sub(first.at).as_secs_f64();
        let passed = now.at.saturating_sub(before.at).as_secs_f64().max(1e-9);
        courses.took_s = at;
        courses.counts.push((at, now.count as f64));
        courses.rates.push((at, now.count.saturating_sub(before.count) as f64 / passed));
        if let Some((then, server)) = before.server.zip(now.server) {
            let spent = server.cpu.saturating_sub(then.cpu).as_secs_f64();
            courses.resident.push((at, server.resident as f64));
            courses.busy.push((at, 100.0 * spent / passed));
        }
    }
    courses
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sample(at: u32, count: u64, server: Option<(u64, u32)>) -> Sample {
        let server = server.map(|(resident, cpu)| Server { resident, cpu: MS * cpu });
        Sample { at: MS * at, count, server }
    }

    #[test]
    fn a_look_is_taken_once_a_second_and_a_late_one_stands_for_those_missed() {
        let mut sampler = Sampler::begin(None, MS * 500);
        for (at, count) in
            [(600, 1), (1_499, 5), (1_500, 6), (1_600, 7), (4_100, 9), (4_499, 10), (4_500, 11)]
        {
            sampler.look(MS * at, count);
        }
        let counts = [(1.0, 6.0), (3.6, 9.0), (4.0, 11.0)];
        let courses = sampler.courses();
        assert_eq!((&courses.counts[..], courses.resident.len()), (&counts[..], 0));
        let mut often = Sampler::begin(None, Duration::ZERO).every(MS * 100);
        (0..=1_000).for_each(|at| _ = often.look(MS * at, 0));
        assert_eq!(often.courses().counts.len(), 10);
    }

    #[test]
    fn rates_and_shares_are_of_the_time_between_two_looks() {
        let courses = courses(&[
            sample(1_000, 0, Some((10, 100))),
            sample(3_000, 50, Some((30, 1_100))),
            sample(4_000, 40, None),
        ]);
        assert_eq!(courses.rates, [(2.0, 25.0), (3.0, 0.0)]);
        assert_eq!(courses.busy, [(2.0, 50.0)]);
        assert_eq!(courses.resident, [(2.0, 30.0)]);
    }

    #[test]
    fn a_later_course_follows_at_once() {
        let of = |at| courses(&[sample(at, 0, None), sample(at + 1_000, 3, None)]);
        let mut both = of(0);
        both.go_on(of(70_000));
        assert_eq!(both.counts, [(1.0, 3.0), (2.0, 6.0)]);
        assert_eq!(both.rates, [(1.0, 3.0), (2.0, 3.0)]);
    }

    #[test]
    fn this_process_is_seen_and_one_that_is_gone_is_not() {
        let mut sampler = Sampler::begin(Some(std::process::id()), Duration::ZERO);
        sampler.look(EVERY, 1);
        assert!(sampler.courses().resident[0].1 > 0.0);
        let mut report = Report::new("echo");
        sampler.courses().tell(&mut report, "all: ", "echoes");
        let names: Vec<_> = report.courses.iter().map(|course| &*course.name).collect();
        let expected = ["echoes", "server resident", "server busy"];
        assert_eq!(names, expected.map(|name| format!("all: {name}")));
        assert_eq!(Server::read(Some(u32::MAX)), None);
    }
}
