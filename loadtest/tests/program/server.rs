//! The server that the runs under test load.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The server's program of the same profile, brought up to date.
pub(crate) fn server() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_fortifun-loadtest")).parent().unwrap();
    // As `cargo test --workspace` has it: of its package alone, half of what both need would be built once more.
    let mut build = Command::new(env!("CARGO"));
    build.args(["test", "--quiet", "--workspace", "--no-run", "--test", "architecture"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    build.arg("--target-dir").arg(folder.parent().unwrap());
    assert!(build.status().unwrap().success(), "the server is built");
    folder.join("fortifun")
}
