//! One case under callgrind, in a process of its own.

use std::path::Path;
use std::process::Command;

use crate::cases::Case;

/// The argument before a case's name that has it run.
pub(crate) const RUN: &str = "--run";

/// Instructions of one of what `case` does.
///
/// # Panics
///
/// Where valgrind is not installed, or the case fails.
pub(crate) fn count(case: &Case) -> u64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let profile = folder.path().join("profile");
    let program = std::env::current_exe().expect("this program has a path");
    let run = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=instructions*collected*",
        ])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .args([RUN, case.name])
        .output()
        .unwrap_or_else(|error| panic!("valgrind: {error}; apt-get install valgrind"));
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}: {}\n{said}", case.name, run.status);
    let total = total(&profile);
    assert!(total > 0, "{}: callgrind has not seen what was to be counted", case.name);
    let count = case.rounds * case.in_a_round;
    (total + count / 2) / count
}

/// What callgrind has counted: the line `totals: 1234` of its profile.
fn total(profile: &Path) -> u64 {
    let text = std::fs::read_to_string(profile).expect("callgrind has written its profile");
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
    line.and_then(|total| total.trim().parse().ok()).expect("a profile has its total")
}
