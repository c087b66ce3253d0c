//! Pairs that send as fast as they are answered: each has so many messages under way, and the next is sent when one has come back.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Chat, TURN};
use crate::clock::Clock;
use crate::engine::measure::{Begun, Measured};
use crate::engine::site::Site;
use crate::output;
use crate::swarm::{Key, Swarm};
use crate::wire;

impl Chat {
    /// `window` messages of each pair are under way, for the time of the warm-up and that which is measured; then waits until all
    /// is heard. What came later than what is measured is not counted.
    pub(super) fn in_a_closed_loop(
        &mut self,
        (window, [warm_up, measured]): (u32, [Duration; 2]),
        (swarm, site, clock): (&mut Swarm, &Site, &Clock),
    ) -> anyhow::Result<Measured> {
        self.due = Some(first_due(self.pairs.len(), window));
        self.talk_until((swarm, clock), clock.now() + warm_up, &mut |_| {})?;
        let mut begun = Begun::now(site, clock)?;
        self.count_from(self.sent.len());
        let end = begun.at() + measured;
        self.talk_until((swarm, clock), end, &mut |echoed| begun.look(clock, echoed))?;
        let measured = begun.end(site, clock)?;
        let tally = self.tally;
        let deadline = clock.now() + self.patience;
        self.listen_until(swarm, clock, deadline, Self::is_done)?;
        self.tally = tally;
        Ok(measured)
    }

    fn talk_until(
        &mut self,
        (swarm, clock): (&mut Swarm, &Clock),
        end: Duration,
        look: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        let (start, time) = (clock.now(), end.saturating_sub(clock.now()));
        let bar = output::bar(time.as_secs(), "talking");
        while clock.now() < end && !self.is_cut {
            while let Some(pair) = self.due.as_mut().and_then(VecDeque::pop_front) {
                self.say_next(swarm, pair, clock.now());
            }
            swarm.wait(TURN)?;
            self.drain(swarm, clock);
            look(self.tally.echoed);
            bar.set_position(clock.since(start).as_secs());
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// The next message of a pair; its sender is seen to type before some.
    fn say_next(&mut self, swarm: &mut Swarm, pair: usize, now: Duration) {
        let session = self.sender_of(pair, self.turns[pair]);
        self.turns[pair] += 1;
        if self.mix.types(self.sent.len() as u64) {
            swarm.send(Key(session), &wire::typing(true));
        }
        self.say(swarm, session, now);
    }
}

/// Every pair as often as it may send before it has heard anything, in turns.
fn first_due(pairs: usize, window: u32) -> VecDeque<usize> {
    (0..window).flat_map(|_| 0..pairs).collect()
}
