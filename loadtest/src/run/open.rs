//! Opens many sessions at a steady pace.

use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::clock::Clock;
use crate::engine::crew::tell_count;
use crate::output;
use crate::pace::Pace;
use crate::procfs;
use crate::swarm::{Happening, Key, Swarm};
use crate::target::Target;
use crate::ws::Upgrade;

/// Sessions that one source address opens: under the server's 1,000 an address, with room for REST.
const SESSIONS_PER_SOURCE: u32 = 900;
/// Handshakes a second that one source address makes: under the server's 200.
const RATE_PER_SOURCE: f64 = 150.0;
/// Handshakes a second where nothing else is asked.
const RATE_MAX: f64 = 2_000.0;
/// Handshakes that are under way at once.
const UNDER_WAY_MAX: usize = 512;
/// It is told each time that so many more are open.
const TOLD_EVERY: usize = 250;
/// The longest sleep.
const TURN: Duration = Duration::from_millis(50);
/// How long nothing may come of any handshake.
const PATIENCE: Duration = Duration::from_secs(15);
/// Descriptors that this process needs besides its sessions.
const DESCRIPTORS_SPARE: u64 = 64;

/// How sessions are opened.
#[derive(Clone, Copy)]
pub(crate) struct Opener {
    sources: u32,
    per_second: f64,
    /// How many are open already, where the process that started this one is told how many are.
    told_from: Option<u64>,
}

impl Opener {
    /// For at most `sessions` at once; `per_second` is what was asked for.
    ///
    /// # Errors
    ///
    /// This process may not have so many descriptors.
    pub(crate) fn new(sessions: u32, per_second: Option<f64>) -> anyhow::Result<Self> {
        let (need, may) = (u64::from(sessions) + DESCRIPTORS_SPARE, procfs::descriptors_max());
        ensure!(need <= may, "{need} descriptors are needed and {may} allowed: ulimit -n {need}");
        let sources = sessions.div_ceil(SESSIONS_PER_SOURCE).max(1);
        let usual = (f64::from(sources) * RATE_PER_SOURCE).min(RATE_MAX);
        let per_second = per_second.unwrap_or(usual);
        Ok(Self { sources, per_second, told_from: None })
    }

    /// Tells the process that started this one how many are open; `open` are already.
    pub(crate) fn telling(self, open: u64) -> Self {
        Self { told_from: Some(open), ..self }
    }

    /// Opens a session for each of `upgrades`, in that order. What happens besides meanwhile, on these sessions and the swarm's
    /// others, `on` is told.
    ///
    /// # Errors
    ///
    /// One was refused or lost, or the server does not answer.
    pub(crate) fn open(
        self,
        swarm: &mut Swarm,
        target: &Target,
        clock: &Clock,
        upgrades: &[Upgrade],
        mut on: impl FnMut(Key, Happening<'_>),
    ) -> anyhow::Result<Vec<Key>> {
        let pace = Pace::new(clock.now(), self.per_second);
        let bar = output::bar(upgrades.len() as u64, "opening sessions");
        let mut keys = Vec::with_capacity(upgrades.len());
        let (mut opened, mut last_at) = (0, clock.now());
        while opened < upgrades.len() {
            let mut now = clock.now();
            while keys.len() < upgrades.len()
                && keys.len() - opened < UNDER_WAY_MAX
                && pace.is_due(keys.len() as u64, now)
            {
                let source = target.source(keys.len() as u32, self.sources);
                let upgrade = &upgrades[keys.len()];
                let key = swarm
                    .connect(target.address, &target.host, source, upgrade)
                    .context("cannot make a socket")?;
                keys.push(key);
                now = clock.now();
            }
            let is_full = keys.len() == upgrades.len() || keys.len() - opened >= UNDER_WAY_MAX;
            let next = if is_full { TURN } else { pace.wait(keys.len() as u64, now, TURN) };
            swarm.wait(next)?;
            while let Some((key, happening)) = swarm.next() {
                match happening {
                    Happening::Opened => {
                        opened += 1;
                        last_at = clock.now();
                        bar.inc(1);
                        if let Some(before) = self.told_from
                            && (opened % TOLD_EVERY == 0 || opened == upgrades.len())
                        {
                            tell_count(before + opened as u64);
                        }
                    }
                    Happening::Ended(ending) => match keys.iter().position(|own| *own == key) {
                        Some(n) => {
                            let (path, all) = (&upgrades[n].path, upgrades.len());
                            bail!("session {n} of {all}, {path}, was {ending}");
                        }
                        None => on(key, Happening::Ended(ending)),
                    },
                    happening @ Happening::Text(_) => on(key, happening),
                }
            }
            ensure!(
                clock.since(last_at) < PATIENCE || keys.len() == opened,
                "{opened} sessions are open and no more opens"
            );
        }
        bar.finish_and_clear();
        Ok(keys)
    }
}
