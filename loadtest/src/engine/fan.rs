//! Rooms in which publishers speak and all sessions listen: in a closed loop or by the clock.

use std::time::Duration;

use anyhow::ensure;
use hdrhistogram::Histogram;

use super::crowd::Crowd;
use super::measure::{Begun, Measured};
use super::room::{self, Heard, Room};
use super::site::Site;
use super::together::Found;
use crate::clock::Clock;
use crate::dialect::{Dialect, room_text_bytes};
use crate::faults::Faults;
use crate::output;
use crate::pace::Pace;
use crate::pairs::Pair;
use crate::run::latencies;
use crate::swarm::{Happening, Key, Swarm};

/// The longest sleep.
const TURN: Duration = Duration::from_millis(50);
/// How long the last messages may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long those who had stopped may take to find their end.
const WAKING: Duration = Duration::from_secs(5);
/// Late messages sent in a row before sockets are read again.
const BURST_MAX: usize = 64;

/// Who speaks, how much and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// How the server is spoken to.
    pub(crate) dialect: Dialect,
    /// Sessions of a room.
    pub(crate) sessions: usize,
    /// Sessions of a room, its last ones, that read nothing once they stand.
    pub(crate) stopped: usize,
    /// Who sends.
    pub(crate) publishers: usize,
    /// Messages of one publisher that not all have heard.
    pub(crate) window: u32,
    /// Messages a second of all publishers, sent whatever became of those before.
    pub(crate) rate: Option<f64>,
    /// Length of what is said, bytes.
    pub(crate) bytes: usize,
}

impl Manner {
    /// True exactly when that session of a room reads nothing.
    fn is_stopped(&self, session: usize) -> bool {
        session >= self.sessions - self.stopped
    }

    /// The sessions that read nothing, of so many rooms.
    fn stopped_keys(self, rooms: usize) -> impl Iterator<Item = Key> {
        (0..rooms * self.sessions).filter(move |key| self.is_stopped(key % self.sessions)).map(Key)
    }
}

/// Rooms, and those who speak in them.
pub(crate) struct Fan {
    manner: Manner,
    rooms: Vec<Room>,
    /// By publisher: how many it has sent.
    publishers: Vec<u64>,
    pace: Option<Pace>,
    /// Messages that were sent by the clock.
    paced: u64,
    is_sending: bool,
    /// Only messages that were sent at this time or later count in the latencies.
    since: Duration,
    /// What came since it is counted.
    pub(crate) counted: Counted,
    /// What was wrong.
    pub(crate) faults: Faults,
}

/// What came while it was counted.
#[derive(Clone)]
pub(crate) struct Counted {
    /// Messages that were sent.
    pub(crate) sent: u64,
    /// Messages that were heard, each by each session.
    pub(crate) deliveries: u64,
    /// Messages that all sessions of their room have heard.
    pub(crate) over: u64,
    /// Microseconds to each session.
    pub(crate) delivery: Histogram<u64>,
    /// Microseconds to the last session.
    pub(crate) all: Histogram<u64>,
}

impl Counted {
    fn nothing() -> Self {
        Self { sent: 0, deliveries: 0, over: 0, delivery: latencies(), all: latencies() }
    }
}

/// In processes that share a run.
impl Counted {
    /// What this process found.
    pub(crate) fn to_found(&self, measured: &Measured, faults: &Faults) -> Found {
        let counts = [self.sent, self.deliveries, self.over];
        Found::of(&counts, &[&self.delivery, &self.all], measured, faults)
    }

    /// What all of them found.
    pub(crate) fn found(found: &Found) -> Self {
        let count = |n: usize| found.counts.get(n).copied().unwrap_or_default();
        Self {
            sent: count(0),
            deliveries: count(1),
            over: count(2),
            delivery: found.latency(0),
            all: found.latency(1),
        }
    }
}

/// Length of what is said, so that as many bytes go to each session in every dialect as in ours for `bytes`.
pub(crate) fn said_bytes(dialect: Dialect, bytes: usize) -> usize {
    match dialect {
        Dialect::Fortifun | Dialect::Django => bytes,
        Dialect::Plain | Dialect::Raw | Dialect::Socketio => {
            room_text_bytes(&room::content(0, 0, bytes))
        }
    }
}

impl Fan {
    /// Opens the sessions of `pairs`' rooms; session `n` of room `r` has key `r * sessions + n`.
    ///
    /// # Errors
    ///
    /// One is refused, or somebody else talks in a room.
    pub(crate) fn open(
        site: &Site,
        clock: &Clock,
        pairs: &[Pair],
        manner: Manner,
    ) -> anyhow::Result<(Self, Swarm)> {
        let places = Site::rooms(pairs, manner.sessions as u32);
        let mut swarm = site.swarm()?;
        swarm.set_little(move |key| manner.is_stopped(key % manner.sessions));
        let Crowd { mut swarm, joined_at } = Crowd::open_in(swarm, site, clock, (&places, None))?;
        for key in manner.stopped_keys(pairs.len()) {
            swarm.pause(key);
        }
        let is_stopped = |session| manner.is_stopped(session);
        let alike = |of_room: &[u64]| of_room.is_sorted_by(|a, b| a == b);
        let of_rooms = joined_at.chunks(manner.sessions);
        ensure!(of_rooms.clone().all(alike), "somebody else talks in these conversations");
        let room = |of_room| Room::new(manner.dialect, manner.bytes, of_room, is_stopped);
        Ok((Self::new(manner, of_rooms.map(room).collect()), swarm))
    }

    fn new(manner: Manner, rooms: Vec<Room>) -> Self {
        Self {
            manner,
            rooms,
            publishers: vec![0; manner.publishers],
            pace: None,
            paced: 0,
            is_sending: false,
            since: Duration::ZERO,
            counted: Counted::nothing(),
            faults: Faults::default(),
        }
    }

    /// Publishers begin: by the clock from now on, or each with as many messages as may be under way.
    pub(crate) fn begin(&mut self, swarm: &mut Swarm, clock: &Clock) {
        self.is_sending = true;
        self.pace = self.manner.rate.map(|rate| Pace::new(clock.now(), rate));
        if self.pace.is_none() {
            for publisher in 0..self.publishers.len() {
                (0..self.manner.window).for_each(|_| self.say(swarm, publisher, clock.now()));
            }
        }
    }

    /// Counts from nothing, and latencies of messages that are sent from `now` on only.
    pub(crate) fn count_from(&mut self, now: Duration) {
        self.since = now;
        self.counted = Counted::nothing();
    }

    /// Begins, warms up, measures, and waits until all is heard. What came later than what is measured is not counted.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub(crate) fn measure(
        &mut self,
        (swarm, site, clock): (&mut Swarm, &Site, &Clock),
        warm_up: Duration,
        window: Duration,
    ) -> anyhow::Result<Measured> {
        let (start, bar) = (clock.now(), output::bar((warm_up + window).as_secs(), "talking"));
        self.begin(swarm, clock);
        let mut run = |fan: &mut Self, until: Duration, look: &mut dyn FnMut(u64)| {
            while clock.now() < until && fan.faults.is_empty() {
                fan.turn(swarm, clock, TURN, |_, _| {})?;
                look(fan.counted.deliveries);
                bar.set_position(clock.since(start).as_secs());
            }
            anyhow::Ok(())
        };
        run(self, start + warm_up, &mut |_| {})?;
        let mut begun = Begun::now(site, clock)?;
        self.count_from(begun.at());
        run(self, begun.at() + window, &mut |count| begun.look(clock, count))?;
        let measured = begun.end(site, clock)?;
        let counted = self.counted.clone();
        self.settle(swarm, clock)?;
        self.counted = counted;
        bar.finish_and_clear();
        Ok(measured)
    }

    /// Nobody speaks any more; waits until all that was said is heard by all.
    pub(crate) fn settle(&mut self, swarm: &mut Swarm, clock: &Clock) -> anyhow::Result<()> {
        self.is_sending = false;
        let deadline = clock.now() + PATIENCE;
        while clock.now() < deadline && self.faults.is_empty() && self.waiting() > 0 {
            self.turn(swarm, clock, TURN, |_, _| {})?;
        }
        let missing = self.waiting();
        if missing > 0 && self.faults.is_empty() {
            self.faults.add(format_args!("{missing} messages were not heard by all"));
        }
        Ok(())
    }

    /// Those who had stopped read on; how many of them find that the server has ended them.
    pub(crate) fn wake(&self, swarm: &mut Swarm, clock: &Clock) -> anyhow::Result<usize> {
        let stopped: Vec<Key> = self.manner.stopped_keys(self.rooms.len()).collect();
        for key in &stopped {
            swarm.go_on(*key)?;
        }
        let (mut ended, deadline) = (0, clock.now() + WAKING);
        while ended < stopped.len() && clock.now() < deadline {
            swarm.wait(TURN)?;
            while let Some((key, happening)) = swarm.next() {
                let is_end = matches!(happening, Happening::Ended(_));
                ended += usize::from(is_end && stopped.contains(&key));
            }
        }
        Ok(ended)
    }

    /// Sends what is due, sleeps at most so long, and hears what has come. What happens to sessions of others, `others` is told.
    pub(crate) fn turn(
        &mut self,
        swarm: &mut Swarm,
        clock: &Clock,
        longest: Duration,
        mut others: impl FnMut(Key, Happening<'_>),
    ) -> anyhow::Result<()> {
        let own = self.rooms.len() * self.manner.sessions;
        let wait = self.send_due(swarm, clock, longest);
        swarm.wait(wait)?;
        while let Some((key, happening)) = swarm.next() {
            let over = match happening {
                happening if key.0 >= own => {
                    others(key, happening);
                    continue;
                }
                Happening::Text(text) => match self.manner.dialect.pong(text) {
                    None => self.hear(key, text, clock.now()),
                    Some(pong) => {
                        swarm.send(key, pong);
                        continue;
                    }
                },
                Happening::Opened => None,
                Happening::Ended(ending) => {
                    self.faults.add(format_args!("session {} was {ending}", key.0));
                    None
                }
            };
            if let Some(publisher) = over
                && self.is_sending
                && self.pace.is_none()
            {
                self.say(swarm, publisher, clock.now());
            }
        }
        Ok(())
    }

    /// Sends what the clock says; how long until there is more, at most `longest`.
    fn send_due(&mut self, swarm: &mut Swarm, clock: &Clock, longest: Duration) -> Duration {
        let Some(pace) = self.pace.filter(|_| self.is_sending) else { return longest };
        for _ in 0..BURST_MAX {
            if !pace.is_due(self.paced, clock.now()) {
                break;
            }
            let publisher = self.paced as usize % self.publishers.len();
            self.say(swarm, publisher, pace.intended(self.paced));
            self.paced += 1;
        }
        pace.wait(self.paced, clock.now(), longest)
    }

    fn waiting(&self) -> usize {
        self.rooms.iter().map(Room::waiting).sum()
    }

    /// Publisher `publisher` sends its next message, in the next of its conversations.
    fn say(&mut self, swarm: &mut Swarm, publisher: usize, since: Duration) {
        let n = self.publishers[publisher];
        self.publishers[publisher] += 1;
        self.counted.sent += 1;
        let (room, session) = self.place(publisher, n);
        self.rooms[room].say(publisher, n, since);
        let command = self.manner.dialect.say(&self.rooms[room].content(publisher, n));
        swarm.send(Key(session), &command);
    }

    /// The room of a publisher's message, and the session that sends it.
    fn place(&self, publisher: usize, n: u64) -> (usize, usize) {
        let (rooms, publishers) = (self.rooms.len(), self.publishers.len());
        let readers = self.manner.sessions - self.manner.stopped;
        // Publishers divide the rooms among them, or rooms the publishers.
        let own = rooms.saturating_sub(publisher).div_ceil(publishers).max(1);
        let room = (publisher + publishers * (n as usize % own)) % rooms;
        let session = room * self.manner.sessions + publisher / rooms % readers;
        (room, session)
    }

    /// Checks a text that came; the publisher whose message all have heard with it.
    fn hear(&mut self, Key(session): Key, text: &str, now: Duration) -> Option<usize> {
        let (room, place) = (session / self.manner.sessions, session % self.manner.sessions);
        match self.rooms[room].hear(place, text) {
            Heard::Message { since, over } => {
                let latency = now.saturating_sub(since).as_micros() as u64;
                self.counted.deliveries += 1;
                self.counted.over += u64::from(over.is_some());
                if since >= self.since {
                    self.counted.delivery.saturating_record(latency);
                    if over.is_some() {
                        self.counted.all.saturating_record(latency);
                    }
                }
                over
            }
            Heard::Aside => None,
            Heard::Fault(fault) => {
                self.faults.add(format_args!("room {room}, {fault}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(rooms: usize, sessions: usize, publishers: usize, of: usize) -> Vec<(usize, usize)> {
        let manner = Manner {
            dialect: Dialect::Plain,
            sessions,
            stopped: 1,
            publishers,
            window: 1,
            rate: None,
            bytes: 40,
        };
        let room = || Room::new(Dialect::Plain, 40, &vec![0; sessions], |_| false);
        let fan = Fan::new(manner, (0..rooms).map(|_| room()).collect());
        (0..3).map(|n| fan.place(of, n)).collect()
    }

    #[test]
    fn publishers_divide_the_rooms_and_rooms_the_publishers() {
        assert_eq!(places(5, 10, 2, 0), [(0, 0), (2, 20), (4, 40)]);
        assert_eq!(places(5, 10, 2, 1), [(1, 10), (3, 30), (1, 10)]);
        assert_eq!(places(1, 10, 8, 7), [(0, 7), (0, 7), (0, 7)]);
        assert_eq!(places(2, 10, 8, 5), [(1, 12), (1, 12), (1, 12)]);
    }

    #[test]
    fn who_does_not_read_does_not_speak() {
        assert_eq!(places(1, 3, 4, 2), [(0, 0), (0, 0), (0, 0)]);
    }

    #[test]
    fn what_is_said_is_as_long_as_our_event() {
        assert_eq!(said_bytes(Dialect::Fortifun, 100), 100);
        assert!(said_bytes(Dialect::Plain, 100) > 250);
    }
}
