//! Waiting until somebody listens.

use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::clock::Clock;

/// How long a server may take until it listens: Python reads a lot of files.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is tried.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one try may take.
const TRY: Duration = Duration::from_millis(500);

/// Waits until `child` listens at `address`.
///
/// # Errors
///
/// It ended instead, or did not listen within a minute.
pub(super) fn wait(child: &mut Child, address: SocketAddr) -> anyhow::Result<()> {
    let clock = Clock::start();
    while TcpStream::connect_timeout(&address, TRY).is_err() {
        if let Some(status) = child.try_wait().context("a child can be asked")? {
            bail!("it ended ({status})");
        }
        if clock.now() > PATIENCE {
            bail!("it does not listen after {} s", PATIENCE.as_secs());
        }
        pause();
    }
    Ok(())
}

/// Nobody sends here, so that the wait ends by its time.
fn pause() {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(PAUSE);
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::process::Command;

    use super::*;

    #[test]
    fn who_ends_before_it_listens_is_told() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fortifun_fixtures::free_port()));
        let mut child = Command::new("true").spawn().expect("it is there");
        let error = wait(&mut child, address).expect_err("nobody listens").to_string();
        assert!(error.starts_with("it ended"), "{error}");
    }

    #[test]
    fn a_listener_ends_the_wait() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are ports");
        let address = listener.local_addr().expect("it is bound");
        let mut child = Command::new("sleep").arg("60").spawn().expect("it is there");
        let waited = wait(&mut child, address);
        child.kill().expect("it is ours");
        child.wait().expect("it was ours");
        waited.expect("somebody listens");
    }
}
