//! Every scenario in small, from beginning to end: whether it measures and checks, not how fast anything is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "program/peer.rs"]
mod peer;
#[path = "program/server.rs"]
mod server;

use std::io::Write as _;
use std::process::{Command, Output};

use fortifun_fixtures::Postgres;

use peer::{Wrong, peer};
use server::server;

/// A run whose environment names a server: who says where it is otherwise is heard.
fn run(name: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fortifun-loadtest"));
    command.args(["--json", name, "--smoke"]).args(args);
    command.env("FORTIFUN_BIN", "/of/the/environment").output().unwrap()
}

/// The figures of a run that succeeded.
fn figures(name: &str, args: &[&str]) -> serde_json::Value {
    let output = run(name, args);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stdout));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["name"], &report["ok"]), (&name.into(), &true.into()));
    report["figures"].clone()
}

/// The same of a run that starts the server.
fn own(name: &str, args: &[&str]) -> serde_json::Value {
    let server = server();
    figures(name, &[&["--server", server.to_str().unwrap()], args].concat())
}

fn is_positive(figures: &serde_json::Value, names: &[&str]) {
    for name in names {
        let figure = figures[name].as_f64();
        assert!(figure.is_some_and(|figure| figure > 0.0), "{name} in {figures}");
    }
}

#[test]
fn handshakes_are_counted_and_cost_something() {
    let figures = own("handshakes", &["--sessions", "2000"]);
    is_positive(&figures, &["handshakes_per_s", "server_cpu_per_handshake_us", "handshake_p99_us"]);
}

#[test]
fn echoes_come_back_in_a_closed_loop_and_by_the_clock() {
    let figures = own("echo", &["--server-core", "0", "--client-core", "0"]);
    is_positive(&figures, &["echoed_per_s", "server_cpu_per_message_us", "echo_p99_us"]);
    let figures = own("echo", &["--rate", "500"]);
    let rate = figures["echoed_per_s"].as_f64().unwrap();
    assert!((450.0..550.0).contains(&rate), "{rate}");
}

#[test]
fn a_fan_out_reaches_every_session() {
    let figures = own("fanout", &[]);
    is_positive(&figures, &["deliveries_per_s", "server_cpu_per_delivery_us", "delivery_p99_us"]);
    let of = |name: &str| figures[name].as_f64().unwrap();
    let each = of("deliveries_per_s") / of("messages_heard_by_all_per_s");
    assert!((9.5..10.5).contains(&each), "{each}");
}

#[test]
fn several_processes_share_the_sessions_of_one_server() {
    let figures = own("echo", &["--processes", "2", "--rate", "400", "--sessions", "15"]);
    let rate = figures["echoed_per_s"].as_f64().unwrap();
    assert!((360.0..440.0).contains(&rate), "{rate}");
    is_positive(&figures, &["server_cpu_per_message_us", "echo_p99_us", "clients_busy_percent"]);
    let figures = own("fanout", &["--processes", "2", "--rate", "100", "--conversations", "5"]);
    let rate = figures["deliveries_per_s"].as_f64().unwrap();
    assert!((900.0..1_100.0).contains(&rate), "{rate}");
    is_positive(&figures, &["server_cpu_per_delivery_us", "to_the_last_session_p99_us"]);
}

#[test]
fn readers_that_stop_are_compared_with_none() {
    let figures = own("slow", &[]);
    is_positive(&figures, &["all_read_deliveries_per_s", "some_stopped_deliveries_per_s"]);
    is_positive(&figures, &["p99_some_stopped_to_all_read_median"]);
    let stopped = &figures["sessions_that_stopped_reading"];
    assert!(*stopped == 2 && figures["closed_by_the_server_as_slow"] == 2.0, "{figures}");
    assert_eq!(figures["found_their_end_when_they_read_on"], 2);
}

#[test]
fn all_come_back_after_a_kill_and_hear_what_they_missed() {
    let figures = own("storm", &[]);
    assert_eq!(
        (&figures["sessions_back"], &figures["missed_messages_heard"]),
        (&200.into(), &2_000.into())
    );
    is_positive(&figures, &["all_back_after_s"]);
}

#[test]
fn after_a_soak_the_server_is_as_it_was() {
    let figures = own("soak", &[]);
    assert_eq!(figures["sessions_at_first"], figures["sessions_at_the_end"]);
    is_positive(&figures, &["sessions_that_came_and_went_per_s", "resident_at_the_end_bytes"]);
}

#[test]
fn people_talk_type_and_read_on_sqlite_and_on_postgres() {
    let mut databases = vec![&[][..]];
    if Postgres::is_installed() {
        databases.push(&["--database-url", "postgres"]);
    }
    for args in databases {
        let figures = own("chat", args);
        assert_eq!(figures["messages_committed_and_echoed"], 400);
        is_positive(&figures, &["commits_per_s", "seen_to_type", "said_to_have_read"]);
        is_positive(&figures, &["server_cpu_per_committed_message_us", "messages_found_stored"]);
    }
}

#[test]
fn pairs_match_once() {
    assert_eq!(own("match", &[])["matches"], 100);
    assert_eq!(own_report_name("likes"), "match");
}

/// The name of the report of a subcommand.
fn own_report_name(name: &str) -> String {
    let server = server();
    let output = run(name, &["--server", server.to_str().unwrap(), "--pairs", "2"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    report["name"].as_str().unwrap().to_owned()
}

#[test]
fn idle_sessions_cost_memory() {
    let figures = own("idle", &[]);
    is_positive(&figures, &["at_150_resident_bytes"]);
    // Three processes, each with a server and a third of the sessions.
    let figures = own("idle", &["--connections", "31,100", "--processes", "3"]);
    is_positive(&figures, &["at_31_resident_bytes", "at_100_resident_bytes"]);
}

#[test]
fn sessions_come_and_go_on_a_node_without_a_bus() {
    if Postgres::is_installed() {
        let figures = own("churn", &["--layer", "memory"]);
        assert_eq!(
            (&figures["sessions"], &figures["sessions_that_failed"]),
            (&200.into(), &0.into())
        );
    }
}

#[test]
fn pairs_talk_across_nodes_that_are_broken() {
    let has_redis = Command::new("redis-server").arg("--version").output().is_ok();
    if Postgres::is_installed() && has_redis {
        is_positive(&own("nodes", &[]), &["delivery_p99_us"]);
    }
}

#[test]
fn a_message_that_is_dropped_doubled_or_changed_fails_the_run() {
    for (wrong, is_ok) in [
        (Wrong::Nothing, true),
        (Wrong::Drops, false),
        (Wrong::Doubles, false),
        (Wrong::Changes, false),
    ] {
        let url = format!("ws://{}", peer(wrong));
        let args = ["--dialect", "plain", "--url", &*url, "--duration-s", "1"];
        let rooms = ["--conversations", "1", "--sessions", "3", "--publishers", "1"];
        let output = run("fanout", &[&args[..], &rooms].concat());
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert_eq!(output.status.code(), Some(i32::from(!is_ok)), "{told}");
    }
}

#[test]
fn a_scenario_of_ones_own_is_read_and_an_unknown_key_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"colour = 1").unwrap();
    let output = run("echo", &["--scenario", file.path().to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("unknown key: colour"), "{told}");
}
