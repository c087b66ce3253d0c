//! `storm`: the server is killed under many sessions, which all come back at once and hear what they have missed.
//!
//! Sessions stop reading, messages are committed for them, and the server is killed before they read on: each has missed these
//! messages for good and asks for them when it is back. Django cannot be asked: its clients come back, and read the history of their
//! conversation over REST.

mod comeback;
mod history;

use std::time::Duration;

use anyhow::{bail, ensure};

use self::comeback::{Comeback, Missed};
use crate::args::Storm as Args;
use crate::clock::Clock;
use crate::dialect::{Dialect, Said};
use crate::engine::crowd::Crowd;
use crate::engine::measure::Begun;
use crate::engine::room::content;
use crate::engine::site::{Needs, Site};
use crate::output::{self, Report};
use crate::pairs::Pair;
use crate::rng::Rng;
use crate::scrape::Scrape;
use crate::swarm::{Happening, Key, Swarm};

/// Messages that are stored, by the server's own count.
const COMMITTED: &str = "fortifun_messages_committed_total";
/// How long none of the messages may be stored.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages that are sent and not heard of yet, at most, where that is how it is known that they are stored.
const AHEAD_OF_ECHOES: usize = 256;
/// Messages that are sent before the server's answers are looked for again.
const BURST: usize = 256;
/// The longest sleep.
const TURN: Duration = Duration::from_millis(20);
/// How often it is looked who is back: it is over in seconds.
const LOOK: Duration = Duration::from_millis(200);
/// Length of a message, bytes.
const BYTES: usize = 100;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    ensure!(args.site.dialect.has_people(), "it stores no messages, so none can be missed");
    ensure!(
        args.site.dialect == Dialect::Fortifun || args.missed <= history::PAGE,
        "Django tells the latest {} messages: --missed",
        history::PAGE
    );
    let conversations = args.sessions.div_ceil(2);
    let mut site = Site::set(
        &args.site,
        Needs { users: 2 * conversations, first_user: args.people.first_user, frames: None },
    )?;
    let pairs = site.pairs(conversations)?;
    let missed = miss(args, &site, &pairs, clock)?;
    let mut rng = Rng::of(args.seed, "storm");
    let killed_at = clock.now();
    site.kill()?;
    site.restart()?;
    let up_after = clock.since(killed_at);
    let mut begun = Begun::now(&site, clock)?.every(LOOK);
    let mut comeback = Comeback::new(missed, args, killed_at);
    comeback.run(&site, clock, &mut rng, &mut |back| begun.look(clock, back))?;
    begun.last(clock, comeback.back());
    let measured = begun.end(&site, clock)?;
    let mut report = Report::new("storm");
    report.parameter("sessions", pairs.len() * 2);
    report.parameter("messages missed by each", args.missed);
    report.parameter("seed", args.seed);
    report.parameter("server", site.name());
    report.row("server listens again after", up_after.as_secs_f64(), "s");
    comeback.tell(&mut report);
    measured.tell(&mut report, "session that came back", pairs.len() as u64 * 2);
    measured.courses.tell_counts(&mut report, "sessions back");
    report.faults = comeback.faults;
    Ok(report)
}

/// Opens the sessions, stops their reading, and has the messages stored that they are to miss. The sessions are gone then, and the
/// server does not know it yet.
fn miss(args: &Args, site: &Site, pairs: &[Pair], clock: &Clock) -> anyhow::Result<Vec<Missed>> {
    let places = Site::rooms(pairs, 2);
    let Crowd { mut swarm, joined_at } = Crowd::open(site, clock, &places, None)?;
    let mut ahead = args.ahead as usize;
    if site.dialect == Dialect::Fortifun {
        (0..places.len()).for_each(|session| swarm.pause(Key(session)));
    } else {
        ahead = ahead.min(AHEAD_OF_ECHOES);
    }
    let mut stored = Stored::begin(site)?;
    let total = pairs.len() * args.missed as usize;
    let bar = output::bar(total as u64, "storing messages");
    let (mut sent, mut last, mut last_at) = (0, 0, clock.now());
    while last < total {
        // Of a conversation's messages, its users say one after the other.
        while sent < total.min(last + ahead) {
            for _ in 0..BURST.min(total - sent) {
                let (room, n) = (sent % pairs.len(), sent / pairs.len());
                let command = site.dialect.say(&content(n % 2, n as u64, BYTES));
                ensure!(swarm.send(Key(2 * room + n % 2), &command), "a session was lost");
                sent += 1;
            }
            stored.listen(&mut swarm)?;
        }
        swarm.wait(TURN)?;
        stored.listen(&mut swarm)?;
        let now = stored.count(site)?;
        if now > last {
            (last, last_at) = (now, clock.now());
        }
        bar.set_position(last as u64);
        ensure!(clock.since(last_at) < PATIENCE, "{last} of {total} messages are stored");
    }
    bar.finish_and_clear();
    let missed = |(n, place)| Missed {
        place,
        after: joined_at[n],
        upgrade: site.dialect.upgrade(place, &site.target),
    };
    Ok(places.into_iter().enumerate().map(missed).collect())
}

/// How many messages are stored.
enum Stored {
    /// By the server's own count, which was so much before.
    Told(f64),
    /// As many as the first session of each conversation has heard; all sessions forget what they hear.
    Heard(usize),
}

impl Stored {
    fn begin(site: &Site) -> anyhow::Result<Self> {
        Ok(match site.dialect {
            Dialect::Fortifun => Self::Told(Scrape::of(&site.target)?.sample(COMMITTED)?),
            _ => Self::Heard(0),
        })
    }

    /// Nothing is heard of sessions that do not read.
    fn listen(&mut self, swarm: &mut Swarm) -> anyhow::Result<()> {
        while let Some((key, happening)) = swarm.next() {
            match (happening, &mut *self) {
                (Happening::Ended(ending), _) => bail!("session {} was {ending}", key.0),
                (Happening::Text(text), Self::Heard(count)) if key.0 % 2 == 0 => {
                    let said = Said::read(Dialect::Django, text).map_err(anyhow::Error::msg)?;
                    *count += usize::from(said.is_some());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn count(&self, site: &Site) -> anyhow::Result<usize> {
        Ok(match self {
            Self::Told(before) => (Scrape::of(&site.target)?.sample(COMMITTED)? - before) as usize,
            Self::Heard(count) => *count,
        })
    }
}
