//! `churn`: sessions come and go on one node, and nothing of them stays: neither connections to Redis, nor what was listened to for
//! them, nor memory.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use fortifun_fixtures::Redis;

use super::fleet::Fleet;
use crate::args::{Churn as Args, Layer};
use crate::clock::Clock;
use crate::engine::sampler::Sampler;
use crate::faults::Faults;
use crate::output::{self, Report};
use crate::pace::Pace;
use crate::procfs::{self, Memory};
use crate::swarm::{Happening, Key, Swarm};
use crate::target::Target;
use crate::ws::Upgrade;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(20);
/// How often Redis is asked for its clients.
const LOOK: Duration = Duration::from_millis(500);
/// Loopback addresses that clients bind: each has ports of its own.
const SOURCES: u32 = 16;
/// How long what a round listened to may take to be given up.
const PATIENCE: Duration = Duration::from_secs(15);
/// The first rounds fill pools and tables; from this one on memory is compared.
const WARM_ROUNDS: usize = 3;
/// How much more than after the warm rounds the heap may have at the end, bytes and in hundredths.
const GROWTH_BYTES_MAX: u64 = 4 * 1024 * 1024;
const GROWTH_PERCENT_MAX: u64 = 10;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    let (fleet, redis) = Fleet::set(&args.fleet, &[])?;
    let first_user = fleet.add_users(args.sessions)?;
    let node = fleet.serve()?;
    let target = fleet.target(&node);
    let may = procfs::descriptors_max();
    let stay = Duration::from_millis(args.stay_ms);
    let at_once = (args.rate * stay.as_secs_f64()) as u64;
    anyhow::ensure!(at_once + 256 <= may, "{at_once} sockets at once and {may} descriptors");
    let mut churn = Churn {
        args,
        target: &target,
        first_user,
        stay,
        redis: redis.as_ref().map(|redis| Bus { redis, layer: args.fleet.layer }),
        clients: Range::default(),
        sampler: Sampler::begin(Some(node.pid()), clock.now()),
        over: 0,
        faults: Faults::default(),
    };
    let fixed = churn.listened()?;
    let mut report = Report::new("churn");
    let mut rounds: Vec<Memory> = Vec::new();
    let mut failed = 0;
    for n in 1..=args.rounds {
        failed += churn.round(clock, n)?;
        let left = churn.rest(clock, fixed)?;
        let memory = Memory::read(node.pid())?;
        report.row(format!("round {n}, resident"), memory.rss / 1_024, "KiB");
        report.row(format!("round {n}, heap and stacks"), memory.anonymous / 1_024, "KiB");
        report.row(format!("round {n}, still listened to"), left, "");
        rounds.push(memory);
    }
    report.row("sessions", u64::from(args.sessions) * u64::from(args.rounds), "");
    report.row("sessions that failed", failed, "");
    report.row("connections to Redis, least", churn.clients.least, "");
    report.row("connections to Redis, most", churn.clients.most, "");
    report.row("listened to at first", fixed, "");
    if churn.clients.least != churn.clients.most {
        let Range { least, most } = churn.clients;
        churn.faults.add(format_args!("{least} to {most} connections to Redis"));
    }
    if let [_, .., last] = rounds[..]
        && let Some(warm) = rounds.get(WARM_ROUNDS - 1)
    {
        let most = warm.anonymous * (100 + GROWTH_PERCENT_MAX) / 100 + GROWTH_BYTES_MAX;
        if last.anonymous > most {
            churn.faults.add(format_args!(
                "memory grew from {} to {} bytes",
                warm.anonymous, last.anonymous
            ));
        }
    }
    churn.sampler.courses().tell(&mut report, "", "sessions that came and went");
    report.faults = churn.faults;
    Ok(report)
}

/// A run under way.
struct Churn<'a> {
    args: &'a Args,
    target: &'a Target,
    first_user: i64,
    stay: Duration,
    redis: Option<Bus<'a>>,
    /// Connections of the node to Redis.
    clients: Range,
    sampler: Sampler,
    /// Sessions that have come and gone, or failed.
    over: u64,
    faults: Faults,
}

#[derive(Clone, Copy, Default)]
struct Range {
    least: usize,
    most: usize,
}

/// Redis, and what of it belongs to the node.
struct Bus<'a> {
    redis: &'a Redis,
    layer: Layer,
}

impl Churn<'_> {
    /// Each session comes at its time, stays for its time, and goes; how many failed.
    fn round(&mut self, clock: &Clock, n: u16) -> anyhow::Result<u64> {
        let bar = output::bar(u64::from(self.args.sessions), "sessions")
            .with_message(format!("round {n}"));
        let mut swarm = Swarm::new()?;
        let pace = Pace::new(clock.now(), self.args.rate);
        let (mut begun, mut over, mut failed) = (0_u32, 0_u32, 0);
        // Open sessions, the oldest first, and when they go.
        let mut open: VecDeque<(Duration, Key)> = VecDeque::new();
        let mut look_at = clock.now();
        while over < self.args.sessions {
            let now = clock.now();
            while begun < self.args.sessions && pace.is_due(u64::from(begun), now) {
                let upgrade = Upgrade {
                    path: "/ws/chat/".to_owned(),
                    token: self.target.signer.token(self.first_user + i64::from(begun)),
                    is_v1: true,
                };
                let source = self.target.source(begun, SOURCES);
                swarm.connect(self.target.address, &self.target.host, source, &upgrade)?;
                begun += 1;
            }
            while open.front().is_some_and(|(until, _)| *until <= now) {
                let (_, key) = open.pop_front().expect("it was just seen");
                swarm.cut(key);
                over += 1;
            }
            self.sampler.look(now, self.over + u64::from(over));
            if look_at <= now {
                look_at = now + LOOK;
                self.look()?;
            }
            swarm.wait(
                TURN.min(pace.wait(u64::from(begun), now, TURN).max(Duration::from_millis(1))),
            )?;
            while let Some((key, happening)) = swarm.next() {
                match happening {
                    Happening::Opened => open.push_back((clock.now() + self.stay, key)),
                    Happening::Text(_) => {}
                    Happening::Ended(ending) => {
                        self.faults.add(format_args!("round {n}: session {} was {ending}", key.0));
                        open.retain(|(_, open)| *open != key);
                        over += 1;
                        failed += 1;
                    }
                }
            }
            bar.set_position(u64::from(over));
        }
        bar.finish_and_clear();
        self.over += u64::from(over);
        Ok(failed)
    }

    /// Waits until all is forgotten; how much more is listened to than at first.
    fn rest(&mut self, clock: &Clock, fixed: usize) -> anyhow::Result<usize> {
        let mut swarm = Swarm::new()?;
        let rest = Duration::from_secs(self.args.rest_s);
        let (start, bar) = (clock.now(), output::bar(rest.as_secs(), "resting"));
        while clock.since(start) < rest {
            swarm.wait(TURN)?;
            self.sampler.look(clock.now(), self.over);
            bar.set_position(clock.since(start).as_secs());
        }
        bar.finish_and_clear();
        let mut left = self.listened()?.saturating_sub(fixed);
        while left > 0 && clock.since(start) < rest + PATIENCE {
            swarm.wait(LOOK)?;
            left = self.listened()?.saturating_sub(fixed);
        }
        if left > 0 {
            self.faults.add(format_args!("{left} groups are still listened to after {PATIENCE:?}"));
        }
        self.look()?;
        Ok(left)
    }

    /// Counts the connections of the node to Redis.
    fn look(&mut self) -> anyhow::Result<()> {
        let Some(bus) = &self.redis else { return Ok(()) };
        let count = bus.clients()?;
        let Range { least, most } = &mut self.clients;
        *least = if *most == 0 { count } else { count.min(*least) };
        *most = count.max(*most);
        Ok(())
    }

    fn listened(&self) -> anyhow::Result<usize> {
        self.redis.as_ref().map_or(Ok(0), Bus::listened)
    }
}

impl Bus<'_> {
    /// Connections besides the one that asks.
    fn clients(&self) -> anyhow::Result<usize> {
        let list = self.redis.try_command(&["CLIENT", "LIST"]).context("Redis does not answer")?;
        let text = list.text();
        Ok(text.lines().filter(|line| !line.contains("cmd=client")).count())
    }

    /// Channels that are subscribed to, or groups that have members.
    fn listened(&self) -> anyhow::Result<usize> {
        let words: &[&str] = match self.layer {
            Layer::RedisCore => &["KEYS", "*:group:*"],
            Layer::RedisPubsub | Layer::Memory => &["PUBSUB", "CHANNELS"],
        };
        let found = self.redis.try_command(words).context("Redis does not answer")?;
        Ok(found.texts().len())
    }
}
