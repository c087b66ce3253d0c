//! Sessions that come at a steady rate, stay for a while, and go without a word.

use std::collections::VecDeque;
use std::time::Duration;

use crate::args::Soak as Args;
use crate::dialect::Place;
use crate::engine::site::Site;
use crate::faults::Faults;
use crate::pace::Pace;
use crate::swarm::{Happening, Key, Swarm};
use crate::ws::Upgrade;

/// Loopback addresses that clients bind: each has ports of its own.
const SOURCES: u32 = 16;
/// Sessions that come in one turn, at most.
const BURST_MAX: usize = 64;

/// Those who come and go.
pub(super) struct Passers<'a> {
    site: &'a Site,
    /// By user in turn.
    upgrades: Vec<Upgrade>,
    rate: f64,
    stay: Duration,
    pace: Option<Pace>,
    begun: u64,
    /// Who is on the way in.
    coming: usize,
    /// Open sessions, the oldest first, and when they go.
    open: VecDeque<(Duration, Key)>,
    /// How many have come and gone.
    pub(super) passed: u64,
    /// What was wrong.
    pub(super) faults: Faults,
}

impl<'a> Passers<'a> {
    /// Their users are those from number `first` on.
    pub(super) fn new(site: &'a Site, args: &Args, first: u32) -> Self {
        let upgrade =
            |n| site.dialect.upgrade(Place::Own { user: site.user(first + n) }, &site.target);
        Self {
            site,
            upgrades: (0..args.users).map(upgrade).collect(),
            rate: args.churn,
            stay: Duration::from_millis(args.stay_ms),
            pace: None,
            begun: 0,
            coming: 0,
            open: VecDeque::new(),
            passed: 0,
            faults: Faults::default(),
        }
    }

    /// They come from now on.
    pub(super) fn begin(&mut self, now: Duration) {
        self.pace = Some(Pace::new(now, self.rate));
    }

    /// None comes any more.
    pub(super) fn end(&mut self) {
        self.pace = None;
    }

    /// How many are here or on the way in.
    pub(super) fn here(&self) -> usize {
        self.coming + self.open.len()
    }

    /// Lets come and go whose time it is.
    pub(super) fn tick(&mut self, swarm: &mut Swarm, now: Duration) -> anyhow::Result<()> {
        for _ in 0..BURST_MAX {
            if !self.pace.is_some_and(|pace| pace.is_due(self.begun, now)) {
                break;
            }
            let upgrade = &self.upgrades[(self.begun % self.upgrades.len() as u64) as usize];
            let target = &self.site.target;
            let source = target.source(self.begun as u32, SOURCES);
            swarm.connect(target.address, &target.host, source, upgrade)?;
            self.begun += 1;
            self.coming += 1;
        }
        while let Some((until, key)) = self.open.front().copied()
            && until <= now
        {
            self.open.pop_front();
            swarm.cut(key);
            self.passed += 1;
        }
        Ok(())
    }

    /// What happened to one of them.
    pub(super) fn on(&mut self, key: Key, happening: &Happening<'_>, now: Duration) {
        match happening {
            Happening::Opened => {
                self.coming -= 1;
                self.open.push_back((now + self.stay, key));
            }
            Happening::Text(_) => {}
            Happening::Ended(ending) => {
                let before = self.open.len();
                self.open.retain(|(_, open)| *open != key);
                self.coming -= usize::from(before == self.open.len());
                self.faults.add(format_args!("a session that passed was {ending}"));
            }
        }
    }
}
