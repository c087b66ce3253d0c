//! The tables that documents take from the code, each between `<!-- table: NAME -->` and `<!-- end of table -->`.

use std::fmt::Write as _;

use fortifun_realtime::config::{Fallback, SETTINGS, markdown};
use fortifun_realtime::metrics::{Family, FamilyKind, families};

use super::floors::FLOORS;

const LIMITS: &str = include_str!("../../src/limits.rs");
const END: &str = "<!-- end of table -->";

/// `document` with each of its tables as the code has it.
pub(super) fn refreshed(document: &str) -> String {
    let mut out = String::new();
    let mut rest = document;
    while let Some((before, after)) = rest.split_once("<!-- table: ") {
        let (name, after) = after.split_once(" -->").expect("a marker ends");
        let (_, after) = after.split_once(END).expect("a table ends");
        write!(out, "{before}<!-- table: {name} -->\n\n{}\n{END}", table(name))
            .expect("a String takes it");
        rest = after;
    }
    out + rest
}

/// `document` without its tables.
pub(super) fn prose(document: &str) -> String {
    let mut out = String::new();
    let mut rest = document;
    while let Some((before, after)) = rest.split_once("<!-- table: ") {
        out.push_str(before);
        rest = after.split_once(END).expect("a table ends").1;
    }
    out + rest
}

fn table(name: &str) -> String {
    match name.split_once(' ') {
        Some(("settings", group)) => markdown(group),
        None if name == "settings" => settings(),
        None if name == "metrics" => metrics(),
        None if name == "limits" => limits_table(),
        None if name == "floors" => floors(),
        _ => panic!("there is no table `{name}`"),
    }
}

fn settings() -> String {
    let mut table = String::from("| setting | default | meaning |\n|---|---|---|\n");
    for setting in SETTINGS {
        let default = match setting.default {
            Fallback::Is("") | Fallback::Unset => "–".to_owned(),
            Fallback::Is(text) if setting.unit.is_empty() => format!("`{text}`"),
            Fallback::Is(text) => format!("{text} {}", setting.unit),
            Fallback::Derived(text) => text.to_owned(),
        };
        writeln!(table, "| `{}` | {default} | {} |", setting.name, setting.doc)
            .expect("a String takes it");
    }
    table
}

fn metrics() -> String {
    let mut table = String::from("| metric | kind | labels | what |\n|---|---|---|---|\n");
    for family in families() {
        let kind = match family.kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        };
        let labels = labels(family);
        writeln!(table, "| `{}` | {kind} | {labels} | {} |", family.exposed_name(), family.help)
            .expect("a String takes it");
    }
    table
}

fn labels(family: &Family) -> String {
    let one = |(name, values): &(&str, &[&str])| match *name {
        "version" => "`version`".to_owned(),
        name => format!("`{name}`: {}", values.join(" ")),
    };
    let labels: Vec<String> = family.labels.iter().map(one).collect();
    if labels.is_empty() { "–".to_owned() } else { labels.join("; ") }
}

/// Every bound of `limits.rs`: its name, its value as it is written there, and what it bounds.
pub(super) fn limits() -> Vec<(&'static str, u64, String)> {
    let mut limits = Vec::new();
    let mut doc = String::new();
    for line in LIMITS.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            doc = if doc.is_empty() { text.to_owned() } else { format!("{doc} {text}") };
        } else if let Some(declared) = line.strip_prefix("pub const ") {
            let (name, rest) = declared.split_once(": ").expect("a constant has a type");
            let (_, value) = rest.split_once(" = ").expect("a constant has a value");
            let value = value.trim_end_matches(';').split(" * ");
            let number = |factor: &str| {
                factor.replace('_', "").parse::<u64>().expect("a bound is a product of numbers")
            };
            let doc = std::mem::take(&mut doc).replace("[`", "`").replace("`]", "`");
            limits.push((name, value.map(number).product(), doc));
        }
    }
    assert!(limits.len() > 30, "limits.rs was read");
    limits
}

fn limits_table() -> String {
    let mut table = String::from("| bound | value | of what |\n|---|---|---|\n");
    for (name, value, doc) in limits() {
        writeln!(table, "| `{name}` | {} | {doc} |", grouped(value)).expect("a String takes it");
    }
    table
}

/// `65536` as `65,536`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn floors() -> String {
    let width = FLOORS.iter().map(|floor| floor.modules.join("  ").len()).max().unwrap_or(0);
    let mut table = String::from("```text\n");
    for (number, floor) in FLOORS.iter().rev().enumerate().collect::<Vec<_>>().into_iter().rev() {
        writeln!(table, "{number}  {:width$}  {}", floor.modules.join("  "), floor.what)
            .expect("a String takes it");
    }
    table + "```\n"
}
