//! `echo`: texts come back as they went.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;

use super::latencies;
use crate::args::Echo as Args;
use crate::clock::Clock;
use crate::dialect::{Dialect, Place};
use crate::engine::crew::Part;
use crate::engine::crowd::Crowd;
use crate::engine::measure::{Begun, Measured};
use crate::engine::site::{Frames, Needs, Site};
use crate::engine::together::{Found, together};
use crate::faults::Faults;
use crate::output::{self, Report};
use crate::pace::Pace;
use crate::swarm::{Happening, Key, Swarm};

/// The longest sleep.
const TURN: Duration = Duration::from_millis(50);
/// How long the last texts may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Late texts sent in a row before sockets are read again.
const BURST_MAX: usize = 64;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    if let Some(part) = &args.part {
        let server = part.server()?.context("the one who started this process named no server")?;
        let site = Site::joined(&args.site, &server)?;
        let (measured, echo) = load(args, Some(part), (&site, clock))?;
        part.leave(&Found::of(&[echo.count], &[&echo.latency], &measured, &echo.faults))?;
        return Ok(Report::new("echo"));
    }
    let bytes = args.bytes as usize;
    let needs = Needs { frames: Some(Frames::of_texts(bytes, bytes)), ..Needs::default() };
    let site = Site::set(&args.site, needs)?;
    if args.processes > 1 {
        let times = [args.time.warm_up(), args.time.window()];
        let (measured, found) = together(args.processes, (&site, clock), &[], times)?;
        let counted = (&measured, found.counts[0], &found.latency(0));
        return Ok(Report { faults: found.faults(), ..report(args, counted, site.name()) });
    }
    let (measured, echo) = load(args, None, (&site, clock))?;
    let report = report(args, (&measured, echo.count, &echo.latency), site.name());
    Ok(Report { faults: echo.faults, ..report })
}

/// Opens this process' share of the sessions, and lets them talk; what was counted is what came while it was measured.
fn load(
    args: &Args,
    part: Option<&Part>,
    (site, clock): (&Site, &Clock),
) -> anyhow::Result<(Measured, Echo)> {
    let bytes = args.bytes as usize;
    let sessions = part.map_or(args.sessions, |part| part.share(args.sessions));
    let places = vec![Place::Echo; sessions as usize];
    let Crowd { mut swarm, .. } = Crowd::open(site, clock, &places, None)?;
    let mut echo = Echo::new(site.dialect, places.len(), bytes);
    let (warm_up, window) = (args.time.warm_up(), args.time.window());
    let bar = output::bar((warm_up + window).as_secs(), "echo");
    let start = clock.now();
    let processes = part.map_or(1, |part| part.of);
    echo.pace = args.rate.map(|rate| Pace::new(start, rate / f64::from(processes)));
    echo.begin(&mut swarm, clock);
    let mut run = |echo: &mut Echo, until: Duration, look: &mut dyn FnMut(u64)| {
        while clock.now() < until && echo.faults.is_empty() {
            echo.turn(&mut swarm, clock)?;
            look(echo.count);
            bar.set_position(clock.since(start).as_secs());
        }
        anyhow::Ok(())
    };
    run(&mut echo, start + warm_up, &mut |_| {})?;
    let mut begun = Begun::now(site, clock)?;
    echo.count_from(begun.at());
    run(&mut echo, begun.at() + window, &mut |count| begun.look(clock, count))?;
    let measured = begun.end(site, clock)?;
    let (count, latency) = (echo.count, echo.latency.clone());
    echo.is_sending = false;
    let deadline = clock.now() + PATIENCE;
    while clock.now() < deadline && echo.faults.is_empty() && echo.waiting() > 0 {
        echo.turn(&mut swarm, clock)?;
    }
    bar.finish_and_clear();
    swarm.close();
    let missing = echo.waiting();
    if missing > 0 {
        echo.faults.add(format_args!("{missing} texts never came back"));
    }
    (echo.count, echo.latency) = (count, latency);
    Ok((measured, echo))
}

/// A run under way.
struct Echo {
    dialect: Dialect,
    bytes: usize,
    sessions: Vec<Session>,
    /// Where texts are sent by the clock.
    pace: Option<Pace>,
    /// Texts that were sent by the clock.
    paced: u64,
    is_sending: bool,
    /// Only texts that were sent at this time or later count in `latency`.
    since: Duration,
    count: u64,
    latency: Histogram<u64>,
    faults: Faults,
    content: String,
    text: String,
}

#[derive(Clone, Default)]
struct Session {
    /// How many have come back.
    heard: u64,
    /// When those were sent, or meant to be, that have not.
    waiting: VecDeque<Duration>,
}

impl Echo {
    fn new(dialect: Dialect, sessions: usize, bytes: usize) -> Self {
        Self {
            dialect,
            bytes,
            sessions: vec![Session::default(); sessions],
            pace: None,
            paced: 0,
            is_sending: true,
            since: Duration::ZERO,
            count: 0,
            latency: latencies(),
            faults: Faults::default(),
            content: String::new(),
            text: String::new(),
        }
    }

    /// Without a pace, every session sends its first text.
    fn begin(&mut self, swarm: &mut Swarm, clock: &Clock) {
        if self.pace.is_none() {
            (0..self.sessions.len()).for_each(|n| self.send(swarm, n, clock.now()));
        }
    }

    fn count_from(&mut self, now: Duration) {
        self.since = now;
        self.count = 0;
        self.latency.reset();
    }

    fn waiting(&self) -> usize {
        self.sessions.iter().map(|session| session.waiting.len()).sum()
    }

    fn turn(&mut self, swarm: &mut Swarm, clock: &Clock) -> anyhow::Result<()> {
        let wait = match self.pace {
            Some(pace) if self.is_sending => {
                for _ in 0..BURST_MAX {
                    if !pace.is_due(self.paced, clock.now()) {
                        break;
                    }
                    let session = self.paced as usize % self.sessions.len();
                    self.send(swarm, session, pace.intended(self.paced));
                    self.paced += 1;
                }
                pace.wait(self.paced, clock.now(), TURN)
            }
            _ => TURN,
        };
        swarm.wait(wait)?;
        while let Some((key, happening)) = swarm.next() {
            let pong = match happening {
                Happening::Text(text) => self.hear(key, text, clock.now()),
                Happening::Opened => continue,
                Happening::Ended(ending) => {
                    self.faults.add(format_args!("session {} was {ending}", key.0));
                    continue;
                }
            };
            if let Some(pong) = pong {
                swarm.send(key, pong);
            } else if self.is_sending && self.pace.is_none() {
                self.send(swarm, key.0, clock.now());
            }
        }
        Ok(())
    }

    fn send(&mut self, swarm: &mut Swarm, n: usize, since: Duration) {
        let session = &mut self.sessions[n];
        let number = session.heard + session.waiting.len() as u64;
        session.waiting.push_back(since);
        self.write(n, number);
        swarm.send(Key(n), &self.text);
    }

    /// Checks a text that came; a text that is to be sent for it where it only keeps the connection alive.
    fn hear(&mut self, Key(n): Key, text: &str, now: Duration) -> Option<&'static str> {
        let pong = self.dialect.pong(text);
        if pong.is_some() {
            return pong;
        }
        if self.dialect.is_checked() {
            self.write(n, self.sessions[n].heard);
            if *text != *self.text {
                self.faults.add(format_args!("session {n}: {:?} came as {text:?}", self.text));
            }
        }
        let session = &mut self.sessions[n];
        let Some(since) = session.waiting.pop_front() else {
            self.faults.add(format_args!("session {n}: a text that was not sent came: {text:?}"));
            return None;
        };
        session.heard += 1;
        self.count += 1;
        if since >= self.since {
            self.latency.saturating_record(now.saturating_sub(since).as_micros() as u64);
        }
        None
    }

    /// Puts the text of that number of that session into `self.text`.
    fn write(&mut self, session: usize, number: u64) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.content.clear();
        let mark = ((session as u64) << 40) ^ number;
        self.content.extend((0..16).rev().map(|n| DIGITS[(mark >> (4 * n)) as usize & 15] as char));
        while self.content.len() < self.bytes {
            let rest = (self.bytes - self.content.len()).min(FILLING.len());
            self.content.push_str(&FILLING[..rest]);
        }
        self.dialect.write_echo(&mut self.text, &self.content);
    }
}

/// What texts are filled with.
const FILLING: &str =
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh";

fn report(
    args: &Args,
    (measured, count, latency): (&Measured, u64, &Histogram<u64>),
    server: String,
) -> Report {
    let mut report = Report::new("echo");
    report.parameter("sessions", args.sessions);
    report.parameter("bytes", args.bytes);
    report.parameter("seconds", args.time.duration_s);
    report.parameter("server", server);
    report.row("messages", count, "");
    report.row("echoed", measured.rate(count), "1/s");
    measured.tell(&mut report, "message", count);
    report.latency("echo", latency);
    measured.courses.tell(&mut report, "", "echoes");
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(count: usize) -> Echo {
        let mut echo = Echo::new(Dialect::Plain, 2, 100);
        echo.sessions[1].waiting.extend((0..count).map(|_| Duration::ZERO));
        echo
    }

    fn text(number: u64) -> String {
        let mut echo = Echo::new(Dialect::Plain, 2, 100);
        echo.write(1, number);
        echo.text
    }

    #[test]
    fn texts_have_their_length_and_differ() {
        assert_eq!((text(0).len(), text(1).len()), (100, 100));
        assert_ne!(text(0), text(1));
    }

    #[test]
    fn each_text_comes_back_once_and_in_order() {
        for (heard, faults) in
            [(&[0, 1][..], 0), (&[1, 0], 2), (&[0, 0], 1), (&[0, 1, 2], 1), (&[0, 1, 1], 2)]
        {
            let mut echo = sent(2);
            for number in heard {
                echo.hear(Key(1), &text(*number), Duration::ZERO);
            }
            assert_eq!(echo.faults.count(), faults, "{heard:?}");
        }
        let mut echo = sent(2);
        echo.hear(Key(1), &text(0), Duration::ZERO);
        assert_eq!((echo.waiting(), echo.count), (1, 1));
    }
}
