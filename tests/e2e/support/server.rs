//! The server as a process of one test.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use fortifun_fixtures::{Database, Postgres};
use fortifun_realtime::config::{Config, Machine, Sources};
use fortifun_realtime::server;
use fortifun_realtime::store::{Lane, Outcome, Request};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

use super::users::wall_clock;
use super::{Answer, Http, PATIENCE, User};

/// Where the servers of a test program keep what they are told, unless a test says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "each test program is over one of them")]
pub(crate) enum Over {
    Sqlite,
    Postgres,
}

/// Signs the tokens of every server here.
pub(crate) const SECRET: &str = "end-to-end-secret-of-32-bytes-and-more";
/// The key before it.
pub(crate) const PREVIOUS_SECRET: &str = "the-secret-before-the-last-rotation-";

/// Settings under which nobody is told to go slower.
pub(crate) const UNLIMITED: &[(&str, &str)] = &[
    ("MESSAGES_PER_SECOND", "100000"),
    ("MESSAGES_BURST", "100000"),
    ("TYPING_PER_SECOND", "100000"),
    ("READ_RECEIPTS_PER_SECOND", "100000"),
    ("COMMANDS_PER_SECOND", "100000"),
];

/// A running `fortifun serve` and the folder of its store. Killed, by process id, when dropped.
pub(crate) struct Server {
    child: Child,
    log: Arc<Log>,
    pub(crate) address: SocketAddr,
    settings: BTreeMap<String, String>,
    place: TempDir,
    // Dropped after the process that uses it was killed.
    _own: Option<Database>,
}

/// What the process wrote to stderr, line by line.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Server {
    /// A server with its defaults, except that one address may connect as fast as it likes.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// As [`Server::start`], with further settings.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        match crate::OVER {
            Over::Sqlite => {
                let url = format!("sqlite:///{}", database(place.path()).display());
                Self::over(place, None, &url, settings)
            }
            Over::Postgres => {
                let own = Postgres::shared().database();
                let url = own.url();
                Self::over(place, Some(own), &url, settings)
            }
        }
    }

    /// As [`Server::with`], on the database that `url` names, as `DATABASE_URL` does. It is migrated first and outlives this
    /// server; several may share it.
    pub(crate) fn on(url: &str, settings: &[(&str, &str)]) -> Self {
        Self::over(tempfile::tempdir().unwrap(), None, url, settings)
    }

    fn over(place: TempDir, own: Option<Database>, url: &str, settings: &[(&str, &str)]) -> Self {
        let mut all = BTreeMap::from(
            [
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("SHARDS", "2"),
                ("SECRET_KEY", SECRET),
                ("CONNECTS_PER_SECOND_PER_IP", "0"),
                ("DATABASE_URL", url),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        // So that users can be added before the server is up.
        server::migrate(&config(&all), &mut |_| {}).unwrap();
        let (child, log, address) = spawn(&all);
        Self { child, log, address, settings: all, place, _own: own }
    }

    /// Ends the process without a warning, and starts another on the same store.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    /// Starts another process on the same store; the one before it has ended.
    pub(crate) fn restart(&mut self) {
        (self.child, self.log, self.address) = spawn(&self.settings);
    }

    /// Another setting for the process that is started next.
    #[allow(dead_code, reason = "only the tests over Postgres change one")]
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// Ends the process without a warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to stop.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Leaves the process room for so many descriptors more than it has.
    pub(crate) fn limit_descriptors(&self, room: usize) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count();
        let limit = Some((open + room) as u64);
        let limit = Rlimit { current: limit, maximum: limit };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).unwrap();
    }

    /// How the process ended; it has been asked to.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.log.wait_for("the end of the process", |_, has_ended| has_ended.then_some(()));
        self.child.wait().unwrap()
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().unwrap().0.join("\n")
    }

    /// The file of a database of SQLite.
    pub(crate) fn database(&self) -> PathBuf {
        database(self.place.path())
    }

    /// The number that `sql` asks of the database.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        let url = &self.settings["DATABASE_URL"];
        if url.starts_with("sqlite:") {
            let database = rusqlite::Connection::open(self.database()).unwrap();
            return database.query_one(sql, [], |row| row.get(0)).unwrap();
        }
        let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
        client.query_one(sql, &[]).unwrap().get(0)
    }

    /// Runs `fortifun` with the settings of this server; returns the first line it printed.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fortifun"));
        let output = command.args(args).env_clear().envs(&self.settings).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "fortifun {args:?}: {told}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Carries out writes on the server's store.
    pub(crate) fn commit(&self, requests: &[Request]) -> Vec<Outcome> {
        let mut store = server::open_store(&config(&self.settings), Lane::Write).unwrap();
        store.commit(requests, wall_clock()).unwrap()
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&serde_json::Value>,
    ) -> Answer {
        Http::connect(self.address).ask(method, path, token, body)
    }

    /// The JSON of a `GET` that has to succeed.
    pub(crate) fn json(&self, path: &str, token: &str) -> serde_json::Value {
        let answer = self.ask("GET", path, token, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Everything that was said in a conversation, read page by page.
    pub(crate) fn history(&self, conversation: i64, user: &User) -> Vec<serde_json::Value> {
        let mut http = Http::connect(self.address);
        let mut all: Vec<serde_json::Value> = Vec::new();
        loop {
            let path = format!(
                "/api/v1/conversations/{conversation}/messages/?limit=200&after_seq={}",
                all.len()
            );
            let answer = http.ask("GET", &path, &user.token, None);
            assert_eq!(answer.status, 200, "{}", answer.text());
            let serde_json::Value::Array(page) = answer.json() else { panic!("{answer:?}") };
            let is_last = page.is_empty();
            all.extend(page);
            if is_last {
                return all;
            }
        }
    }

    /// A whole figure of `/metrics`, with its labels as Prometheus writes them; 0 where it is not told.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.ask("GET", "/metrics", "", None);
        let value = metrics.text().lines().find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(' ')?
                .split_ascii_whitespace()
                .next()?
                .parse()
                .ok()
        });
        value.map_or(0, |value: f64| value as u64)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(4_000);
            eprintln!("the server's log:\n{}", log.get(from..).unwrap_or(&log));
        }
    }
}

impl Log {
    fn wait_for<T>(&self, told: &str, what: impl Fn(&[String], bool) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut guard = self.lines.lock().unwrap();
        loop {
            if let Some(found) = what(&guard.0, guard.1) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not within {PATIENCE:?}: {told}\n{}", guard.0.join("\n"));
            guard = self.changed.wait_timeout(guard, left).unwrap().0;
        }
    }
}

fn database(place: &Path) -> PathBuf {
    place.join("e2e.db")
}

fn config(settings: &BTreeMap<String, String>) -> Config {
    Config::load(&Sources {
        file: None,
        env: &|name| settings.get(name).cloned(),
        flags: &BTreeMap::new(),
        read_file: &|path| std::fs::read_to_string(path).map_err(|error| error.to_string()),
        machine: Machine { cores: 2, descriptors_max: 20_000, random: [7; 32] },
    })
    .unwrap()
}

/// Starts the process; returns when it listens.
fn spawn(settings: &BTreeMap<String, String>) -> (Child, Arc<Log>, SocketAddr) {
    // The server ends with its test, even where that is killed: util-linux sets the signal that a parent's death sends.
    let setpriv = Path::new("/usr/bin/setpriv");
    let binary = env!("CARGO_BIN_EXE_fortifun");
    let mut command = if setpriv.exists() {
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", "KILL", "--", binary]);
        command
    } else {
        Command::new(binary)
    };
    let mut child = command
        .arg("serve")
        .env_clear()
        .envs(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Arc::new(Log::default());
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let writer = Arc::clone(&log);
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            writer.lines.lock().unwrap().0.push(line);
            writer.changed.notify_all();
        }
        writer.lines.lock().unwrap().1 = true;
        writer.changed.notify_all();
    });
    let address = log.wait_for("listening", |lines, has_ended| {
        assert!(!has_ended, "the server ended:\n{}", lines.join("\n"));
        lines.iter().filter(|line| line.contains("listening")).find_map(|line| {
            // In either format of the log.
            let (_, port) = line.split_once("127.0.0.1:")?;
            let end = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
            Some(SocketAddr::from(([127, 0, 0, 1], port[..end].parse().ok()?)))
        })
    });
    (child, log, address)
}
