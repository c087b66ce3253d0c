//! `commits` from beginning to end, for a moment: whether it measures and checks, not how fast anything is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "program/server.rs"]
mod server;

use std::process::Command;

use fortifun_fixtures::Postgres;

use server::server;

/// The figures of `fortifun-loadtest commits` with `args`.
fn commits(args: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_fortifun-loadtest"))
        .args(["--json", "commits", "--rounds", "1", "--seconds", "1", "--warm-up-s", "0"])
        .args(["--conversations", "5", "--sockets-only"])
        .arg("--server")
        .arg(server())
        .args(args)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stdout));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true);
    report["figures"].clone()
}

fn is_positive(figures: &serde_json::Value, name: &str) {
    assert!(figures[name].as_f64().is_some_and(|figure| figure > 0.0), "{name} in {figures}");
}

#[test]
fn messages_are_counted_and_checked_over_sqlite() {
    let figures = commits(&["--sqlite"]);
    is_positive(&figures, "batched_committed_and_echoed_per_s");
    is_positive(&figures, "single_committed_and_echoed_per_s");
    assert_eq!(figures["single_requests_a_commit"], 1.0);
    is_positive(&figures, "batched_send_to_echo_p50_us");
}

#[test]
fn messages_are_counted_and_checked_over_postgres() {
    if !Postgres::is_installed() {
        eprintln!("left out: Postgres is not installed");
        return;
    }
    let figures = commits(&["--unix-socket"]);
    is_positive(&figures, "batched_committed_and_echoed_per_s");
    is_positive(&figures, "batched_cpu_of_postgres_for_1_000_messages_ms");
    let figures = commits(&["--light", "--samples", "50", "--pause-ms", "0"]);
    assert_eq!(
        (&figures["messages"], &figures["bare_commits_of_each_kind"]),
        (&50.into(), &50.into())
    );
    is_positive(&figures, "bare_commit_p50_us");
    is_positive(&figures, "bare_commit_prepared_p50_us");
}
