//! `publishes`: how many messages a second one node sends on the bus, beside a bare loop that sends the same ones to the same
//! Redis. The two take turns, since a machine's speed changes from minute to minute.

use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use redis::ConnectionLike as _;

use super::fleet::Fleet;
use super::median;
use super::open::Opener;
use crate::args::{Layer, Publishes as Args};
use crate::clock::Clock;
use crate::faults::Faults;
use crate::output::{self, Report};
use crate::scrape::Scrape;
use crate::swarm::{Happening, Key, Swarm};
use crate::target::Target;
use crate::wire;
use crate::ws::Upgrade;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(20);
/// A session that heard nothing for so long begins anew: its events were shed.
const SHED: Duration = Duration::from_millis(500);
/// How long the node is loaded before it is measured, each time.
const WARM_UP: Duration = Duration::from_secs(1);
/// Commands of the bare loop in one write: as many as the node sends at once.
const PIPELINE: usize = 512;
/// Messages of the node that the bare loop sends again, in turn.
const SAMPLES: usize = 64;
/// How long a sample may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Counts what the node sent.
const PUBLISHED: &str = "fortifun_bus_published_total";

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    ensure!(args.fleet.layer == Layer::RedisPubsub, "only pub/sub publishes");
    let (fleet, redis) = Fleet::set(&args.fleet, &[])?;
    let redis = redis.context("pub/sub has a Redis")?;
    let node = fleet.serve()?;
    let target = fleet.target(&node);
    let pairs = fleet.pairs(args.sessions as usize, &node)?;
    let upgrade = |pair: &crate::pairs::Pair| Upgrade {
        path: format!("/ws/conversations/{}/", pair.conversation),
        token: target.signer.token(pair.users[0]),
        is_v1: true,
    };
    let upgrades: Vec<_> = pairs.iter().map(upgrade).collect();
    let mut swarm = Swarm::new()?;
    Opener::new(args.sessions, Some(500.0))?.open(
        &mut swarm,
        &target,
        clock,
        &upgrades,
        |_, _| (),
    )?;
    let mut typists = Typists {
        sessions: vec![Typist::default(); upgrades.len()],
        in_flight: usize::from(args.in_flight),
        faults: Faults::default(),
    };
    let client = redis::Client::open(redis.url())?;
    let mut bare = client.get_connection()?;
    let sampler = thread::spawn(move || listen(&client));
    typists.load((&mut swarm, clock), WARM_UP)?;
    let samples = sampler.join().expect("it gives its errors up")?;
    let length = Duration::from_secs(args.seconds);
    let bar = output::bar(u64::from(args.rounds), "node and bare loop in turn");
    let (mut of_node, mut of_bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        typists.load((&mut swarm, clock), WARM_UP)?;
        let (start, before) = (clock.now(), published(&target)?);
        typists.load((&mut swarm, clock), length)?;
        let node = (published(&target)? - before) / clock.since(start).as_secs_f64();
        let bare = publish(&mut bare, &samples, clock, length)?;
        ratios.push(node / bare);
        of_node.push(node);
        of_bare.push(bare);
        bar.inc(1);
    }
    bar.finish_and_clear();
    swarm.close();
    let mut report = Report::new("publishes");
    report.row("sessions", args.sessions, "");
    report.row("rounds", args.rounds, "");
    let bytes: usize = samples.iter().map(|(_, payload)| payload.len()).sum();
    report.row("payload, mean", bytes as f64 / samples.len().max(1) as f64, "bytes");
    for (name, all, unit) in [
        ("published by the node", of_node, "1/s"),
        ("published by the bare loop", of_bare, "1/s"),
        ("node to bare loop", ratios, ""),
    ] {
        report.row(format!("{name}, least"), all.iter().copied().fold(f64::MAX, f64::min), unit);
        report.row(format!("{name}, median"), median(all).unwrap_or_default(), unit);
    }
    report.faults = typists.faults;
    Ok(report)
}

/// Messages that the node has sent so far.
fn published(target: &Target) -> anyhow::Result<f64> {
    Scrape::of(target)?.sample(PUBLISHED)
}

/// Some of what is published just now: channels and payloads.
fn listen(client: &redis::Client) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut connection = client.get_connection()?;
    let mut all = connection.as_pubsub();
    all.set_read_timeout(Some(PATIENCE))?;
    all.psubscribe("*")?;
    let mut samples = Vec::new();
    while samples.len() < SAMPLES {
        let message = all.get_message().context("nothing is published")?;
        let channel = message.get_channel_name().as_bytes().to_vec();
        samples.push((channel, message.get_payload_bytes().to_vec()));
    }
    Ok(samples)
}

/// Publishes `samples` in turn for `length`, [`PIPELINE`] at once; answers how many a second.
fn publish(
    connection: &mut redis::Connection,
    samples: &[(Vec<u8>, Vec<u8>)],
    clock: &Clock,
    length: Duration,
) -> anyhow::Result<f64> {
    let mut pipe = redis::pipe();
    for (channel, payload) in samples.iter().cycle().take(PIPELINE) {
        pipe.cmd("PUBLISH").arg(&channel[..]).arg(&payload[..]);
    }
    let packed = pipe.get_packed_pipeline();
    let (start, mut count) = (clock.now(), 0_u64);
    while clock.since(start) < length {
        connection.req_packed_commands(&packed, 0, PIPELINE)?;
        count += PIPELINE as u64;
    }
    Ok(count as f64 / clock.since(start).as_secs_f64())
}

/// Sessions that say that they type, and then that they do not, without end.
struct Typists {
    sessions: Vec<Typist>,
    in_flight: usize,
    faults: Faults,
}

#[derive(Clone, Copy, Default)]
struct Typist {
    is_typing: bool,
    /// Commands whose event has not come back.
    waiting: usize,
    /// When something came last.
    heard: Duration,
}

impl Typists {
    /// Loads the node for `length`.
    fn load(
        &mut self,
        (swarm, clock): (&mut Swarm, &Clock),
        length: Duration,
    ) -> anyhow::Result<()> {
        let end = clock.now() + length;
        while clock.now() < end {
            self.turn(swarm, clock)?;
        }
        Ok(())
    }

    fn turn(&mut self, swarm: &mut Swarm, clock: &Clock) -> anyhow::Result<()> {
        let now = clock.now();
        for (n, session) in self.sessions.iter_mut().enumerate() {
            if now.saturating_sub(session.heard) > SHED {
                (session.waiting, session.heard) = (0, now);
            }
            while session.waiting < self.in_flight {
                session.is_typing = !session.is_typing;
                session.waiting += 1;
                if !swarm.send(Key(n), &wire::typing(session.is_typing)) {
                    break;
                }
            }
        }
        swarm.wait(TURN)?;
        while let Some((Key(n), happening)) = swarm.next() {
            match happening {
                Happening::Text(_) => {
                    let session = &mut self.sessions[n];
                    session.waiting = session.waiting.saturating_sub(1);
                    session.heard = now;
                }
                Happening::Opened => {}
                Happening::Ended(ending) => {
                    self.faults.add(format_args!("session {n} was {ending}"));
                    anyhow::bail!("session {n} was {ending}");
                }
            }
        }
        Ok(())
    }
}
