//! `commits`: durable messages a second through sockets, beside one commit a message, and beside the store without sockets.
//!
//! What is compared takes turns within one run, because a disk's and a machine's speed change from minute to minute.

mod ceiling;
mod light;
mod round;
mod stage;
mod talk;

use std::time::Duration;

use self::ceiling::Ceiling;
use self::round::Round;
use self::stage::Stage;
use super::{latencies, median};
use crate::args::Commits as Args;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::output::Report;

/// The greatest batch that the store is asked for without sockets: the server's default of `BATCH_MAX`.
const BATCH_MAX: u64 = 256;
/// Where light load is measured: one conversation through the socket, one by the plain client.
const LIGHT_CONVERSATIONS: u32 = 2;

pub(crate) fn run(args: &Args, clock: &Clock) -> anyhow::Result<Report> {
    if args.light {
        return light::run(&Stage::set(args, LIGHT_CONVERSATIONS)?, args, clock);
    }
    let stage = Stage::set(args, args.conversations)?;
    let ceiling = if args.sockets_only { None } else { Ceiling::find(args, &stage)? };
    let mut faults = Faults::default();
    let mut turns = Vec::new();
    for n in 1..=args.rounds {
        let mut round = |name: &str, settings: &[(&str, &str)]| {
            let title = format!("{name}, {n} of {}", args.rounds);
            round::run((&stage, args, clock), settings, title, &mut faults)
        };
        let (batched, single) = (round("batched", &[])?, round("single", &[("BATCH_MAX", "1")])?);
        let store = match &ceiling {
            Some(ceiling) => {
                let alike = ceiling.rate((batched.requests.round() as u64).max(1))?;
                Some(Store { alike, most: ceiling.rate(BATCH_MAX)? })
            }
            None => None,
        };
        turns.push(Turn { batched, single, store });
        if !faults.is_empty() {
            break;
        }
    }
    let mut report = Report::new("commits");
    report.row("senders", 2 * stage.pairs.len(), "");
    report.row("messages in flight of a sender", args.in_flight, "");
    report.row("write workers", stage.write_workers, "");
    tell(&mut report, &turns);
    report.faults = faults;
    Ok(report)
}

/// What was measured one after the other.
struct Turn {
    /// With batches as large as the server makes them.
    batched: Round,
    /// With one commit a message.
    single: Round,
    /// Without sockets.
    store: Option<Store>,
}

/// Messages a second without sockets.
struct Store {
    /// In batches of the size that the server made.
    alike: f64,
    /// In batches of [`BATCH_MAX`].
    most: f64,
}

/// Figures of all turns.
fn tell(report: &mut Report, turns: &[Turn]) {
    let side = |of: fn(&Turn) -> &Round| turns.iter().map(of).collect::<Vec<_>>();
    tell_side(report, "batched", &side(|turn| &turn.batched));
    tell_side(report, "single", &side(|turn| &turn.single));
    let ratios = |of: &dyn Fn(&Turn) -> Option<f64>| turns.iter().filter_map(of).collect();
    tell_spread(
        report,
        "batched to single",
        ratios(&|turn| Some(turn.batched.rate() / turn.single.rate().max(1e-6))),
    );
    let store = |of: fn(&Store) -> f64| ratios(&|turn| turn.store.as_ref().map(of));
    let to_store = |of: fn(&Store) -> f64| {
        ratios(&|turn| Some(turn.batched.rate() / turn.store.as_ref().map(of)?.max(1e-6)))
    };
    tell_spread(report, "store alone, same batches", store(|store| store.alike));
    tell_spread(report, "sockets to store alone, same batches", to_store(|store| store.alike));
    tell_spread(report, "store alone, batches of 256", store(|store| store.most));
    tell_spread(report, "sockets to store alone, batches of 256", to_store(|store| store.most));
    if turns.iter().all(|turn| turn.store.is_none()) {
        report.row("store alone", "not measured: no store_batch", "");
    }
}

fn tell_side(report: &mut Report, side: &str, rounds: &[&Round]) {
    let sum = |of: fn(&Round) -> Duration| rounds.iter().map(|round| of(round)).sum::<Duration>();
    let count = |of: fn(&Round) -> u64| rounds.iter().map(|round| of(round)).sum::<u64>() as f64;
    let middle = |of: fn(&Round) -> f64| {
        median(rounds.iter().map(|round| of(round)).collect()).unwrap_or_default()
    };
    let seconds = sum(|round| round.took).as_secs_f64().max(1e-6);
    let committed = count(|round| round.committed);
    let mut echo = latencies();
    for round in rounds {
        echo.add(&round.echo).expect("they have the same bounds");
    }
    report.row(format!("{side}: committed and echoed"), committed / seconds, "1/s");
    report.row(format!("{side}: heard by others"), count(|round| round.delivered) / seconds, "1/s");
    report.latency(format!("{side}: send to echo"), &echo);
    report.row(format!("{side}: requests a commit"), middle(|round| round.requests), "");
    let commit = middle(|round| round.commit.as_secs_f64() * 1e6);
    report.row(format!("{side}: commit, mean"), commit, "us");
    // Of 1,000 messages: seconds in all are milliseconds a message times a thousand.
    let mut cpu = |who: &str, spent: Duration| {
        let name = format!("{side}: CPU of {who} for 1,000 messages");
        report.row(name, spent.as_secs_f64() * 1e6 / committed.max(1.0), "ms");
    };
    cpu("the server", sum(|round| round.server_cpu));
    cpu("the clients", sum(|round| round.client_cpu));
    if rounds.iter().all(|round| round.database_cpu.is_some()) {
        cpu("Postgres", sum(|round| round.database_cpu.unwrap_or_default()));
    }
}

/// The median with the least and the most beside it; nothing of nothing.
fn tell_spread(report: &mut Report, name: &str, values: Vec<f64>) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    if let Some(median) = median(values) {
        report.row(format!("{name}, median"), median, "");
        report.row(format!("{name}, least"), least, "");
        report.row(format!("{name}, most"), most, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(committed: u64) -> Round {
        let mut echo = latencies();
        echo.record(committed).unwrap();
        Round {
            took: Duration::from_secs(2),
            committed,
            delivered: committed,
            echo,
            requests: 40.0,
            commit: Duration::from_micros(800),
            server_cpu: Duration::from_secs(1),
            client_cpu: Duration::from_secs(1),
            database_cpu: Some(Duration::from_secs(2)),
        }
    }

    #[test]
    fn figures_are_of_all_turns_and_ratios_of_each() {
        let store = || Some(Store { alike: 2_000.0, most: 4_000.0 });
        let turns = [
            Turn { batched: round(4_000), single: round(400), store: store() },
            Turn { batched: round(2_000), single: round(500), store: store() },
        ];
        let mut report = Report::new("commits");
        tell(&mut report, &turns);
        let table = report.table();
        let has = |name: &str, value: &str| {
            let line = table.lines().find(|line| line.starts_with(name));
            let found = line.and_then(|line| line[name.len()..].split_whitespace().next());
            assert_eq!(found, Some(value), "{name} in\n{table}");
        };
        has("batched: committed and echoed ", "1,500");
        has("single: committed and echoed ", "225.0");
        has("batched: CPU of Postgres for 1,000 messages ", "666.7");
        has("batched to single, median ", "7.000");
        has("batched to single, least ", "4.000");
        has("batched to single, most ", "10.00");
        has("sockets to store alone, same batches, median ", "0.7500");
        has("sockets to store alone, batches of 256, median ", "0.3750");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}
