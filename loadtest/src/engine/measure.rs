//! What is measured of server and clients while a run is measured.

use std::time::Duration;

use super::crew::tell_count;
use super::sampler::{Courses, Sampler};
use super::site::Site;
use crate::clock::Clock;
use crate::output::Report;
use crate::usage::{Spent, Usage};

/// The start of what is measured.
pub(crate) struct Begun {
    at: Duration,
    server: Option<Usage>,
    database: Option<Usage>,
    client: Usage,
    sampler: Sampler,
    /// True exactly where the process that started this one is told what is counted, as often as it is looked.
    is_told: bool,
}

/// What was spent.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// How long.
    pub(crate) took: Duration,
    /// By the server, where it runs on this machine.
    pub(crate) server: Option<Spent>,
    /// By the Postgres that the run started.
    pub(crate) database: Option<Spent>,
    /// By this process.
    pub(crate) client: Spent,
    /// How it went over time.
    pub(crate) courses: Courses,
}

impl Begun {
    /// Now.
    pub(crate) fn now(site: &Site, clock: &Clock) -> anyhow::Result<Self> {
        let database = site.postmaster().map(Usage::read).transpose()?;
        let client = Usage::own()?;
        let server = site.pid().map(Usage::read).transpose()?;
        let at = clock.now();
        let sampler = Sampler::begin(site.pid(), at);
        Ok(Self { at, server, database, client, sampler, is_told: site.is_joined() })
    }

    /// When it was.
    pub(crate) fn at(&self) -> Duration {
        self.at
    }

    /// Looks as often as this while it lasts, in place of every second.
    pub(crate) fn every(mut self, every: Duration) -> Self {
        self.sampler = self.sampler.every(every);
        self
    }

    /// So much was counted up to now; to be told often.
    pub(crate) fn look(&mut self, clock: &Clock, count: u64) {
        if self.sampler.look(clock.now(), count) && self.is_told {
            tell_count(count);
        }
    }

    /// So much was counted in the end, which comes before it is time for another look.
    pub(crate) fn last(&mut self, clock: &Clock, count: u64) {
        self.sampler.take(clock.now(), count);
    }

    /// From then to now.
    pub(crate) fn end(self, site: &Site, clock: &Clock) -> anyhow::Result<Measured> {
        let took = clock.since(self.at);
        let server = site.pid().map(Usage::read).transpose()?;
        let client = Usage::own()?.since(&self.client);
        let database = site.postmaster().map(Usage::read).transpose()?;
        let spent = |after: Option<Usage>, before: Option<Usage>| {
            after.zip(before).map(|(after, before)| after.since(&before))
        };
        Ok(Measured {
            took,
            server: spent(server, self.server),
            database: spent(database, self.database),
            client,
            courses: self.sampler.courses(),
        })
    }
}

impl Measured {
    /// How many a second.
    pub(crate) fn rate(&self, count: u64) -> f64 {
        count as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Tells what one of `count` cost the server, and how busy both sides were.
    pub(crate) fn tell(&self, report: &mut Report, one: &str, count: u64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count.max(1) as f64;
        let busy =
            |spent: Spent| 100.0 * spent.total().as_secs_f64() / self.took.as_secs_f64().max(1e-9);
        if let Some(server) = self.server {
            report.row(format!("server CPU per {one}"), each(server.total()), "us");
            report.row(format!("server CPU per {one}, user"), each(server.user), "us");
            report.row(format!("server CPU per {one}, system"), each(server.system), "us");
            report.row("server busy", busy(server), "%");
        }
        if let Some(database) = self.database {
            report.row(format!("Postgres CPU per {one}"), each(database.total()), "us");
        }
        report.row("clients busy", busy(self.client), "%");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_costs_is_told_by_parts() {
        let ms = Duration::from_millis;
        let measured = Measured {
            took: ms(2_000),
            server: Some(Spent { user: ms(200), system: ms(800) }),
            database: Some(Spent { user: ms(40), system: ms(10) }),
            client: Spent { user: ms(500), system: ms(500) },
            courses: Courses::default(),
        };
        let mut report = Report::new("echo");
        measured.tell(&mut report, "message", 1_000);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        let figures = &json["figures"];
        for (name, value) in [
            ("server_cpu_per_message_us", 1_000.0),
            ("server_cpu_per_message_user_us", 200.0),
            ("server_cpu_per_message_system_us", 800.0),
            ("postgres_cpu_per_message_us", 50.0),
        ] {
            assert_eq!(figures[name], value, "{name} in {figures}");
        }
        assert!((measured.rate(100) - 50.0).abs() < 1e-9);
    }
}
