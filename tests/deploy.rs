//! `deploy/` works as it is: nginx takes its configuration and hands sockets and requests to a node, the example of settings is
//! one, `compose.yaml` and the unit name what exists.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and tests have a clock"
)]

#[path = "deploy/nginx.rs"]
mod nginx;
#[path = "deploy/settings.rs"]
mod settings;
#[path = "deploy/unit.rs"]
mod unit;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A file of `deploy/`.
fn deployed(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs the program with these settings and no others.
fn fortifun(args: &[&str], settings: &[(String, String)]) -> Output {
    let settings = settings.iter().map(|(name, value)| (name, value));
    let mut command = Command::new(env!("CARGO_BIN_EXE_fortifun"));
    command.args(args).env_clear().envs(settings).output().unwrap()
}

/// The number before a unit's letter: `75` of `75s`.
fn seconds(text: &str) -> u64 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("`{text}` is no time"))
}

/// What a node takes to stop, at most, in the order that it does it.
const STOP_S: u64 = {
    use fortifun_realtime::limits::{BUS_ANSWER_MS, BUS_CLOSE_MS, CLOSE_MS, SETTLE_MS};
    30 + (CLOSE_MS + SETTLE_MS + BUS_CLOSE_MS + 2 * BUS_ANSWER_MS).div_ceil(1_000)
};
