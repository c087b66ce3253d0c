//! A run in several processes of this program, each with a part of the sessions: more than one process may have descriptors for.
//!
//! They go in step: each says when it has arrived somewhere, and goes on when all have. What each found it writes to a file.

use std::fmt;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::together::Shared;
use crate::clock::Clock;
use crate::output;

/// Which part of a run a process has; written `NUMBER/COUNT:FILE`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// Its number, from 0.
    pub(crate) n: u32,
    /// How many there are.
    pub(crate) of: u32,
    /// Where it writes what it found.
    file: PathBuf,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (place, file) = text.split_once(':')?;
            let (n, of) = place.split_once('/')?;
            let part = Self { n: n.parse().ok()?, of: of.parse().ok()?, file: file.into() };
            (part.n < part.of).then_some(part)
        };
        read().ok_or_else(|| format!("{text:?} is not NUMBER/COUNT:FILE"))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.n, self.of, self.file.display())
    }
}

impl Part {
    /// This part's share of `count`; the first parts have one more where it does not divide.
    pub(crate) fn share(&self, count: u32) -> u32 {
        count / self.of + u32::from(self.n < count % self.of)
    }

    /// The server of the one who started this process; `None` where it is named on the command line, or each has its own.
    pub(crate) fn server(&self) -> anyhow::Result<Option<Shared>> {
        let path = self.file.with_file_name(SERVER);
        match std::fs::read(&path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Leaves what it found for the one who started it.
    pub(crate) fn leave(&self, found: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_vec(found).context("what was found is no JSON")?;
        std::fs::write(&self.file, text)
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}

/// What a part says when it has arrived, and before what it has counted.
const ARRIVED: &str = "arrived";
const COUNT: &str = "count ";
/// The file beside those of the parts that says where the server is.
const SERVER: &str = "server";

/// Says how far this part is: how many sessions it has open, or what it has counted.
pub(crate) fn tell_count(count: u64) {
    output::line(&format!("{COUNT}{count}"));
}

/// How a part waits for the others.
pub(crate) struct Steps(Receiver<()>);

impl Steps {
    /// Listens to the one who started this process.
    pub(crate) fn listen() -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            // Ends with the process that started this one, or with this one.
            for _ in std::io::stdin().lines().map_while(Result::ok) {
                if sender.send(()).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// Says that it has arrived.
    pub(crate) fn arrive() {
        output::line(ARRIVED);
    }

    /// True exactly when all have; to be asked until it is so.
    ///
    /// # Errors
    ///
    /// The one who started this process is gone.
    pub(crate) fn may_go_on(&self) -> anyhow::Result<bool> {
        match self.0.try_recv() {
            Ok(()) => Ok(true),
            Err(TryRecvError::Empty) => Ok(false),
            Err(TryRecvError::Disconnected) => bail!("the run is over"),
        }
    }
}

/// All processes of a run.
pub(crate) struct Crew {
    members: Vec<Member>,
    /// Who said what; nothing where one ended.
    said: Receiver<(usize, Option<String>)>,
    /// By member: what it has counted.
    counts: Vec<u64>,
    _folder: TempDir,
}

struct Member {
    child: Child,
    part: Part,
}

impl Crew {
    /// Starts so many with this process' own command line.
    pub(crate) fn start(count: u32) -> anyhow::Result<Self> {
        Self::start_at(count, None)
    }

    /// The same, where all go to the server of this process.
    pub(crate) fn start_at(count: u32, server: Option<&Shared>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("fortifun-crew-").tempdir()?;
        if let Some(server) = server {
            // The folder is this user's alone: it holds a key.
            std::fs::write(folder.path().join(SERVER), serde_json::to_vec(server)?)?;
        }
        let program = std::env::current_exe().context("where is this program?")?;
        let (sender, said) = channel();
        let member = |n: u32| {
            let file = folder.path().join(n.to_string());
            let part = Part { n, of: count, file };
            let mut child = Command::new(&program)
                .args(std::env::args_os().skip(1))
                .arg("--part")
                .arg(part.to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .context("cannot start another process of this program")?;
            let stdout = child.stdout.take().expect("it is piped");
            let sender = sender.clone();
            thread::spawn(move || hand_on(n as usize, stdout, &sender));
            anyhow::Ok(Member { child, part })
        };
        let members = (0..count).map(member).collect::<Result<_, _>>()?;
        Ok(Self { members, said, counts: vec![0; count as usize], _folder: folder })
    }

    /// Waits until all have arrived, and lets them go on; `bar` shows the sessions that they have open meanwhile.
    ///
    /// # Errors
    ///
    /// One has ended; the error is what it said.
    pub(crate) fn step(&mut self, bar: &ProgressBar) -> anyhow::Result<()> {
        let mut arrived = 0;
        while arrived < self.members.len() {
            let (n, line) = self.said.recv().context("all processes are gone")?;
            match line.as_deref() {
                None => return Err(self.members[n].complaint()),
                Some(ARRIVED) => arrived += 1,
                Some(line) => bar.set_position(self.counted(n, line)),
            }
        }
        for member in &mut self.members {
            let stdin = member.child.stdin.as_mut().expect("it is piped");
            stdin.write_all(b"\n").with_context(|| format!("process {} is gone", member.part.n))?;
        }
        Ok(())
    }

    /// Hears until `end` what all have counted together, and tells `look`.
    ///
    /// # Errors
    ///
    /// One has ended; the error is what it said.
    pub(crate) fn listen(
        &mut self,
        clock: &Clock,
        end: Duration,
        mut look: impl FnMut(u64),
    ) -> anyhow::Result<()> {
        loop {
            let left = end.saturating_sub(clock.now());
            if left.is_zero() {
                return Ok(());
            }
            match self.said.recv_timeout(left) {
                Ok((n, None)) => return Err(self.members[n].complaint()),
                Ok((n, Some(line))) => look(self.counted(n, &line)),
                Err(_) => {}
            }
        }
    }

    /// Takes what a member said; what all have counted together.
    fn counted(&mut self, n: usize, line: &str) -> u64 {
        let count = line.strip_prefix(COUNT).and_then(|count| count.parse().ok());
        self.counts[n] = count.unwrap_or(self.counts[n]);
        self.counts.iter().sum()
    }

    /// Waits until all have ended, and collects what they found.
    ///
    /// # Errors
    ///
    /// One found nothing; the error is what it said.
    pub(crate) fn end<T: DeserializeOwned>(mut self) -> anyhow::Result<Vec<T>> {
        let found = |member: &mut Member| {
            member.child.wait()?;
            let Ok(text) = std::fs::read(&member.part.file) else { return Err(member.complaint()) };
            serde_json::from_slice(&text).context("what a process left is not what it found")
        };
        self.members.iter_mut().map(found).collect()
    }
}

/// Hands on what a member says, line for line, to its end.
fn hand_on(n: usize, stdout: ChildStdout, said: &Sender<(usize, Option<String>)>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        // Nobody listens any more once the run is over.
        let _ = said.send((n, Some(line)));
    }
    let _ = said.send((n, None));
}

impl Member {
    /// What it said when it ended.
    fn complaint(&mut self) -> anyhow::Error {
        let mut said = String::new();
        // It may have said nothing.
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut said);
        }
        anyhow::anyhow!("process {} of {} ended: {}", self.part.n, self.part.of, said.trim())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_as_it_is_written() {
        let part: Part = "1/3:/tmp/a:b".parse().unwrap();
        assert_eq!((part.n, part.of, part.to_string()), (1, 3, "1/3:/tmp/a:b".to_owned()));
        for text in ["", "1/3", "3/3:x", "x/3:x", "1:x"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_shares_of_all_parts_are_the_whole() {
        for count in [0, 1, 7, 1_000_000] {
            let part = |n| Part { n, of: 53, file: PathBuf::new() };
            let shares: Vec<u32> = (0..53).map(|n| part(n).share(count)).collect();
            assert_eq!(shares.iter().sum::<u32>(), count);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}
