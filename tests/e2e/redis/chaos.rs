//! Everything is broken once while clients talk: `fortifun-loadtest nodes`, for a moment. The long runs are its own.

use std::path::Path;
use std::process::Command;

use crate::cluster::{CORE, PUBSUB};

#[test]
fn nothing_committed_is_lost_doubled_or_out_of_order_while_everything_breaks_by_pubsub() {
    nodes(PUBSUB);
}

#[test]
fn nothing_committed_is_lost_doubled_or_out_of_order_while_everything_breaks_by_core() {
    nodes(CORE);
}

fn nodes(layer: &str) {
    let server = Path::new(env!("CARGO_BIN_EXE_fortifun"));
    let folder = server.parent().unwrap();
    // As `cargo test --workspace` has them: of one package alone, half of what both need would be built once more.
    let mut build = Command::new(env!("CARGO"));
    build.args(["test", "--quiet", "--workspace", "--no-run", "--test", "commits"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    build.arg("--target-dir").arg(folder.parent().unwrap());
    assert!(build.status().unwrap().success(), "the clients are built");
    let output = Command::new(folder.join("fortifun-loadtest"))
        .args(["nodes", "--verbose", "--layer", layer, "--nodes", "3", "--users", "40"])
        .args(["--rate", "40", "--seconds", "20"])
        .args(["--redis-kills", "1", "--cuts", "3", "--node-kills", "1", "--server"])
        .arg(server)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    let what = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}{told}");
}
