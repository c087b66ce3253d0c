//! Sessions of one server that talk in a closed loop: each sends its next message when an earlier one was echoed.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::ensure;
use hdrhistogram::Histogram;

use crate::clock::Clock;
use crate::faults::Faults;
use crate::ledger::Sight;
use crate::pairs::Pair;
use crate::run::latencies;
use crate::run::open::Opener;
use crate::swarm::{Happening, Key, Swarm};
use crate::target::Target;
use crate::wire::{self, Incoming, Message};
use crate::ws::Upgrade;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(50);
/// Sessions opened a second.
const OPEN_PER_SECOND: f64 = 2_000.0;
/// How long an echo, or a `hello`, may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How a loop is run.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// Length of a message, bytes.
    pub(super) bytes: usize,
    /// Messages of a sender that may wait for their echo.
    pub(super) in_flight: usize,
    /// Users of each pair who have a session, from the first on: 1 or 2.
    pub(super) sides: usize,
}

/// The sessions, one or two a pair.
pub(super) struct Talk<'a> {
    run: String,
    pairs: &'a [Pair],
    manner: Manner,
    /// Session `n` is of user `n % sides` of pair `n / sides`.
    senders: Vec<Sender>,
    /// True exactly while echoes are answered by further messages.
    is_sending: bool,
    /// Only messages that were sent at this time or later count in `echo`.
    since: Duration,
    /// From send to echo, microseconds.
    pub(super) echo: Histogram<u64>,
    /// Messages that were echoed to their senders.
    pub(super) echoed: u64,
    /// Messages that the other user of the pair heard.
    pub(super) delivered: u64,
    /// What went wrong.
    pub(super) faults: Faults,
}

#[derive(Default)]
struct Sender {
    /// The last `seq` that was heard, from `hello` on; and what it was then.
    place: Option<(u64, u64)>,
    /// By number of the message: the `seq` that its echo told.
    seqs: Vec<Option<u64>>,
    /// Messages that wait for their echo, the oldest first: number and when it was sent.
    waiting: VecDeque<(usize, Duration)>,
}

impl<'a> Talk<'a> {
    /// Opens the sessions of `pairs`, and waits until each knows its place. `run` names the messages of this talk.
    ///
    /// # Errors
    ///
    /// One is refused, or hears no `hello`.
    pub(super) fn open(
        (swarm, target, clock): (&mut Swarm, &Target, &Clock),
        (run, pairs, manner): (String, &'a [Pair], Manner),
    ) -> anyhow::Result<Self> {
        let senders: Vec<Sender> =
            (0..manner.sides * pairs.len()).map(|_| Sender::default()).collect();
        let mut talk = Self {
            run,
            pairs,
            manner,
            senders,
            is_sending: false,
            since: Duration::ZERO,
            echo: latencies(),
            echoed: 0,
            delivered: 0,
            faults: Faults::default(),
        };
        let upgrade = |session: usize| {
            let pair = pairs[session / manner.sides];
            let path = format!("/ws/conversations/{}/", pair.conversation);
            Upgrade {
                path,
                token: target.signer.token(pair.users[session % manner.sides]),
                is_v1: true,
            }
        };
        let upgrades: Vec<_> = (0..talk.senders.len()).map(upgrade).collect();
        let opener = Opener::new(upgrades.len() as u32, Some(OPEN_PER_SECOND))?;
        opener.open(swarm, target, clock, &upgrades, |key, happening| {
            talk.hear(key, happening, clock.now());
        })?;
        let deadline = clock.now() + PATIENCE;
        let is_placed = |talk: &Self| talk.senders.iter().all(|sender| sender.place.is_some());
        talk.listen(swarm, clock, deadline, is_placed)?;
        ensure!(is_placed(&talk), "a session was told no hello");
        Ok(talk)
    }

    /// Every sender begins.
    pub(super) fn begin(&mut self, swarm: &mut Swarm, clock: &Clock) {
        self.is_sending = true;
        for session in 0..self.senders.len() {
            for _ in 0..self.manner.in_flight {
                self.say(swarm, session, clock.now());
            }
        }
    }

    /// Counts from nothing, and latencies of messages sent from `now` on only.
    pub(super) fn count_from(&mut self, now: Duration) {
        self.since = now;
        self.echo.reset();
        (self.echoed, self.delivered) = (0, 0);
    }

    /// Goes on until `end`.
    pub(super) fn talk_until(
        &mut self,
        swarm: &mut Swarm,
        clock: &Clock,
        end: Duration,
        mut on_turn: impl FnMut(Duration),
    ) -> anyhow::Result<()> {
        while clock.now() < end && self.faults.is_empty() {
            self.turn(swarm, clock, end.saturating_sub(clock.now()))?;
            on_turn(clock.now());
        }
        Ok(())
    }

    /// The first session sends one message and hears its echo.
    pub(super) fn say_one(&mut self, swarm: &mut Swarm, clock: &Clock) -> anyhow::Result<()> {
        self.say(swarm, 0, clock.now());
        let deadline = clock.now() + PATIENCE;
        self.listen(swarm, clock, deadline, |talk| talk.senders[0].waiting.is_empty())?;
        if !self.senders[0].waiting.is_empty() {
            self.faults.add("a message was never echoed");
        }
        Ok(())
    }

    /// Nobody sends any more; waits until all that was sent is echoed and heard.
    pub(super) fn settle(&mut self, swarm: &mut Swarm, clock: &Clock) -> anyhow::Result<()> {
        self.is_sending = false;
        let deadline = clock.now() + PATIENCE;
        self.listen(swarm, clock, deadline, Self::is_level)?;
        let waiting: usize = self.senders.iter().map(|sender| sender.waiting.len()).sum();
        if waiting > 0 {
            self.faults.add(format_args!("{waiting} messages were never echoed"));
        } else if !self.is_level() && self.faults.is_empty() {
            self.faults.add("a session did not hear all that the other one did");
        }
        Ok(())
    }

    /// Of each pair: its `seq` when the sessions opened, and every message that was echoed.
    pub(super) fn sights(&self) -> Vec<(u64, Vec<Sight>)> {
        let of_session = |session: usize| {
            let (pair, sender) = self.owner(session);
            let seqs = self.senders[session].seqs.iter().enumerate();
            seqs.filter_map(move |(n, seq)| {
                let client_id = self.client_id(session, n);
                let content = wire::hash(&wire::content(&client_id, self.manner.bytes));
                Some(Sight {
                    conversation: pair.conversation,
                    seq: (*seq)?,
                    sender,
                    client_id,
                    content,
                })
            })
        };
        let of_pair = |(n, senders): (usize, &[Sender])| {
            let joined = senders.iter().filter_map(|sender| sender.place).map(|(_, joined)| joined);
            let sessions = n * self.manner.sides..n * self.manner.sides + senders.len();
            (joined.min().unwrap_or(0), sessions.flat_map(of_session).collect())
        };
        self.senders.chunks(self.manner.sides).enumerate().map(of_pair).collect()
    }

    fn is_level(&self) -> bool {
        self.senders.chunks(self.manner.sides).all(|pair| {
            let places = pair.iter().map(|sender| sender.place.map(|(last, _)| last));
            pair.iter().all(|sender| sender.waiting.is_empty())
                && places.is_sorted_by(|a, b| a == b)
        })
    }

    fn listen(
        &mut self,
        swarm: &mut Swarm,
        clock: &Clock,
        deadline: Duration,
        is_done: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        while !is_done(self) && self.faults.is_empty() && clock.now() < deadline {
            self.turn(swarm, clock, TURN)?;
        }
        Ok(())
    }

    fn turn(&mut self, swarm: &mut Swarm, clock: &Clock, most: Duration) -> anyhow::Result<()> {
        swarm.wait(most.min(TURN))?;
        while let Some((key, happening)) = swarm.next() {
            if self.hear(key, happening, clock.now()) {
                self.say(swarm, key.0, clock.now());
            }
        }
        Ok(())
    }

    fn say(&mut self, swarm: &mut Swarm, session: usize, now: Duration) {
        let n = self.senders[session].seqs.len();
        let client_id = self.client_id(session, n);
        let command = wire::message(&wire::content(&client_id, self.manner.bytes), &client_id);
        let sender = &mut self.senders[session];
        sender.seqs.push(None);
        sender.waiting.push_back((n, now));
        swarm.send(Key(session), &command);
    }

    /// Takes what came in. True exactly when a message is to follow: one of the session's own was echoed.
    fn hear(&mut self, Key(session): Key, happening: Happening<'_>, now: Duration) -> bool {
        match happening {
            Happening::Opened => {}
            Happening::Ended(ending) => {
                self.faults.add(format_args!("session {session} was {ending}"));
            }
            Happening::Text(text) => match wire::read(text) {
                Err(error) => self.faults.add(format_args!("session {session}: {error}: {text}")),
                Ok(Incoming::Hello(last_seq)) => {
                    self.senders[session].place = last_seq.map(|seq| (seq, seq));
                }
                Ok(Incoming::Message(message, is_duplicate)) => {
                    if is_duplicate {
                        self.faults.add(format_args!("session {session}: a duplicate: {text}"));
                    }
                    return self.hear_message(session, &message, now);
                }
                Ok(Incoming::Error(failure)) => {
                    self.faults.add(format_args!("session {session}: error {}", failure.code));
                }
                Ok(Incoming::NewMessage(_) | Incoming::Resumed(_) | Incoming::Other) => {}
            },
        }
        false
    }

    fn hear_message(&mut self, session: usize, message: &Message<'_>, now: Duration) -> bool {
        let (_, user) = self.owner(session);
        let sender = &mut self.senders[session];
        let expected = sender.place.map(|(last, _)| last + 1);
        if expected != Some(message.seq) {
            let seq = message.seq;
            self.faults.add(format_args!("session {session}: seq {seq}, due was {expected:?}"));
            return false;
        }
        if let Some((last, _)) = &mut sender.place {
            *last = message.seq;
        }
        if message.sender.id != user {
            self.delivered += 1;
            return false;
        }
        // Those of one sender are committed in the order in which they were sent.
        let Some((n, sent_at)) = sender.waiting.pop_front() else {
            self.faults.add(format_args!("session {session}: an echo of nothing"));
            return false;
        };
        sender.seqs[n] = Some(message.seq);
        if message.client_id.as_deref() != Some(&*self.client_id(session, n)) {
            self.faults
                .add(format_args!("session {session}: the echo of another than message {n}"));
        }
        self.echoed += 1;
        if sent_at >= self.since {
            self.echo.saturating_record(now.saturating_sub(sent_at).as_micros() as u64);
        }
        self.is_sending
    }

    /// The pair and the user of a session.
    fn owner(&self, session: usize) -> (Pair, i64) {
        let pair = self.pairs[session / self.manner.sides];
        (pair, pair.users[session % self.manner.sides])
    }

    fn client_id(&self, session: usize, n: usize) -> String {
        format!("{}-{session}-{n}", self.run)
    }
}

#[cfg(test)]
mod tests;
