//! `compare` from beginning to end, for moments: each scenario checks what every peer sends, so that this is also the test of
//! their contract (`loadtest/peers/README.md`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "program/server.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use server::server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fortifun-loadtest");

/// What `fortifun-loadtest compare` says of one round of the small `scenario` with `args`.
fn compare(scenario: &str, args: &[&str]) -> (Output, Value) {
    let output = Command::new(PROGRAM)
        .args(["--json", "compare", "--scenario", scenario, "--rounds", "1"])
        .arg("--cache")
        .arg(target().join("peers"))
        .arg("--server")
        .arg(server())
        .args(args)
        .args(["--", "--smoke"])
        .output()
        .unwrap();
    let told = serde_json::from_slice(&output.stdout);
    let told = told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output, told)
}

/// Compares `peers`, all of whom must do well, by the figure `key`.
fn all_do_well(scenario: &str, peers: &[&str], key: &str) {
    let (output, told) = compare(scenario, &["--peers", &peers.join(",")]);
    assert!(output.status.success() && told["ok"] == true, "{told:#}");
    for peer in peers {
        let figure = format!("{scenario}_{}_{key}", peer.replace('-', "_"));
        assert!(told["figures"][&figure].as_f64().is_some_and(|us| us > 0.0), "{figure}: {told:#}");
    }
}

fn target() -> PathBuf {
    Path::new(PROGRAM).parent().and_then(Path::parent).unwrap().to_owned()
}

#[test]
fn ours_and_those_of_node_echo_and_tell_a_room_side_by_side() {
    let peers = ["fortifun", "node-ws", "socketio"];
    all_do_well("echo", &peers, "server_cpu_per_message_us");
    all_do_well("fanout", &peers, "server_cpu_per_delivery_us");
    all_do_well("handshakes", &peers, "server_cpu_per_handshake_us");
}

#[test]
#[ignore = "builds three programs and installs Bun and Django"]
fn all_the_others_echo_and_tell_a_room_side_by_side() {
    let peers = ["raw", "bun", "axum", "fastwebsockets", "django"];
    all_do_well("echo", &peers, "server_cpu_per_message_us");
    all_do_well("fanout", &peers, "server_cpu_per_delivery_us");
    all_do_well("handshakes", &peers, "server_cpu_per_handshake_us");
}

#[test]
#[ignore = "installs Django"]
fn ours_and_django_store_and_come_back_side_by_side() {
    all_do_well("chat", &["fortifun", "django"], "commits_per_s");
    all_do_well("storm", &["fortifun", "django"], "all_back_after_s");
}

#[test]
fn one_that_does_not_start_is_a_failed_run_and_the_others_are_measured() {
    let args = ["--peers", "fortifun,node-ws", "--set", "SHARDS=none"];
    let (output, told) = compare("echo", &args);
    assert_eq!(output.status.code(), Some(1));
    let fault = told["faults"][0].as_str().unwrap();
    assert!(fault.contains("fortifun") && fault.contains("SHARDS"), "{fault}");
    let figures = told["figures"].as_object().unwrap();
    assert!(figures.contains_key("echo_node_ws_server_cpu_per_message_us"), "{figures:#?}");
    assert!(!figures.keys().any(|key| key.starts_with("echo_fortifun")), "{figures:#?}");
}
