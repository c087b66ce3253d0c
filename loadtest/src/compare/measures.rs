//! Which figures of a scenario are held beside each other, in the order of their weight.

use serde_json::Value;

use crate::report::{Measure, Row, Subject};

/// Title, unit, and whether the lesser figure is the better one. The key is made of title and unit, as in a report.
const KNOWN: [(&str, &str, bool); 33] = [
    ("server CPU per message", "us", true),
    ("server CPU per message, user", "us", true),
    ("server CPU per message, system", "us", true),
    ("server CPU per delivery", "us", true),
    ("server CPU per delivery, user", "us", true),
    ("server CPU per delivery, system", "us", true),
    ("server CPU per handshake", "us", true),
    ("server CPU per handshake, user", "us", true),
    ("server CPU per handshake, system", "us", true),
    ("server CPU per committed message", "us", true),
    ("server CPU per committed message, user", "us", true),
    ("server CPU per committed message, system", "us", true),
    ("server CPU per session that came back", "us", true),
    ("a session at rest: resident", "bytes", true),
    ("a session at rest: kernel objects, both ends", "bytes", true),
    ("server CPU while held", "s", true),
    ("server CPU a heartbeat", "us", true),
    ("echoed", "1/s", false),
    ("deliveries", "1/s", false),
    ("handshakes", "1/s", false),
    ("commits", "1/s", false),
    ("echo p50", "us", true),
    ("echo p99", "us", true),
    ("delivery p50", "us", true),
    ("delivery p99", "us", true),
    ("to the last session p50", "us", true),
    ("to the last session p99", "us", true),
    ("handshake p50", "us", true),
    ("handshake p99", "us", true),
    ("all back after", "s", true),
    ("server listens again after", "s", true),
    ("connect to all heard p99", "us", true),
    ("missed by the sockets", "", true),
];

/// Those that at least one of `runs` has.
pub(crate) fn measures(subjects: &[Subject]) -> Vec<Measure> {
    let runs = subjects.iter().flat_map(|subject| &subject.runs);
    let has = |key: &str| runs.clone().any(|run| run.number(key).is_some());
    KNOWN
        .iter()
        .map(|&(title, unit, lower_is_better)| Measure {
            key: Row { name: title.to_owned(), value: Value::Null, unit: unit.into() }.key(),
            title: title.to_owned(),
            unit: unit.to_owned(),
            lower_is_better,
        })
        .filter(|measure| has(&measure.key))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    #[test]
    fn what_is_measured_is_found_by_the_key_of_the_report() {
        let mut report = Report::new("echo");
        for (title, unit, _) in KNOWN {
            report.row(title, 1.0, unit);
        }
        let of = |report: &Report| {
            let (name, version) = ("a".to_owned(), String::new());
            measures(&[Subject { name, version, runs: vec![report.figures()] }])
        };
        assert_eq!(of(&report).len(), KNOWN.len());
        assert!(of(&Report::new("echo")).is_empty());
    }
}
