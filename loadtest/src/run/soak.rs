//! `soak`: pairs talk while sessions come and go; whether anything of these stays behind.

mod passers;
mod slope;

use std::time::Duration;

use anyhow::Context;

use self::passers::Passers;
use self::slope::Line;
use crate::args::Soak as Args;
use crate::clock::Clock;
use crate::engine::fan::{Fan, Manner, said_bytes};
use crate::engine::measure::Begun;
use crate::engine::site::{Needs, Site};
use crate::output::{self, Report};
use crate::procfs::{self, Memory};
use crate::scrape::Scrape;
use crate::swarm::Swarm;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(10);
/// How long the last sessions that pass may take to be gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// Open connections by what they are used for, as the server counts them; those of HTTP are our own questions.
const CONNECTIONS: &str = "fortifun_connections_open";
const HTTP: &str = "fortifun_connections_open{endpoint=\"http\"}";
/// Deadlines of connections that are set.
const TIMERS: &str = "fortifun_timers_armed";
/// Entries that wait in the server's queues.
const QUEUES: &str = "fortifun_queue_depth";
/// A slope of so many standard errors, at most, is noise.
const NOISE: f64 = 2.0;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    let talkers = 2 * args.conversations;
    let site = Site::set(
        &args.site,
        Needs { users: talkers + args.users, first_user: args.people.first_user, frames: None },
    )?;
    let pid = site.pid().context("the server's process must be known: --server-pid")?;
    let pairs = site.pairs(args.conversations)?;
    let (fan, swarm) = Fan::open(&site, clock, &pairs, manner(args))?;
    let passers = Passers::new(&site, args, talkers);
    let mut soak = Soak { site: &site, pid, fan, swarm, passers, looks: Vec::new() };
    let rest = Duration::from_secs(args.rest_s);
    soak.go_on(clock, (rest, "resting"), &mut |_| {})?;
    let first = soak.look(clock)?;
    soak.fan.begin(&mut soak.swarm, clock);
    soak.passers.begin(clock.now());
    soak.go_on(clock, (args.time.warm_up(), "warming up"), &mut |_| {})?;
    soak.fan.count_from(clock.now());
    let mut begun = Begun::now(&site, clock)?;
    let passed = soak.passers.passed;
    let end = clock.now() + args.time.window();
    let step = Duration::from_secs(args.sample_s);
    while clock.now() < end && soak.is_well() {
        let time = step.min(end.saturating_sub(clock.now()));
        soak.go_on(clock, (time, "soaking"), &mut |count| begun.look(clock, count))?;
        let look = soak.look(clock)?;
        soak.looks.push(look);
    }
    let measured = begun.end(&site, clock)?;
    let counted = soak.fan.counted.clone();
    let passed = soak.passers.passed - passed;
    soak.passers.end();
    let deadline = clock.now() + PATIENCE;
    while soak.passers.here() > 0 && clock.now() < deadline {
        soak.turn(clock)?;
    }
    soak.fan.settle(&mut soak.swarm, clock)?;
    soak.go_on(clock, (rest, "resting"), &mut |_| {})?;
    let last = soak.look(clock)?;
    let mut report = Report::new("soak");
    report.parameter("conversations", args.conversations);
    report.parameter("messages a second", args.rate);
    report.parameter("sessions that come a second", args.churn);
    report.parameter("each stays, ms", args.stay_ms);
    report.parameter("seconds", args.time.duration_s);
    report.parameter("server", site.name());
    report.row("deliveries", measured.rate(counted.deliveries), "1/s");
    report.row("sessions that came and went", measured.rate(passed), "1/s");
    measured.tell(&mut report, "delivery and its share of sessions", counted.deliveries);
    report.latency("delivery", &counted.delivery);
    measured.courses.tell(&mut report, "", "deliveries");
    let Soak { fan, passers, looks, .. } = soak;
    report.faults = fan.faults;
    report.faults.extend(passers.faults.told());
    tell(&mut report, &looks, begun_at(&looks), (&first, &last));
    Ok(report)
}

fn manner(args: &Args) -> Manner {
    Manner {
        dialect: args.site.dialect,
        sessions: 2,
        stopped: 0,
        publishers: 2 * args.conversations as usize,
        window: 1,
        rate: Some(args.rate),
        bytes: said_bytes(args.site.dialect, usize::from(args.bytes)),
    }
}

/// A run under way.
struct Soak<'a> {
    site: &'a Site,
    pid: u32,
    fan: Fan,
    swarm: Swarm,
    passers: Passers<'a>,
    looks: Vec<Look>,
}

/// The server at one moment.
struct Look {
    at: Duration,
    memory: Memory,
    descriptors: usize,
    /// `None` where the server does not tell.
    timers: Option<f64>,
    connections: f64,
    queued: f64,
}

impl Soak<'_> {
    /// Talks for a while; `look` is told often how many deliveries were counted.
    fn go_on(
        &mut self,
        clock: &Clock,
        (time, what): (Duration, &'static str),
        look: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        let (start, bar) = (clock.now(), output::bar(time.as_secs(), what));
        while clock.since(start) < time && self.is_well() {
            self.turn(clock)?;
            look(self.fan.counted.deliveries);
            bar.set_position(clock.since(start).as_secs());
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn is_well(&self) -> bool {
        self.fan.faults.is_empty() && self.passers.faults.is_empty()
    }

    fn turn(&mut self, clock: &Clock) -> anyhow::Result<()> {
        self.passers.tick(&mut self.swarm, clock.now())?;
        let Self { fan, swarm, passers, .. } = self;
        fan.turn(swarm, clock, TURN, |key, happening| passers.on(key, &happening, clock.now()))
    }

    fn look(&self, clock: &Clock) -> anyhow::Result<Look> {
        // Before the server is asked: that costs it a connection.
        let (memory, descriptors) = (Memory::read(self.pid)?, procfs::descriptors(self.pid)?);
        let scrape = Scrape::of(&self.site.target)?;
        Ok(Look {
            at: clock.now(),
            memory,
            descriptors,
            timers: scrape.sample(TIMERS).ok(),
            connections: scrape.sum(CONNECTIONS) - scrape.sample(HTTP).unwrap_or(0.0),
            queued: scrape.sum(QUEUES),
        })
    }
}

fn begun_at(looks: &[Look]) -> Duration {
    looks.first().map_or(Duration::ZERO, |look| look.at)
}

/// Memory over time, and whether the server is at the end as it was at first.
fn tell(report: &mut Report, looks: &[Look], begun: Duration, (first, last): (&Look, &Look)) {
    let points = |of: &dyn Fn(&Look) -> f64| -> Vec<(f64, f64)> {
        let point = |look: &Look| (look.at.saturating_sub(begun).as_secs_f64(), of(look));
        looks.iter().map(point).collect()
    };
    for (name, of) in [
        ("resident", &(|look: &Look| look.memory.rss as f64) as &dyn Fn(&Look) -> f64),
        ("heap and stacks", &|look: &Look| look.memory.anonymous as f64),
    ] {
        let points = points(of);
        tell_slope(report, name, &points);
        report.row(format!("{name} at first"), of(first), "bytes");
        report.row(format!("{name} at the end"), of(last), "bytes");
        report.series(name, "bytes", points);
    }
    for (name, of) in [
        ("descriptors", &(|look: &Look| Some(look.descriptors as f64)) as &dyn Fn(&Look) -> _),
        ("timers", &|look: &Look| look.timers),
        ("sessions", &|look: &Look| Some(look.connections)),
        ("queued", &|look: &Look| Some(look.queued)),
    ] {
        let Some((then, now)) = of(first).zip(of(last)) else { continue };
        report.row(format!("{name} at first"), then, "");
        report.row(format!("{name} at the end"), now, "");
        report.series(name, "", points(&|look| of(look).unwrap_or_default()));
        if now > then {
            report.faults.add(format_args!("{now} {name} at the end, {then} at first"));
        }
    }
}

/// How memory goes, a minute, and whether that is more than noise.
fn tell_slope(report: &mut Report, name: &str, points: &[(f64, f64)]) {
    let Some(line) = Line::through(points) else { return };
    let (slope, error) = (line.slope * 60.0, line.slope_error * 60.0);
    report.row(format!("{name}, slope"), slope, "bytes/min");
    report.row(format!("{name}, standard error of the slope"), error, "bytes/min");
    let is_above = slope > NOISE * error;
    report.row(format!("{name}, slope above noise"), if is_above { "yes" } else { "no" }, "");
}
