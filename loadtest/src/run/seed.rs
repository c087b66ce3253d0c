//! `seed`: a conversation for each pair.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::parallel;
use crate::args::Seed;
use crate::clock::Clock;
use crate::http::Connection;
use crate::output::{self, Report};
use crate::pairs::{self, Pair};
use crate::rest;
use crate::target::Target;

pub(crate) fn run(args: &Seed, clock: &Clock) -> anyhow::Result<Report> {
    let target = Target::new(&args.server)?;
    let couples = pairs::couples(&args.users, args.pairs)?;
    ensure!(!couples.is_empty(), "name the users: --users, or --first-user with --pairs");
    let bar = output::bar(couples.len() as u64, "opening conversations");
    let start = clock.now();
    let pairs = parallel(
        couples.len(),
        usize::from(args.concurrency),
        || Connection::new(&target),
        |connection, n| {
            let [first, second] = couples[n];
            let opened = rest::open_conversation(connection, first, second, "Salut !")?;
            ensure!(
                opened.has(first) && opened.has(second),
                "conversation {} of users {first} and {second} has others in it",
                opened.id
            );
            bar.inc(1);
            Ok(Pair { conversation: opened.id, users: [first, second] })
        },
    )?;
    bar.finish_and_clear();
    let took = clock.since(start).max(Duration::from_micros(1));
    if let Some(path) = &args.out {
        let lines: Vec<String> = pairs.iter().map(Pair::to_string).collect();
        std::fs::write(path, lines.join("\n") + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut report = Report::new("seed");
    report.row("conversations", pairs.len(), "");
    report.row("first conversation", pairs.first().map_or(0, |pair| pair.conversation), "");
    report.row("last conversation", pairs.last().map_or(0, |pair| pair.conversation), "");
    report.row("rate", pairs.len() as f64 / took.as_secs_f64(), "1/s");
    Ok(report)
}
