//! What is compared, in which order, and what a run that went wrong counts: nothing. No process is started here.

mod measures;

use std::process::Output;

use anyhow::{Context, ensure};
use serde_json::Map;

pub(crate) use self::measures::measures;
use crate::args::Compared;
use crate::peers::Peer;
use crate::report::{Comparison, Figures, Subject};
use crate::run::chat;

/// How long the last message may take, or all to come back, with a server that is no build of ours, seconds: a process of Python
/// lets ten thousand in within minutes.
const PATIENCE_S: u32 = 900;

/// Every subject once in every round, A B A B, so that what else the machine does meets them alike.
pub(crate) fn turns(rounds: usize, subjects: usize) -> impl Iterator<Item = usize> {
    (0..rounds).flat_map(move |_| 0..subjects)
}

/// The name of the base: the one that was asked for, else `raw` where it takes part, else the first.
///
/// # Errors
///
/// Nobody has the name that was asked for, or there is nobody.
pub(crate) fn base(names: &[String], asked: Option<&str>) -> anyhow::Result<String> {
    let wanted = asked.unwrap_or(Peer::Raw.name());
    let found = names.iter().find(|name| *name == wanted);
    ensure!(
        found.is_some() || asked.is_none(),
        "--base {wanted}: only {} take part",
        names.join(", ")
    );
    Ok(found.or(names.first()).context("there is nobody to compare")?.clone())
}

/// What a scenario that runs against a server of ours is told besides, so that it is the same one that it would start by itself:
/// who talks, where the users have their conversations already, and how long they wait.
pub(crate) fn people(scenario: Compared, flags: &[String]) -> Vec<String> {
    let patience = ("--patience-s", PATIENCE_S.to_string());
    let own = match scenario {
        Compared::Chat => vec![("--pairs", chat::PAIRS.to_string()), patience],
        Compared::Storm => vec![patience],
        _ => return Vec::new(),
    };
    let is_told =
        |name: &str| flags.iter().any(|flag| flag == name || flag.starts_with(&format!("{name}=")));
    let mut told = vec!["--first-user".to_owned(), "1".to_owned()];
    for (name, value) in own.into_iter().filter(|(name, _)| !is_told(name)) {
        told.extend([name.to_owned(), value]);
    }
    told
}

/// Refuses peers that have no part in `scenario`, or take part twice.
///
/// # Errors
///
/// There is one; the error names it.
pub(crate) fn check(scenario: Compared, peers: &[Peer]) -> anyhow::Result<()> {
    for (n, peer) in peers.iter().enumerate() {
        ensure!(!peers[..n].contains(peer), "{} takes part once", peer.name());
        ensure!(
            peer.has_a_store() || !scenario.needs_a_store(),
            "{} stores no messages, which `{}` is about: fortifun and django do",
            peer.name(),
            scenario.name()
        );
    }
    Ok(())
}

/// What a run told, by its output: the last line that it printed, as JSON. A run that could not take place, or broke, is one with
/// a fault and no figures.
pub(crate) fn figures(scenario: Compared, output: &Output) -> Figures {
    let printed = String::from_utf8_lossy(&output.stdout);
    let told = printed.lines().last().and_then(|line| serde_json::from_str(line).ok());
    match told {
        Some(figures) if output.status.success() => figures,
        // What it found while it was wrong is not shown as a figure.
        Some(Figures { faults, fault_count, .. }) if fault_count > 0 => {
            failed(scenario, faults, fault_count)
        }
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            // What it says itself; behind that may stand a page that a server answered.
            let own = said.lines().find(|line| line.starts_with(env!("CARGO_PKG_NAME")));
            let last = || said.lines().rfind(|line| !line.trim().is_empty());
            let said = own.or_else(last).unwrap_or_default();
            failed(scenario, vec![format!("{}: {said}", output.status)], 1)
        }
    }
}

/// A run without figures.
pub(crate) fn failed(scenario: Compared, faults: Vec<String>, fault_count: usize) -> Figures {
    Figures {
        name: scenario.name().to_owned(),
        ok: false,
        faults,
        fault_count,
        figures: Map::new(),
        ..serde_json::from_str(NOTHING).expect("it is what a run tells at least")
    }
}

/// Parameters that are of one server.
const OWN: [&str; 4] = ["server", "server_version", "dialect", "url"];
/// The least that a run tells.
const NOTHING: &str = r#"{"name":"","ok":false,"figures":{},"faults":[],"fault_count":0}"#;

/// All of it, by the measures that its runs have.
pub(crate) fn comparison(scenario: Compared, base: String, subjects: Vec<Subject>) -> Comparison {
    // What all runs were told alike, a run that went well tells.
    let well = subjects.iter().flat_map(|subject| &subject.runs).find(|run| run.ok);
    let told = well.into_iter().flat_map(|run| run.parameters.clone());
    let parameters = told.filter(|(name, _)| !OWN.contains(&name.as_str())).collect();
    let measures = measures(&subjects);
    Comparison { scenario: scenario.name().to_owned(), parameters, base, subjects, measures }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn output(code: i32, stdout: &str, stderr: &str) -> Output {
        // The status of wait(2): the code is in its second byte.
        let status = ExitStatus::from_raw(code << 8);
        Output { status, stdout: stdout.into(), stderr: stderr.into() }
    }

    fn run(us: f64) -> Figures {
        let json = format!(
            r#"{{"name":"echo","ok":true,"figures":{{"server_cpu_per_message_us":{us}}},"faults":[],"fault_count":0}}"#
        );
        figures(Compared::Echo, &output(0, &json, ""))
    }

    #[test]
    fn every_subject_has_its_turn_in_every_round() {
        assert_eq!(turns(3, 2).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1]);
        assert_eq!(turns(2, 3).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_base_is_who_was_asked_for_else_raw_else_the_first() {
        let names = ["fortifun", "raw", "bun"].map(str::to_owned);
        assert_eq!(base(&names, Some("bun")).expect("it is there"), "bun");
        assert_eq!(base(&names, None).expect("it is there"), "raw");
        assert_eq!(base(&names[2..], None).expect("there is one"), "bun");
        let error = base(&names, Some("axum")).expect_err("it is not there").to_string();
        assert_eq!(error, "--base axum: only fortifun, raw, bun take part");
        assert!(base(&[], None).is_err());
    }

    #[test]
    fn who_stores_nothing_has_no_part_in_chat_and_nobody_takes_part_twice() {
        assert!(check(Compared::Chat, &[Peer::Fortifun, Peer::Django]).is_ok());
        assert!(check(Compared::Chat, &[Peer::Fortifun, Peer::Bun]).is_err());
        assert!(check(Compared::Storm, &[Peer::Fortifun]).is_ok());
        assert!(check(Compared::Storm, &[Peer::Fortifun, Peer::Django]).is_ok());
        assert!(check(Compared::Storm, &[Peer::Fortifun, Peer::Bun]).is_err());
        assert!(check(Compared::Echo, &[Peer::Fortifun, Peer::Bun]).is_ok());
        assert!(check(Compared::Echo, &[Peer::Bun, Peer::Bun]).is_err());
    }

    #[test]
    fn as_many_pairs_talk_with_a_server_of_ours_as_the_scenario_has_by_itself() {
        let people = |flags: &[&str]| {
            people(Compared::Chat, &flags.iter().map(|&flag| flag.to_owned()).collect::<Vec<_>>())
        };
        let patience = ["--patience-s", "900"];
        let first = ["--first-user", "1"];
        assert_eq!(people(&[]), [&first[..], &["--pairs", "100"], &patience].concat());
        assert_eq!(people(&["--pairs", "5"]), [first, patience].concat());
        assert_eq!(people(&["--pairs=5", "--patience-s=7"]), first);
        assert!(super::people(Compared::Echo, &[]).is_empty());
    }

    #[test]
    fn the_median_is_of_the_runs_that_went_well() {
        let faulty = r#"{"name":"echo","ok":false,"figures":{"server_cpu_per_message_us":900.0},"faults":["no"],"fault_count":3}"#;
        let faulty = figures(Compared::Echo, &output(1, faulty, ""));
        assert_eq!((faulty.ok, faulty.fault_count, &*faulty.faults[0]), (false, 3, "no"));
        let runs = vec![run(5.0), run(4.0), faulty, run(6.0)];
        let subject = Subject { name: "bun".into(), version: String::new(), runs };
        let comparison = comparison(Compared::Echo, "bun".into(), vec![subject]);
        let spread = comparison.spreads(&comparison.measures[0])[0].1;
        assert_eq!((spread.median, spread.least, spread.most, spread.runs), (5.0, 4.0, 6.0, 3));
    }

    #[test]
    fn a_run_that_broke_is_a_failed_run_that_tells_why() {
        for (code, stdout, stderr, why) in [
            (2, "", "fortifun-loadtest: no port\n", "exit status: 2: fortifun-loadtest: no port"),
            (101, "{\"name\"", "panicked\n\n", "exit status: 101: panicked"),
            (2, "", "fortifun-loadtest: 500\n</html>", "exit status: 2: fortifun-loadtest: 500"),
            (1, "{}", "", "exit status: 1: "),
        ] {
            let run = figures(Compared::Echo, &output(code, stdout, stderr));
            assert_eq!((run.ok, run.fault_count, &*run.faults[0]), (false, 1, why));
            assert!(run.figures.is_empty());
        }
        let killed = Output { status: ExitStatus::from_raw(9), ..output(0, "", "") };
        assert!(figures(Compared::Echo, &killed).faults[0].starts_with("signal: 9"));
    }
}
