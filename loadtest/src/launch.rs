//! Processes of `fortifun` that a run starts itself.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;

use anyhow::{Context, bail, ensure};

/// Lines of its log that are told where a server does not start.
const LOG_LINES_MAX: usize = 20;

/// A running `fortifun serve` on a free port of 127.0.0.1; killed when dropped.
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
        let mut child = command(program)
            .arg("serve")
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .envs([("HOST", "127.0.0.1"), ("PORT", "0")])
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
    let output = command(program)
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

/// `program`, which ends with this process even where that is killed: util-linux sets the signal that a parent's death sends.
fn command(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
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
