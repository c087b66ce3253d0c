//! A peer that runs.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use fortifun_fixtures::free_port;

use super::install::Installed;
use super::world::World;
use super::{Peer, ready};
use crate::launch;

/// What it says while it runs, in its folder.
const LOG: &str = "server.log";

/// A peer that listens, and what was made for it. Killed when dropped, and where the thread that started it ends.
#[derive(Debug)]
pub(crate) struct Running {
    command: Command,
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: PathBuf,
    world: World,
}

/// Starts `peer` on a free port, beside what it needs, and waits until it listens. It runs on `cores` where they are given,
/// and knows users 1 to `users` where it knows any.
///
/// # Errors
///
/// It ended instead, or something that it needs is missing; the error holds the last line of what it said.
pub(crate) fn start(
    peer: Peer,
    installed: &Installed,
    users: u32,
    cores: Option<&str>,
) -> anyhow::Result<Running> {
    let world = World::of(peer, users)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let log = installed.folder.join(LOG);
    let told = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut command = launch::command(&installed.program, cores);
    command
        .args(&installed.args)
        .current_dir(&installed.folder)
        .env_clear()
        .envs(path())
        .envs(world.settings.iter().map(|(name, value)| (name, value)))
        .envs([("HOST", &host), ("PORT", &port)])
        // uvicorn takes its flags from there.
        .envs([("UVICORN_HOST", &host), ("UVICORN_PORT", &port)])
        .stdin(Stdio::null())
        .stdout(told.try_clone()?)
        .stderr(told);
    let child =
        command.spawn().with_context(|| format!("cannot start {}", installed.program.display()))?;
    let mut running = Running { command, child, address, log, world };
    ready::wait(&mut running.child, address)
        .with_context(|| format!("{} does not start ({})", peer.name(), running.told()))?;
    Ok(running)
}

impl Running {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The key of its tokens, where it asks for any.
    pub(crate) fn secret(&self) -> Option<&str> {
        self.world.secret.as_deref()
    }

    /// Starts it again where it has ended, on the same port, beside what it had.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn tend(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            self.child = self.command.spawn().context("cannot start a server again")?;
        }
        Ok(())
    }

    /// How it ended, and the last line of what it said; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(format!("the server ended ({status}; {})", self.told()))
    }

    fn told(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
        format!("{}: {last}", self.log.display())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where programs are found, which the environment of this process alone knows.
#[expect(clippy::disallowed_methods, reason = "a shell hands it on")]
fn path() -> Option<(&'static str, OsString)> {
    std::env::var_os("PATH").map(|path| ("PATH", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_ends_at_once_is_an_error_with_what_it_said() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let installed = Installed {
            folder: folder.path().to_owned(),
            program: PathBuf::from("/bin/sh"),
            args: ["-c", "echo no port $PORT is free >&2; exit 3"].map(str::to_owned).into(),
        };
        let error = start(Peer::Bun, &installed, 0, None).expect_err("it ends");
        let told = format!("{error:#}");
        assert!(told.contains("no port") && told.contains("exit status: 3"), "{told}");
    }
}
