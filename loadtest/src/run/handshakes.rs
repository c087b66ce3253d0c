//! `handshakes`: sessions that come as fast as they are let in.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;

use super::latencies;
use crate::args::Handshakes as Args;
use crate::clock::Clock;
use crate::dialect::Place;
use crate::engine::measure::{Begun, Measured};
use crate::engine::site::{Frames, Needs, Site};
use crate::output::{self, Report};
use crate::procfs;
use crate::swarm::{Happening, Swarm};
use crate::ws::Upgrade;

/// Sessions that one source address opens: it has ports for them.
const SESSIONS_PER_SOURCE: u32 = 10_000;
/// How long nothing may come of any handshake.
const PATIENCE: Duration = Duration::from_secs(15);
/// Descriptors that this process needs besides its sessions.
const DESCRIPTORS_SPARE: u64 = 64;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    let (need, may) = (u64::from(args.sessions) + DESCRIPTORS_SPARE, procfs::descriptors_max());
    ensure!(need <= may, "{need} descriptors are needed and {may} allowed: ulimit -n {need}");
    let needs = Needs {
        users: args.sessions,
        first_user: args.people.first_user,
        frames: Some(Frames::of_texts(100, 100)),
    };
    let site = Site::set(&args.site, needs)?;
    let upgrade = |n| site.dialect.upgrade(Place::Own { user: site.user(n) }, &site.target);
    let upgrades: Vec<Upgrade> = (0..args.sessions).map(upgrade).collect();
    let mut swarm = site.swarm()?;
    let begun = Begun::now(&site, clock)?;
    let took = open(&mut swarm, &site, &upgrades, args.under_way as usize, clock)?;
    let measured = begun.end(&site, clock)?;
    swarm.reset();
    Ok(report(args, &measured, &took, site.name()))
}

/// Opens a session for each of `upgrades`, so many at once; how long each took, microseconds.
fn open(
    swarm: &mut Swarm,
    site: &Site,
    upgrades: &[Upgrade],
    under_way: usize,
    clock: &Clock,
) -> anyhow::Result<Histogram<u64>> {
    let bar = output::bar(upgrades.len() as u64, "opening sessions");
    let sources = (upgrades.len() as u32).div_ceil(SESSIONS_PER_SOURCE);
    let (mut begun, mut opened) = (Vec::with_capacity(upgrades.len()), 0);
    let mut took = latencies();
    let mut last_at = clock.now();
    while opened < upgrades.len() {
        while begun.len() < upgrades.len() && begun.len() - opened < under_way {
            let source = site.target.source(begun.len() as u32, sources);
            let upgrade = &upgrades[begun.len()];
            let (address, host) = (site.target.address, &site.target.host);
            begun.push(clock.now());
            swarm.connect(address, host, source, upgrade).context("cannot make a socket")?;
        }
        swarm.wait(PATIENCE)?;
        while let Some((key, happening)) = swarm.next() {
            match happening {
                Happening::Opened => {
                    last_at = clock.now();
                    let time = last_at.saturating_sub(begun[key.0]);
                    took.saturating_record(time.as_micros() as u64);
                    opened += 1;
                }
                Happening::Text(_) => {}
                Happening::Ended(ending) => bail!("session {} was {ending}", key.0),
            }
        }
        bar.set_position(opened as u64);
        ensure!(clock.since(last_at) < PATIENCE, "{opened} sessions are open and no more opens");
    }
    bar.finish_and_clear();
    Ok(took)
}

fn report(args: &Args, measured: &Measured, took: &Histogram<u64>, server: String) -> Report {
    let mut report = Report::new("handshakes");
    report.parameter("sessions", args.sessions);
    report.parameter("under way at once", args.under_way);
    report.parameter("server", server);
    report.row("handshakes", measured.rate(took.len()), "1/s");
    measured.tell(&mut report, "handshake", took.len());
    report.latency("handshake", took);
    report
}
