//! Processes of `fortifun` that a run starts itself.

use std::ffi::OsStr;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fortifun_fixtures::free_port;

/// Lines of its log that are told where a server does not start.
const LOG_LINES_MAX: usize = 20;

/// How often a peer's port is tried, and the pause between.
const PORT_TRIES: u32 = 300;
const PORT_PAUSE: Duration = Duration::from_millis(100);

/// A server with these defends itself against nobody: limits that are raised, each within its bounds.
pub(crate) const RAISED: [(&str, &str); 8] = [
    ("MESSAGES_PER_SECOND", "100000"),
    ("MESSAGES_BURST", "1000000"),
    ("COMMANDS_PER_SECOND", "1000000"),
    ("CONNECTIONS_PER_IP", "0"),
    ("CONNECTS_PER_SECOND_PER_IP", "0"),
    ("TYPING_PER_SECOND", "100000"),
    ("READ_RECEIPTS_PER_SECOND", "100000"),
    ("LOG_LEVEL", "info"),
];

/// A running `fortifun serve` on a free port of 127.0.0.1; killed when dropped, and where the thread that started it ends.
pub(crate) struct Launched {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Launched {
    /// Starts `program serve` with these settings and no others, and waits until it listens.
    ///
    /// # Errors
    ///
    /// It ended instead; the error holds the end of its log.
    pub(crate) fn serve(program: &Path, settings: &[(String, String)]) -> anyhow::Result<Self> {
        Self::serve_on(program, settings, (0, None))
    }

    /// The same on this port, 0 for a free one, and on these cores alone, as `taskset -c` names them.
    pub(crate) fn serve_on(
        program: &Path,
        settings: &[(String, String)],
        (port, cores): (u16, Option<&str>),
    ) -> anyhow::Result<Self> {
        let port = if port == 0 { free_port() } else { port };
        let mut child = command(program, cores)
            .arg("serve")
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .envs([("HOST", "127.0.0.1"), ("PORT", &*port.to_string())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let log = child.stderr.take().expect("it is piped");
        match address(log) {
            Ok(address) => Ok(Self { child, address }),
            Err(error) => {
                // One that is still there has nothing to listen on.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Starts `program` as a peer that listens where HOST and PORT say, with `settings` besides this process' own environment, and
    /// waits until it does.
    ///
    /// # Errors
    ///
    /// It ended, or does not listen.
    pub(crate) fn peer(
        program: &Path,
        settings: &[(String, String)],
        cores: Option<&str>,
    ) -> anyhow::Result<Self> {
        let port = free_port();
        let child = command(program, cores)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .envs([("HOST", "127.0.0.1"), ("PORT", &port.to_string())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut peer = Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        peer.await_port()?;
        Ok(peer)
    }

    fn await_port(&mut self) -> anyhow::Result<()> {
        until_it_listens(self.address, PORT_TRIES, || match self.child.try_wait()? {
            Some(status) => bail!("the server ended before it listened: {status}"),
            None => Ok(()),
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until somebody listens at `address`.
///
/// # Errors
///
/// Nobody does after `patience`.
pub(crate) fn await_port(address: SocketAddr, patience: Duration) -> anyhow::Result<()> {
    let tries = patience.as_millis() / PORT_PAUSE.as_millis();
    until_it_listens(address, u32::try_from(tries).unwrap_or(u32::MAX), || Ok(()))
}

fn until_it_listens(
    address: SocketAddr,
    tries: u32,
    mut look: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for _ in 0..tries {
        if TcpStream::connect_timeout(&address, PORT_PAUSE).is_ok() {
            return Ok(());
        }
        look()?;
        thread::park_timeout(PORT_PAUSE);
    }
    bail!("the server does not listen on {address}")
}

/// Runs `program` with `args` and these settings and no others; answers what it printed.
///
/// # Errors
///
/// It failed; the error is what it said.
pub(crate) fn output<A: AsRef<OsStr>>(
    program: &Path,
    args: &[A],
    settings: &[(String, String)],
) -> anyhow::Result<String> {
    let output = command(program, None)
        .args(args)
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {}", program.display(), told.trim());
    String::from_utf8(output.stdout).context("it printed no text")
}

/// Adds so many users, named `prefix` and a number, straight to the database; answers the first one's id, and theirs follow it.
///
/// # Errors
///
/// The program failed, or said what cannot be read.
pub(crate) fn add_users(
    program: &Path,
    settings: &[(String, String)],
    prefix: &str,
    count: u32,
) -> anyhow::Result<i64> {
    let added = output(program, &["user", "add", prefix, "--count", &count.to_string()], settings)?;
    let first = added.split_whitespace().next().and_then(|id| id.parse().ok());
    first.with_context(|| format!("`fortifun user add` said {added:?}"))
}

/// The server's program: the one that was named, or that of the environment's FORTIFUN_BIN, or that beside this one.
///
/// # Errors
///
/// It is not there; the error names its path.
#[expect(clippy::disallowed_methods, reason = "where programs are, no setting of the server")]
pub(crate) fn program(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match (named, std::env::var_os("FORTIFUN_BIN")) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => path.into(),
        (None, None) => {
            std::env::current_exe().context("where is this program?")?.with_file_name("fortifun")
        }
    };
    ensure!(
        path.is_file(),
        "{} is not there: build it, or name it by --server or FORTIFUN_BIN",
        path.display()
    );
    // So that a name without a folder is not looked for in PATH.
    path.canonicalize().with_context(|| format!("cannot find {}", path.display()))
}

/// A key that nobody else knows.
pub(crate) fn secret() -> String {
    let random = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}{:016x}{:016x}", random(), random(), random(), random())
}

/// `program`, which ends with this process even where that is killed: util-linux sets the signal that the death of a parent, or of
/// the thread of it that started the program, sends (PR_SET_PDEATHSIG(2const)). It runs on `cores` where they are given.
pub(crate) fn command(program: &Path, cores: Option<&str>) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut words: Vec<&OsStr> = Vec::new();
    if setpriv.exists() {
        words.extend([setpriv.as_os_str()]);
        words.extend(["--pdeathsig", "KILL", "--"].map(OsStr::new));
    }
    if let Some(cores) = cores {
        words.extend(["taskset", "-c", cores].map(OsStr::new));
    }
    words.push(program.as_os_str());
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// Reads a log until it tells where the server listens; the rest is read and forgotten, so that the server never waits.
fn address(log: ChildStderr) -> anyhow::Result<SocketAddr> {
    let mut lines = BufReader::new(log).lines();
    let mut told = Vec::new();
    while let Some(Ok(line)) = lines.next() {
        if let Some(address) = listening(&line) {
            thread::spawn(move || lines.for_each(drop));
            return Ok(address);
        }
        told.push(line);
    }
    let first = told.len().saturating_sub(LOG_LINES_MAX);
    bail!("the server did not start:\n{}", told[first..].join("\n"))
}

/// The address in the line that says so.
fn listening(line: &str) -> Option<SocketAddr> {
    if !line.contains("listening") {
        return None;
    }
    let (_, port) = line.split_once("127.0.0.1:")?;
    let end = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
    Some(SocketAddr::from(([127, 0, 0, 1], port[..end].parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        let address = Some("127.0.0.1:4321".parse().unwrap());
        assert_eq!(listening("INFO listening address=127.0.0.1:4321 shards=2"), address);
        assert_eq!(listening(r#"{"message":"listening","address":"127.0.0.1:4321"}"#), address);
        assert_eq!(listening("INFO connected to 127.0.0.1:5432"), None);
        assert_eq!(listening("INFO listening address=127.0.0.1:"), None);
    }

    #[test]
    fn a_program_that_ends_is_an_error_with_what_it_said() {
        let error = Launched::serve(Path::new("/bin/cat"), &[]).err().unwrap().to_string();
        assert!(error.contains("serve"), "{error}");
        let failed = output(Path::new("/bin/sh"), &["-c", "echo no >&2; exit 3"], &[]);
        assert!(failed.unwrap_err().to_string().ends_with("no"));
        let env = [("A".to_owned(), "b".to_owned())];
        assert_eq!(output(Path::new("/bin/sh"), &["-c", "echo $A"], &env).unwrap(), "b\n");
    }
}
