//! Sessions of one run: opened, awaited, and counted as ready once the server has said so.

use std::time::Duration;

use anyhow::ensure;

use super::site::Site;
use super::together::wait_for_all;
use crate::clock::Clock;
use crate::dialect::{Dialect, Greeting, Place};
use crate::run::open::Opener;
use crate::swarm::{Happening, Key, Swarm};

/// Handshakes a second where nothing else is asked.
const OPEN_PER_SECOND: f64 = 4_000.0;
/// How long a session may wait to be greeted.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest sleep.
const TURN: Duration = Duration::from_millis(50);

/// Sessions that stand, in the order of their places: session `n` has key `n`.
pub(crate) struct Crowd {
    /// Their sockets.
    pub(crate) swarm: Swarm,
    /// By session, the last `seq` of its room when it came; 0 where the dialect has none.
    pub(crate) joined_at: Vec<u64>,
}

/// Who has been greeted so far.
struct Greeted {
    dialect: Dialect,
    places: Vec<Option<u64>>,
    /// What is to be sent.
    answers: Vec<(Key, &'static str)>,
    /// How the first of them ended.
    ended: Option<String>,
}

impl Crowd {
    /// Opens a session for each of `places`, in that order, and waits until all stand, and those of other processes with a part
    /// in the run. `per_second` is how many are opened a
    /// second.
    ///
    /// # Errors
    ///
    /// One was refused, lost or not greeted.
    pub(crate) fn open(
        site: &Site,
        clock: &Clock,
        places: &[Place],
        per_second: Option<f64>,
    ) -> anyhow::Result<Self> {
        Self::open_in(site.swarm()?, site, clock, (places, per_second))
    }

    /// The same with the sockets of `swarm`, which has none yet.
    ///
    /// # Errors
    ///
    /// One was refused, lost or not greeted.
    pub(crate) fn open_in(
        mut swarm: Swarm,
        site: &Site,
        clock: &Clock,
        (places, per_second): (&[Place], Option<f64>),
    ) -> anyhow::Result<Self> {
        let dialect = site.dialect;
        let upgrades: Vec<_> =
            places.iter().map(|place| dialect.upgrade(*place, &site.target)).collect();
        let ready = |place: &Place| (!dialect.greets(*place)).then_some(0);
        let mut greeted = Greeted {
            dialect,
            places: places.iter().map(ready).collect(),
            answers: Vec::new(),
            ended: None,
        };
        let opener = Opener::new(places.len() as u32, per_second.or(Some(OPEN_PER_SECOND)))?;
        opener.open(&mut swarm, &site.target, clock, &upgrades, |key, happening| {
            greeted.on(key, &happening);
        })?;
        let deadline = clock.now() + PATIENCE;
        loop {
            for (key, answer) in greeted.answers.drain(..) {
                swarm.send(key, answer);
            }
            let missing = greeted.places.iter().filter(|place| place.is_none()).count();
            ensure!(greeted.ended.is_none(), greeted.ended.unwrap_or_default());
            if missing == 0 {
                break;
            }
            ensure!(clock.now() < deadline, "{missing} sessions were not greeted");
            swarm.wait(TURN)?;
            while let Some((key, happening)) = swarm.next() {
                greeted.on(key, &happening);
            }
        }
        if site.is_joined() {
            wait_for_all(&mut swarm)?;
        }
        let joined_at = greeted.places.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Self { swarm, joined_at })
    }
}

impl Greeted {
    fn on(&mut self, key: Key, happening: &Happening<'_>) {
        match happening {
            Happening::Opened => {}
            Happening::Text(text) => match self.dialect.greeting(text) {
                Greeting::Ready(last_seq) => self.places[key.0] = Some(last_seq),
                Greeting::Answer(answer) => self.answers.push((key, answer)),
                Greeting::Aside => {}
            },
            Happening::Ended(ending) => {
                self.ended.get_or_insert_with(|| format!("session {} was {ending}", key.0));
            }
        }
    }
}
