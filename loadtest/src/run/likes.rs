//! `match`: two who like each other at one moment match once.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{latencies, parallel};
use crate::args::Match as Args;
use crate::clock::Clock;
use crate::engine::site::{Needs, Site};
use crate::http::Connection;
use crate::output::{self, Report};
use crate::pairs;
use crate::rest::{self, Conversation, Liked, RecentMatch};
use crate::stored::Row;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    let need = u32::try_from(2 * args.pairs).context("too many pairs")?;
    let site = Site::set(&args.site, Needs { users: need, ..Needs::default() })?;
    let couples = if site.is_own() {
        (0..need / 2).map(|n| [site.user(2 * n), site.user(2 * n + 1)]).collect()
    } else {
        pairs::couples(&args.users, Some(args.pairs))?
    };
    ensure!(!couples.is_empty(), "name the users: --users, or --first-user with --pairs");
    let threads = usize::from(args.concurrency);
    let connections = || [Connection::new(&site.target), Connection::new(&site.target)];

    let bar = output::bar(couples.len() as u64, "liking");
    let start = clock.now();
    let liked = parallel(couples.len(), threads, connections, |connections, n| {
        let at = clock.now();
        let likes = like(connections, couples[n], n % 2)?;
        bar.inc(1);
        Ok((likes, clock.since(at)))
    })?;
    bar.finish_and_clear();
    let took = clock.since(start).max(Duration::from_micros(1));

    let bar = output::bar(couples.len() as u64, "checking");
    let found = parallel(couples.len(), threads, connections, |[connection, _], n| {
        let found = Found::look(connection, couples[n])?;
        bar.inc(1);
        Ok(found)
    })?;
    bar.finish_and_clear();

    let mut report = Report::new("match");
    report.parameter("pairs", couples.len());
    report.parameter("pairs at once", args.concurrency);
    report.parameter("server", site.name());
    let mut latency = latencies();
    let (mut matches, mut conversations, mut messages) = (HashSet::new(), HashSet::new(), 0);
    for ((couple, (likes, time)), found) in couples.iter().zip(&liked).zip(&found) {
        latency.saturating_record(time.as_micros() as u64);
        report.faults.extend(check(*couple, likes, found));
        matches.extend(found.matches.iter().flatten().map(|made| made.match_id));
        conversations.extend(found.conversations.iter().flatten().map(|c| c.id));
        messages += found.messages.len();
    }
    let pairs = couples.len();
    for (name, count) in [
        ("matches", matches.len()),
        ("conversations", conversations.len()),
        ("welcome messages", messages),
    ] {
        if count != pairs {
            report.faults.add(format_args!("{pairs} pairs have {count} {name}"));
        }
        report.row(name, count, "");
    }
    report.row("likes", (2 * pairs) as f64 / took.as_secs_f64(), "1/s");
    report.latency("both likes", &latency);
    Ok(report)
}

/// Both like each other: both requests are on their way before an answer is read. `first` asks first.
fn like(
    connections: &mut [Connection<'_>; 2],
    couple: [i64; 2],
    first: usize,
) -> anyhow::Result<[Liked; 2]> {
    for side in [first, 1 - first] {
        rest::send_like(&mut connections[side], couple[side], couple[1 - side])?;
    }
    let [one, two] = connections;
    let likes = rest::receive_like(one).and_then(|liked| Ok([liked, rest::receive_like(two)?]));
    likes.with_context(|| format!("users {} and {}", couple[0], couple[1]))
}

/// What each of two users is shown of the other, and what is said where they talk.
struct Found {
    matches: [Vec<RecentMatch>; 2],
    conversations: [Vec<Conversation>; 2],
    messages: Vec<Row>,
}

impl Found {
    fn look(connection: &mut Connection<'_>, couple: [i64; 2]) -> anyhow::Result<Self> {
        let mut matches = [Vec::new(), Vec::new()];
        let mut conversations = [Vec::new(), Vec::new()];
        for (side, user) in couple.into_iter().enumerate() {
            let other = couple[1 - side];
            matches[side] = rest::recent_matches(connection, user)?;
            matches[side].retain(|made| made.id == other);
            conversations[side] = rest::conversations(connection, user)?;
            conversations[side].retain(|conversation| conversation.has(other));
        }
        let messages = match &conversations[0][..] {
            [first, ..] => rest::messages(connection, first.id, couple[0], 0)?,
            [] => Vec::new(),
        };
        Ok(Self { matches, conversations, messages })
    }
}

/// What is wrong with one pair.
fn check(couple: [i64; 2], likes: &[Liked; 2], found: &Found) -> Vec<String> {
    let mut faults = Vec::new();
    let mut add = |what: String| {
        faults.push(format!("users {} and {}: {what}", couple[0], couple[1]));
    };
    let completed: Vec<usize> = (0..2).filter(|side| likes[*side].is_match).collect();
    let made = match &completed[..] {
        [side] => likes[*side].r#match.as_ref().map(|made| (*side, made)),
        _ => None,
    };
    let Some((completer, made)) = made else {
        add(format!("{} of their likes completed a match and name it", completed.len()));
        return faults;
    };
    for (side, user) in couple.into_iter().enumerate() {
        match &found.matches[side][..] {
            [one]
                if one.match_id == made.id && one.conversation_id == Some(made.conversation_id) => {
            }
            [one] => add(format!(
                "match {} in conversation {} was told, and {user} is shown match {} in {:?}",
                made.id, made.conversation_id, one.match_id, one.conversation_id
            )),
            several => add(format!("{user} is shown {} matches", several.len())),
        }
        match &found.conversations[side][..] {
            [one]
                if one.id == made.conversation_id
                    && one.is_active
                    && one.participants.len() == 2
                    && one.has(user) => {}
            [one] => add(format!(
                "conversation {} was told, and {user} is shown {} with {} participants",
                made.conversation_id,
                one.id,
                one.participants.len()
            )),
            several => add(format!("{user} is shown {} conversations", several.len())),
        }
    }
    match &found.messages[..] {
        [welcome] if welcome.seq == 1 && welcome.sender == couple[completer] => {}
        [welcome] => add(format!(
            "seq {} of {} is the first message, where {} completed the match",
            welcome.seq, welcome.sender, couple[completer]
        )),
        several => add(format!("{} messages where one welcomes", several.len())),
    }
    faults
}

#[cfg(test)]
mod tests;
