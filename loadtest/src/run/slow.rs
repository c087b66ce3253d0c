//! `slow`: a fan-out in which some sessions stop reading, in turn with the same where all read.

use std::time::Duration;

use anyhow::ensure;
use hdrhistogram::Histogram;

use super::{fanout, latencies, median};
use crate::args::Slow as Args;
use crate::clock::Clock;
use crate::engine::fan::Fan;
use crate::engine::sampler::Courses;
use crate::engine::site::Site;
use crate::output::Report;
use crate::pairs::Pair;
use crate::scrape::Scrape;

/// Sessions that the server closed because they did not read.
const SLOW_CONSUMERS: &str = "fortifun_slow_consumers_total";

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    let sessions = args.fanout.sessions;
    let stopped = (f64::from(sessions) * args.stopped / 100.0).ceil() as usize;
    ensure!(stopped < sessions as usize, "somebody must read");
    ensure!(args.fanout.processes == 1, "one process does all of it");
    let (site, pairs) = fanout::set(&args.fanout)?;
    let mut report = Report::new("slow");
    fanout::tell(&mut report, &args.fanout);
    report.parameter("sessions that stop reading, of each conversation", stopped);
    report.parameter("rounds", args.rounds);
    report.parameter("server", site.name());
    let slow_before = slow_consumers(&site);
    // All read, and some do not.
    let mut sides = [Side::new(), Side::new()];
    'rounds: for _ in 0..args.rounds {
        for (side, stopped) in sides.iter_mut().zip([0, stopped]) {
            side.round(args, (&site, &pairs, clock), stopped, &mut report)?;
            if !report.faults.is_empty() {
                break 'rounds;
            }
        }
    }
    let ratios = sides[1].p99.iter().zip(&sides[0].p99).map(|(some, all)| some / all.max(1.0));
    let ratio = median(ratios.collect());
    for (name, side) in ["all read", "some stopped"].into_iter().zip(&sides) {
        let middle = |of: &[f64]| median(of.to_vec()).unwrap_or_default();
        report.row(format!("{name}: deliveries"), middle(&side.rates), "1/s");
        report.row(format!("{name}: p99, median"), middle(&side.p99), "us");
        report.latency(format!("{name}: delivery"), &side.delivery);
        side.courses.tell(&mut report, &format!("{name}: "), "deliveries");
    }
    report.row("p99, some stopped to all read, median", ratio.unwrap_or_default(), "");
    let [_, some] = &sides;
    report.row("sessions that stopped reading", some.stopped, "");
    if let Some((before, after)) = slow_before.zip(slow_consumers(&site)) {
        report.row("closed by the server as slow", after - before, "");
    }
    report.row("found their end when they read on", some.ended, "");
    Ok(report)
}

/// What was measured one way.
struct Side {
    p99: Vec<f64>,
    rates: Vec<f64>,
    delivery: Histogram<u64>,
    courses: Courses,
    /// Sessions that stopped reading, of all rounds.
    stopped: usize,
    /// Those of them that the server had ended when they read on.
    ended: usize,
}

impl Side {
    fn new() -> Self {
        Self {
            p99: Vec::new(),
            rates: Vec::new(),
            delivery: latencies(),
            courses: Courses::default(),
            stopped: 0,
            ended: 0,
        }
    }

    fn round(
        &mut self,
        args: &Args,
        (site, pairs, clock): (&Site, &[Pair], &Clock),
        stopped: usize,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let manner = fanout::manner(&args.fanout, stopped);
        let (mut fan, mut swarm) = Fan::open(site, clock, pairs, manner)?;
        let (warm_up, window) = (args.fanout.time.warm_up(), args.fanout.time.window());
        let measured = fan.measure((&mut swarm, site, clock), warm_up, window)?;
        self.stopped += stopped * pairs.len();
        self.ended += fan.wake(&mut swarm, clock)?;
        swarm.close();
        self.courses.go_on(measured.courses.clone());
        self.p99.push(fan.counted.delivery.value_at_quantile(0.99) as f64);
        self.rates.push(measured.rate(fan.counted.deliveries));
        self.delivery.add(&fan.counted.delivery)?;
        report.faults.extend(fan.faults.told());
        // What the last round's sessions leave behind is no part of the next.
        std::thread::park_timeout(Duration::from_millis(500));
        Ok(())
    }
}

/// How many sessions the server closed because they did not read; `None` where it does not tell.
fn slow_consumers(site: &Site) -> Option<f64> {
    Scrape::of(&site.target).ok()?.sample(SLOW_CONSUMERS).ok()
}
