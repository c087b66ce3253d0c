//! A Python process with Django's channel layer in it, that is told what to do line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::PATIENCE;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");

/// One process; killed when dropped.
pub(crate) struct Python {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<Value>,
    script: &'static str,
}

impl Python {
    /// Starts a script of `tests/interop`; returns once it is ready.
    pub(crate) fn start(script: &'static str, config: &Value) -> Self {
        // It ends with its test, even where that is killed: util-linux sets the signal that a parent's death sends.
        let setpriv = Path::new("/usr/bin/setpriv");
        let mut command = if setpriv.exists() {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(interpreter());
            command
        } else {
            Command::new(interpreter())
        };
        let mut child = command
            .args([script, &config.to_string()])
            .current_dir(FOLDER)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let told = serde_json::from_str(&line);
                let told = told.unwrap_or_else(|_| panic!("{script} says {line:?}"));
                if sender.send(told).is_err() {
                    return;
                }
            }
        });
        let python = Self { child, orders, answers, script };
        assert_eq!(python.answer(), json!({"ready": true}));
        python
    }

    /// Gives it an order.
    pub(crate) fn tell(&mut self, order: &Value) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// The next line it says.
    pub(crate) fn answer(&self) -> Value {
        self.answer_within(PATIENCE)
    }

    /// The same, of one that has much to do first.
    pub(crate) fn answer_within(&self, patience: Duration) -> Value {
        let answer = self.answers.recv_timeout(patience);
        answer.unwrap_or_else(|error| panic!("{} does not answer: {error}", self.script))
    }

    /// Has it publish an event, as a view of Django's does; returns when that is done.
    pub(crate) fn send(&mut self, group: &str, event: &Value) {
        self.tell(&json!({"group": group, "event": event}));
        assert_eq!(self.answer(), json!({"sent": 1}));
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Python with what `requirements.txt` names, which is installed where it is not yet.
fn interpreter() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let made = Command::new(Path::new(FOLDER).join("venv.sh"))
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(made.status.success(), "tests/interop/venv.sh fails: {:?}", made.status);
        Path::new(String::from_utf8(made.stdout).unwrap().trim()).join("bin/python")
    })
}
