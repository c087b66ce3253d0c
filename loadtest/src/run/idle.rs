//! `idle`: what the server spends on sessions that do nothing.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::open::Opener;
use super::parallel;
use crate::args::{Endpoint, Idle};
use crate::clock::Clock;
use crate::faults::Faults;
use crate::http::Connection;
use crate::output::{self, Report};
use crate::procfs::{self, Memory};
use crate::rest;
use crate::swarm::{Happening, Key, Swarm};
use crate::target::Target;
use crate::ws::Upgrade;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(200);
/// Connections that look conversations up.
const LOOKUPS: usize = 8;

pub(crate) fn run(args: &Idle, clock: &Clock) -> anyhow::Result<Report> {
    let counts = &args.connections;
    ensure!(
        counts.first().is_some_and(|first| *first > 0) && counts.is_sorted_by(|a, b| a < b),
        "--connections must grow"
    );
    let most = *counts.last().expect("it is not empty");
    let target = Target::new(&args.server)?;
    let opener = Opener::new(most, args.connect_rate)?;
    let upgrades = upgrades(args, &target, most)?;
    let mut idle = Sessions { swarm: Swarm::new()?, faults: Faults::default() };
    let mut points = vec![Point { count: 0, memory: Memory::read(args.server_pid)? }];
    let mut begun = 0;
    for &count in counts {
        let some = &upgrades[begun..count as usize];
        let Sessions { swarm, faults } = &mut idle;
        opener.open(swarm, &target, clock, some, |key, happening| on(faults, key, happening))?;
        begun = count as usize;
        idle.rest(clock, Duration::from_secs(args.settle_s), "settling")?;
        points.push(Point { count, memory: Memory::read(args.server_pid)? });
    }
    let (pings, cpu, at) = (idle.swarm.pings(), procfs::cpu(args.server_pid)?, clock.now());
    idle.rest(clock, Duration::from_secs(args.hold_s), "holding")?;
    let held = Held {
        pings: idle.swarm.pings() - pings,
        cpu: procfs::cpu(args.server_pid)?.saturating_sub(cpu),
        took: clock.since(at),
        memory: Memory::read(args.server_pid)?,
    };
    if idle.swarm.open() != most as usize {
        let open = idle.swarm.open();
        idle.faults.add(format_args!("{open} of {most} sessions are open at the end"));
    }
    idle.swarm.close();
    Ok(report(&points, &held, idle.faults))
}

/// The sessions so far.
struct Sessions {
    swarm: Swarm,
    faults: Faults,
}

impl Sessions {
    /// Answers pings for so long.
    fn rest(&mut self, clock: &Clock, time: Duration, what: &'static str) -> anyhow::Result<()> {
        let (start, bar) = (clock.now(), output::bar(time.as_secs(), what));
        while clock.now() < start + time {
            self.swarm.wait((start + time).saturating_sub(clock.now()).min(TURN))?;
            while let Some((key, happening)) = self.swarm.next() {
                on(&mut self.faults, key, happening);
            }
            bar.set_position(clock.since(start).as_secs());
        }
        bar.finish_and_clear();
        Ok(())
    }
}

fn on(faults: &mut Faults, Key(session): Key, happening: Happening<'_>) {
    if let Happening::Ended(ending) = happening {
        faults.add(format_args!("session {session} was {ending}"));
    }
}

fn upgrades(args: &Idle, target: &Target, most: u32) -> anyhow::Result<Vec<Upgrade>> {
    let users = args.users.unwrap_or(most).min(most);
    let user = |session: u32| args.first_user + i64::from(session % users);
    let conversations = match args.endpoint {
        Endpoint::Conversation => first_conversations(target, args.first_user, users)?,
        _ => HashMap::new(),
    };
    let upgrade = |session| {
        let user = user(session);
        let path = match args.endpoint {
            Endpoint::Chat => "/ws/chat/".to_owned(),
            Endpoint::Conversation => format!("/ws/conversations/{}/", conversations[&user]),
            Endpoint::Notifications => "/ws/notifications/".to_owned(),
            Endpoint::Echo => "/_echo".to_owned(),
        };
        let is_echo = args.endpoint == Endpoint::Echo;
        let token = if is_echo { String::new() } else { target.signer.token(user) };
        Upgrade { path, token, is_v1: !is_echo && !args.plain }
    };
    Ok((0..most).map(upgrade).collect())
}

/// The newest active conversation of each user.
fn first_conversations(
    target: &Target,
    first_user: i64,
    users: u32,
) -> anyhow::Result<HashMap<i64, i64>> {
    let bar = output::bar(u64::from(users), "looking conversations up");
    let found = parallel(
        users as usize,
        LOOKUPS,
        || Connection::new(target),
        |connection, n| {
            let user = first_user + n as i64;
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

/// The server with so many sessions at rest.
struct Point {
    count: u32,
    memory: Memory,
}

/// What was spent while the last count was held.
struct Held {
    pings: u64,
    cpu: Duration,
    took: Duration,
    memory: Memory,
}

fn report(points: &[Point], held: &Held, faults: Faults) -> Report {
    let mut report = Report::new("idle");
    for Point { count, memory } in points {
        report.row(format!("at {count}: resident"), memory.rss, "bytes");
        report.row(format!("at {count}: proportional"), memory.pss, "bytes");
        report.row(format!("at {count}: anonymous"), memory.anonymous, "bytes");
        report.row(format!("at {count}: TCP buffers, both ends"), memory.tcp, "bytes");
        report.row(format!("at {count}: TCP sockets, both ends"), memory.sockets, "");
    }
    // The start is left out where two counts are there: what the first session alone costs would weigh on every one.
    let first = &points[usize::from(points.len() > 2)];
    let last = points.last().expect("there are the start and at least one count");
    for (name, at, then) in [
        ("resident", first.memory.rss, last.memory.rss),
        ("proportional", first.memory.pss, last.memory.pss),
        ("anonymous", first.memory.anonymous, last.memory.anonymous),
        ("TCP buffers, both ends", first.memory.tcp, last.memory.tcp),
    ] {
        let per_session = slope(first.count, last.count, at, then);
        report.row(format!("a session at rest: {name}"), per_session, "bytes");
    }
    // The steps in which tables and heaps grow move a slope up or down; an average from the start hides none of them.
    let whole = slope(0, last.count, points[0].memory.rss, last.memory.rss);
    report.row("a session, all from the start on: resident", whole, "bytes");
    report.row("held", held.took.as_secs_f64(), "s");
    report.row("heartbeats answered", held.pings, "");
    report.row("server CPU while held", held.cpu.as_secs_f64(), "s");
    if held.pings > 0 {
        let per_ping = held.cpu.as_secs_f64() * 1e6 / held.pings as f64;
        report.row("server CPU a heartbeat", per_ping, "us");
    }
    let grown = held.memory.rss as i64 - last.memory.rss as i64;
    report.row("resident, grown while held", grown, "bytes");
    report.faults = faults;
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

    fn resident(points: &[Point]) -> String {
        let table = report(points, &held(), Faults::default()).table();
        let line = table.lines().find(|line| line.starts_with("a session at rest: resident"));
        line.unwrap().split_ascii_whitespace().nth(5).unwrap().to_owned()
    }

    #[test]
    fn the_slope_leaves_the_start_out_where_it_can() {
        assert_eq!(resident(&[point(0, 1_000), point(10, 4_000), point(20, 5_000)]), "100.0");
        assert_eq!(resident(&[point(0, 1_000), point(10, 4_000)]), "300.0");
        let table = report(
            &[point(0, 1_000), point(10, 4_000), point(20, 5_000)],
            &held(),
            Faults::default(),
        )
        .table();
        assert!(table.contains("from the start on: resident"), "{table}");
        assert!((slope(10, 20, 5_000, 4_000) + 100.0).abs() < 1e-9);
    }
}
