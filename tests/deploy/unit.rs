//! The systemd unit.

use std::fs;
use std::process::Command;

use crate::{STOP_S, deployed, seconds};

fn value<'a>(unit: &'a str, name: &str) -> &'a str {
    let found = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("the unit says no {name}"))
}

#[test]
fn the_unit_waits_for_a_drain_and_restarts_nothing_that_is_read_at_start() {
    let unit = deployed("fortifun.service");
    assert!(seconds(value(&unit, "TimeoutStopSec")) > STOP_S);
    assert_eq!(value(&unit, "ExecStart"), "/usr/local/bin/fortifun serve");
    assert!(!unit.contains("ExecReload"));
    assert!(seconds(value(&unit, "LimitNOFILE")) >= 200_000);
}

#[test]
fn systemd_takes_the_unit() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        println!("no systemd-analyze here");
        return;
    };
    assert!(version.status.success());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fortifun.service");
    // The program has to be there.
    let unit = deployed("fortifun.service")
        .replace("/usr/local/bin/fortifun", env!("CARGO_BIN_EXE_fortifun"));
    fs::write(&path, unit).unwrap();
    let told = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let errors = String::from_utf8_lossy(&told.stderr).into_owned();
    // Of this unit: others of the machine are told of as well.
    let ours: Vec<&str> = errors.lines().filter(|line| line.contains("fortifun")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}
