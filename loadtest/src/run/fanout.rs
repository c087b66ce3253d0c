//! `fanout`: what is said in a conversation goes to all its sessions.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::args::Fanout as Args;
use crate::clock::Clock;
use crate::engine::crew::Part;
use crate::engine::fan::{Counted, Fan, Manner, said_bytes};
use crate::engine::measure::Measured;
use crate::engine::site::{Frames, Needs, Site};
use crate::engine::together;
use crate::output::Report;
use crate::pairs::Pair;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    if let Some(part) = &args.part {
        part_of(args, part, clock)?;
        return Ok(Report::new("fanout"));
    }
    let together = args.processes > 1;
    ensure!(
        !together || args.processes <= args.conversations.min(args.publishers),
        "each of --processes needs a conversation and a publisher"
    );
    let (site, pairs) = set(args)?;
    let (measured, counted, faults) = if together {
        let times = [args.time.warm_up(), args.time.window()];
        let (measured, found) = together::together(args.processes, (&site, clock), &pairs, times)?;
        (measured, Counted::found(&found), found.faults())
    } else {
        let (measured, fan) = talk(args, (&site, &pairs, clock), manner(args, 0))?;
        (measured, fan.counted, fan.faults)
    };
    let mut report = Report::new("fanout");
    tell(&mut report, args);
    report.parameter("server", site.name());
    tell_counted(&mut report, &measured, &counted);
    report.faults = faults;
    Ok(report)
}

/// Talks in this process' share of the conversations, and leaves what it counted.
fn part_of(args: &Args, part: &Part, clock: &Clock) -> anyhow::Result<()> {
    let server = part.server()?.context("the one who started this process named no server")?;
    let site = Site::joined(&args.site, &server)?;
    let all = manner(args, 0);
    let manner = Manner {
        publishers: part.share(args.publishers) as usize,
        rate: all.rate.map(|rate| rate / f64::from(part.of)),
        ..all
    };
    let (measured, fan) = talk(args, (&site, &server.pairs_of(part), clock), manner)?;
    part.leave(&fan.counted.to_found(&measured, &fan.faults))
}

fn talk(
    args: &Args,
    (site, pairs, clock): (&Site, &[Pair], &Clock),
    manner: Manner,
) -> anyhow::Result<(Measured, Fan)> {
    let (mut fan, mut swarm) = Fan::open(site, clock, pairs, manner)?;
    let (warm_up, window) = (args.time.warm_up(), args.time.window());
    let measured = fan.measure((&mut swarm, site, clock), warm_up, window)?;
    swarm.close();
    Ok((measured, fan))
}

/// The server and the conversations.
pub(super) fn set(args: &Args) -> anyhow::Result<(Site, Vec<Pair>)> {
    let bytes = manner(args, 0).bytes;
    let frames = Some(Frames::of_texts(bytes, bytes));
    let site = Site::set(
        &args.site,
        Needs { users: 2 * args.conversations, first_user: args.people.first_user, frames },
    )?;
    let pairs = site.pairs(args.conversations)?;
    Ok((site, pairs))
}

/// How it is talked, where so many sessions of each conversation read nothing.
pub(super) fn manner(args: &Args, stopped: usize) -> Manner {
    Manner {
        dialect: args.site.dialect,
        sessions: args.sessions as usize,
        stopped,
        publishers: args.publishers as usize,
        window: args.window,
        rate: args.rate,
        bytes: said_bytes(args.site.dialect, usize::from(args.bytes)),
    }
}

/// What the run was told.
pub(super) fn tell(report: &mut Report, args: &Args) {
    report.parameter("conversations", args.conversations);
    report.parameter("sessions in each", args.sessions);
    report.parameter("publishers", args.publishers);
    match args.rate {
        Some(rate) => report.parameter("messages a second", rate),
        None => report.parameter("messages under way of a publisher", args.window),
    }
    report.parameter("bytes", args.bytes);
    report.parameter("seconds", Duration::from_secs(args.time.duration_s).as_secs());
}

/// What came, and what it cost.
fn tell_counted(report: &mut Report, measured: &Measured, counted: &Counted) {
    report.row("messages accepted", measured.rate(counted.sent), "1/s");
    report.row("messages heard by all", measured.rate(counted.over), "1/s");
    report.row("deliveries", measured.rate(counted.deliveries), "1/s");
    measured.tell(report, "delivery", counted.deliveries);
    report.latency("delivery", &counted.delivery);
    report.latency("to the last session", &counted.all);
    measured.courses.tell(report, "", "deliveries");
}
