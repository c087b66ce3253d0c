//! `fortifun` as a process of its own, on a given database.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use crate::support::server::SECRET;

/// Runs `fortifun` to its end.
pub(super) fn fortifun(url: &str, args: &[&str]) -> Output {
    command(url).args(args).output().unwrap()
}

/// What a run that succeeded printed.
#[track_caller]
pub(super) fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A `fortifun migrate` under way; killed, by process id, when dropped.
pub(super) struct Migration {
    child: Child,
    stderr: Option<BufReader<ChildStderr>>,
}

impl Migration {
    pub(super) fn start(url: &str) -> Self {
        let mut child = command(url)
            .arg("migrate")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().map(BufReader::new);
        Self { child, stderr }
    }

    /// Waits until it tells a line with `text` in it.
    pub(super) fn hear(&mut self, text: &str) {
        let mut told = String::new();
        loop {
            let from = told.len();
            let read = self.stderr.as_mut().unwrap().read_line(&mut told).unwrap();
            assert!(read > 0, "it ended before `{text}`:\n{told}");
            if told[from..].contains(text) {
                return;
            }
        }
    }

    /// Ends it without a warning.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it printed, when it has ended by itself.
    pub(super) fn wait(mut self) -> Output {
        let mut stderr = Vec::new();
        self.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        let mut stdout = Vec::new();
        self.child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        Output { status: self.child.wait().unwrap(), stdout, stderr }
    }
}

impl Drop for Migration {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fortifun"));
    command
        .env_clear()
        .env("SECRET_KEY", SECRET)
        .env("DATABASE_URL", url)
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
        .stdin(Stdio::null());
    command
}
