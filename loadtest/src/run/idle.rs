//! `idle`: what the server spends on sessions that do nothing.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::open::Opener;
use super::parallel;
use crate::args::{Endpoint, Idle};
use crate::clock::Clock;
use crate::dialect::{Dialect, Greeting, Place};
use crate::engine::crew::{Crew, Part, Steps};
use crate::engine::site::{Frames, Needs, Site};
use crate::faults::Faults;
use crate::http::Connection;
use crate::output::{self, Report};
use crate::pairs::Pair;
use crate::procfs::{self, Memory};
use crate::rest;
use crate::swarm::{Happening, Key, Swarm};
use crate::ws::Upgrade;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(200);
/// Connections that look conversations up.
const LOOKUPS: usize = 8;

/// How many sockets may be missing in the kernel's count because others ended meanwhile.
const SOCKETS_ASIDE_PERCENT: u64 = 5;
/// Addresses that one process may bind on loopback.
const SOURCES_OF_PART: u32 = 256;

pub(crate) fn run(args: &Idle, clock: &Clock) -> anyhow::Result<Report> {
    let counts = &args.connections;
    ensure!(
        counts.first().is_some_and(|first| *first > 0) && counts.is_sorted_by(|a, b| a < b),
        "--connections must grow"
    );
    let found = match &args.part {
        Some(part) => {
            let found = hold(args, Some(part), clock)?;
            part.leave(&found)?;
            found
        }
        None if args.processes > 1 => together(args)?,
        None => hold(args, None, clock)?,
    };
    let mut report = report(&found);
    report.parameter("processes", args.processes);
    report.parameter("held, seconds", args.hold_s);
    Ok(report)
}

/// What all processes found.
fn together(args: &Idle) -> anyhow::Result<Found> {
    let mut crew = Crew::start(args.processes)?;
    let most = args.connections.iter().max().copied().unwrap_or_default();
    let bar = output::bar(u64::from(most), "starting servers");
    crew.step(&bar)?;
    crew.step(&bar)?;
    bar.set_message("opening sessions");
    // Each count is held until all have reached it, and until all have looked.
    for count in &args.connections {
        crew.step(&bar)?;
        bar.set_message(format!("settling at {count}"));
        crew.step(&bar)?;
        bar.set_message("opening sessions");
    }
    for what in ["holding", "ending"] {
        crew.step(&bar)?;
        bar.set_message(what);
    }
    bar.finish_and_clear();
    let mut found = crew.end::<Found>()?.into_iter();
    let first = found.next().context("there is no process")?;
    let all = found.fold(first, Found::with);
    all.check(&args.connections)?;
    Ok(all)
}

/// Opens this process' share of the sessions and looks at its server.
fn hold(args: &Idle, part: Option<&Part>, clock: &Clock) -> anyhow::Result<Found> {
    let share = |count: u32| part.map_or(count, |part| part.share(count));
    let counts: Vec<u32> = args.connections.iter().map(|count| share(*count)).collect();
    let most = *counts.last().expect("it is not empty");
    let users = args.users.map_or(most, share).clamp(1, most.max(1));
    let first_user = args.people.first_user + part.map_or(0, |part| i64::from(part.n * users));
    let needs = Needs { users, first_user, frames: Some(Frames::of_texts(100, 100)) };
    let mut site = Site::set(&args.site, needs)?;
    site.target.first_source = part.map_or(0, |part| part.n * SOURCES_OF_PART);
    let pid = site.pid().context("the server's process must be known: --server-pid")?;
    let opener = Opener::new(most, args.connect_rate)?;
    let upgrades = upgrades(args, &site, users, most)?;
    let mut idle = Sessions {
        dialect: site.dialect,
        swarm: site.swarm()?,
        answers: Vec::new(),
        faults: Faults::default(),
        steps: part.map(|_| Steps::listen()),
    };
    // All servers run, and nobody has opened a session yet.
    idle.step()?;
    let mut points = vec![Point { count: 0, memory: Memory::read(pid)? }];
    idle.step()?;
    let mut begun = 0;
    for &count in &counts {
        let some = &upgrades[begun..count as usize];
        let Sessions { dialect, swarm, answers, faults, .. } = &mut idle;
        let opener = part.map_or(opener, |_| opener.telling(begun as u64));
        opener.open(swarm, &site.target, clock, some, |key, happening| {
            answers.extend(on(*dialect, faults, key, &happening).map(|answer| (key, answer)));
        })?;
        begun = count as usize;
        idle.step()?;
        idle.rest(clock, Duration::from_secs(args.settle_s), "settling")?;
        points.push(Point { count, memory: Memory::read(pid)? });
        idle.step()?;
    }
    let (pings, cpu, at) = (idle.swarm.pings(), procfs::cpu(pid)?, clock.now());
    idle.step()?;
    idle.rest(clock, Duration::from_secs(args.hold_s), "holding")?;
    let held = Held {
        pings: idle.swarm.pings() - pings,
        cpu: procfs::cpu(pid)?.saturating_sub(cpu),
        took: clock.since(at),
        memory: Memory::read(pid)?,
    };
    idle.step()?;
    if idle.swarm.open() != most as usize {
        let open = idle.swarm.open();
        idle.faults.add(format_args!("{open} of {most} sessions are open at the end"));
    }
    idle.swarm.close();
    Ok(Found { points, held, faults: idle.faults.told().to_vec() })
}

/// The sessions so far.
struct Sessions {
    dialect: Dialect,
    swarm: Swarm,
    /// What is to be sent.
    answers: Vec<(Key, &'static str)>,
    faults: Faults,
    /// Where others have parts.
    steps: Option<Steps>,
}

impl Sessions {
    /// Answers pings for so long.
    fn rest(&mut self, clock: &Clock, time: Duration, what: &'static str) -> anyhow::Result<()> {
        let (start, bar) = (clock.now(), output::bar(time.as_secs(), what));
        while clock.now() < start + time {
            self.turn((start + time).saturating_sub(clock.now()).min(TURN))?;
            bar.set_position(clock.since(start).as_secs());
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Answers pings until the other processes are as far.
    fn step(&mut self) -> anyhow::Result<()> {
        let Some(steps) = self.steps.take() else { return Ok(()) };
        Steps::arrive();
        while !steps.may_go_on()? {
            self.turn(TURN)?;
        }
        self.steps = Some(steps);
        Ok(())
    }

    fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        for (key, answer) in self.answers.drain(..) {
            self.swarm.send(key, answer);
        }
        self.swarm.wait(wait)?;
        while let Some((key, happening)) = self.swarm.next() {
            let answer = on(self.dialect, &mut self.faults, key, &happening);
            self.answers.extend(answer.map(|answer| (key, answer)));
        }
        Ok(())
    }
}

/// What happened to a session; the text that is to be sent on it.
fn on(
    dialect: Dialect,
    faults: &mut Faults,
    Key(session): Key,
    happening: &Happening<'_>,
) -> Option<&'static str> {
    match happening {
        Happening::Opened => None,
        Happening::Text(text) => match dialect.greeting(text) {
            Greeting::Answer(answer) => Some(answer),
            _ => dialect.pong(text),
        },
        Happening::Ended(ending) => {
            faults.add(format_args!("session {session} was {ending}"));
            None
        }
    }
}

fn upgrades(args: &Idle, site: &Site, users: u32, most: u32) -> anyhow::Result<Vec<Upgrade>> {
    let user = |session: u32| site.user(session % users);
    let conversations = match args.endpoint {
        Endpoint::Conversation if site.is_own() => {
            let pairs = site.pairs(users / 2)?;
            let of_pair = |pair: Pair| pair.users.map(|user| (user, pair.conversation));
            pairs.into_iter().flat_map(of_pair).collect()
        }
        Endpoint::Conversation => first_conversations(site, users)?,
        _ => HashMap::new(),
    };
    let upgrade = |session| {
        let user = user(session);
        let place = match args.endpoint {
            Endpoint::Echo => Place::Echo,
            Endpoint::Conversation => {
                let room = conversations.get(&user).copied();
                Place::Room { room: room.context("a user without conversation")?, user }
            }
            Endpoint::Chat | Endpoint::Notifications => Place::Own { user },
        };
        let mut upgrade = site.dialect.upgrade(place, &site.target);
        if args.endpoint == Endpoint::Notifications {
            "/ws/notifications/".clone_into(&mut upgrade.path);
        }
        upgrade.is_v1 &= !args.plain;
        Ok(upgrade)
    };
    (0..most).map(upgrade).collect()
}

/// The newest active conversation of each user.
fn first_conversations(site: &Site, users: u32) -> anyhow::Result<HashMap<i64, i64>> {
    let bar = output::bar(u64::from(users), "looking conversations up");
    let found = parallel(
        users as usize,
        LOOKUPS,
        || Connection::new(&site.target),
        |connection, n| {
            let user = site.user(n as u32);
            let all = rest::conversations(connection, user)?;
            let first = all
                .iter()
                .find(|conversation| conversation.is_active)
                .with_context(|| format!("user {user} has no conversation: run `seed` first"))?;
            bar.inc(1);
            Ok((user, first.id))
        },
    )?;
    bar.finish_and_clear();
    Ok(found.into_iter().collect())
}

/// What one process found, or several.
#[derive(Serialize, Deserialize)]
struct Found {
    points: Vec<Point>,
    held: Held,
    faults: Vec<String>,
}

impl Found {
    /// Whether it is about as many sessions as were asked for, by the processes' own count and by the kernel's.
    ///
    /// # Errors
    ///
    /// It is not.
    fn check(&self, asked: &[u32]) -> anyhow::Result<()> {
        let held: Vec<u32> = self.points.iter().skip(1).map(|point| point.count).collect();
        ensure!(held == asked, "the processes held {held:?} sessions and not {asked:?}");
        let [start, .., last] = &self.points[..] else { bail!("nothing was looked at") };
        // Both ends of each are on this machine; what else it does opens and ends sockets, too.
        let sockets = last.memory.sockets.saturating_sub(start.memory.sockets);
        let least = u64::from(last.count) * 2 * (100 - SOCKETS_ASIDE_PERCENT) / 100;
        ensure!(sockets >= least, "the kernel knows {sockets} sockets of {} sessions", last.count);
        Ok(())
    }

    /// That of two processes.
    fn with(mut self, other: Self) -> Self {
        for (point, more) in self.points.iter_mut().zip(other.points) {
            point.count += more.count;
            point.memory = point.memory.with(more.memory);
        }
        self.held = Held {
            pings: self.held.pings + other.held.pings,
            cpu: self.held.cpu + other.held.cpu,
            took: self.held.took.max(other.held.took),
            memory: self.held.memory.with(other.held.memory),
        };
        self.faults.extend(other.faults);
        self
    }
}

/// The server with so many sessions at rest.
#[derive(Serialize, Deserialize)]
struct Point {
    count: u32,
    memory: Memory,
}

/// What was spent while the last count was held.
#[derive(Serialize, Deserialize)]
struct Held {
    pings: u64,
    cpu: Duration,
    took: Duration,
    memory: Memory,
}

fn report(Found { points, held, faults }: &Found) -> Report {
    let mut report = Report::new("idle");
    for Point { count, memory } in points {
        report.row(format!("at {count}: resident"), memory.rss, "bytes");
        report.row(format!("at {count}: proportional"), memory.pss, "bytes");
        report.row(format!("at {count}: anonymous"), memory.anonymous, "bytes");
        report.row(format!("at {count}: TCP buffers, both ends"), memory.tcp, "bytes");
        report.row(format!("at {count}: TCP sockets, both ends"), memory.sockets, "");
        if memory.objects > 0 {
            report.row(format!("at {count}: kernel objects, both ends"), memory.objects, "bytes");
        }
        report.row(format!("at {count}: kernel slabs in all"), memory.slab, "bytes");
    }
    // The start is left out where two counts are there: what the first session alone costs would weigh on every one.
    let first = &points[usize::from(points.len() > 2)];
    let last = points.last().expect("there are the start and at least one count");
    for (name, at, then) in [
        ("resident", first.memory.rss, last.memory.rss),
        ("proportional", first.memory.pss, last.memory.pss),
        ("anonymous", first.memory.anonymous, last.memory.anonymous),
        ("TCP buffers, both ends", first.memory.tcp, last.memory.tcp),
        ("kernel objects, both ends", first.memory.objects, last.memory.objects),
        ("kernel slabs, both ends", first.memory.slab, last.memory.slab),
    ] {
        if then == 0 {
            continue;
        }
        let per_session = slope(first.count, last.count, at, then);
        report.row(format!("a session at rest: {name}"), per_session, "bytes");
    }
    // The steps in which tables and heaps grow move a slope up or down; an average from the start hides none of them.
    let whole = slope(0, last.count, points[0].memory.rss, last.memory.rss);
    report.row("a session, all from the start on: resident", whole, "bytes");
    for (name, at, then) in [
        ("TCP buffers, both ends", points[0].memory.tcp, last.memory.tcp),
        ("kernel objects, both ends", points[0].memory.objects, last.memory.objects),
        ("kernel slabs, both ends", points[0].memory.slab, last.memory.slab),
    ] {
        let grown = then.saturating_sub(at);
        report.row(format!("all sessions, from the start on: {name}"), grown, "bytes");
    }
    report.row("held", held.took.as_secs_f64(), "s");
    report.row("heartbeats answered", held.pings, "");
    report.row("server CPU while held", held.cpu.as_secs_f64(), "s");
    let busy = held.cpu.as_secs_f64() / held.took.as_secs_f64().max(1e-9);
    report.row("server CPU at rest", 100.0 * busy, "%");
    if held.pings > 0 {
        let per_ping = held.cpu.as_secs_f64() * 1e6 / held.pings as f64;
        report.row("server CPU a heartbeat", per_ping, "us");
    }
    let grown = held.memory.rss as i64 - last.memory.rss as i64;
    report.row("resident, grown while held", grown, "bytes");
    report.faults.extend(faults);
    report
}

/// Bytes a session between two counts.
fn slope(count: u32, more: u32, at: u64, then: u64) -> f64 {
    (then as f64 - at as f64) / f64::from(more - count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(count: u32, rss: u64) -> Point {
        Point { count, memory: Memory { rss, ..Memory::default() } }
    }

    fn held() -> Held {
        Held {
            pings: 4,
            cpu: Duration::from_micros(10),
            took: Duration::from_secs(1),
            memory: Memory { rss: 5_000, ..Memory::default() },
        }
    }

    fn found(points: Vec<Point>) -> Found {
        Found { points, held: held(), faults: Vec::new() }
    }

    fn resident(points: Vec<Point>) -> String {
        let table = report(&found(points)).table();
        let line = table.lines().find(|line| line.starts_with("a session at rest: resident"));
        line.unwrap().split_ascii_whitespace().nth(5).unwrap().to_owned()
    }

    #[test]
    fn the_slope_leaves_the_start_out_where_it_can() {
        let three = || vec![point(0, 1_000), point(10, 4_000), point(20, 5_000)];
        assert_eq!(resident(three()), "100.0");
        assert_eq!(resident(vec![point(0, 1_000), point(10, 4_000)]), "300.0");
        let table = report(&found(three())).table();
        assert!(table.contains("from the start on: resident"), "{table}");
        assert!((slope(10, 20, 5_000, 4_000) + 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_sum_that_is_not_what_was_asked_for_is_an_error() {
        let with = |count, sockets| {
            let memory = Memory { sockets, ..Memory::default() };
            found(vec![point(0, 1), Point { count, memory }])
        };
        with(100, 195).check(&[100]).unwrap();
        let error = |found: Found, asked: &[u32]| found.check(asked).unwrap_err().to_string();
        let wrong = error(with(99, 200), &[100]);
        assert_eq!(wrong, "the processes held [99] sessions and not [100]");
        assert_eq!(error(with(100, 150), &[100]), "the kernel knows 150 sockets of 100 sessions");
        assert!(found(vec![point(0, 1)]).check(&[100]).is_err());
    }

    #[test]
    fn what_processes_found_is_added_up() {
        let both =
            found(vec![point(0, 1), point(10, 4)]).with(found(vec![point(0, 2), point(9, 3)]));
        let counts: Vec<_> = both.points.iter().map(|p| (p.count, p.memory.rss)).collect();
        assert_eq!(counts, [(0, 3), (19, 7)]);
        assert_eq!((both.held.pings, both.held.cpu), (8, Duration::from_micros(20)));
        assert_eq!(both.held.took, Duration::from_secs(1));
    }
}
