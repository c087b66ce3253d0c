//! What the store commits without sockets: the bench `store_batch`, on the same database with as many connections.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use serde::Deserialize;
use tempfile::NamedTempFile;

use super::stage::Stage;
use crate::args::Commits;
use crate::launch;

/// The bench and what it commits to.
pub(super) struct Ceiling {
    program: PathBuf,
    url: String,
    /// A line a conversation.
    conversations: NamedTempFile,
    connections: u16,
    seconds: u64,
}

/// What it prints: `{"messages":…,"micros":…}`.
#[derive(Deserialize)]
struct Told {
    messages: u64,
    micros: u64,
}

impl Ceiling {
    /// The bench that was named, or the newest one built beside the server; `None` where there is none.
    pub(super) fn find(args: &Commits, stage: &Stage) -> anyhow::Result<Option<Self>> {
        let program = match &args.store_batch {
            Some(path) => {
                Some(path.canonicalize().with_context(|| format!("no {}", path.display()))?)
            }
            None => newest(&stage.folder().join("deps")),
        };
        let Some(program) = program else { return Ok(None) };
        let mut lines = String::new();
        for pair in &stage.pairs {
            writeln!(lines, "{pair}").expect("a String takes it");
        }
        let mut conversations = NamedTempFile::new()?;
        conversations.write_all(lines.as_bytes())?;
        let (connections, seconds) = (stage.write_workers, args.seconds);
        Ok(Some(Self { program, url: stage.url.clone(), conversations, connections, seconds }))
    }

    /// Messages a second that it commits, so many at once.
    ///
    /// # Errors
    ///
    /// It failed.
    pub(super) fn rate(&self, batch: u64) -> anyhow::Result<f64> {
        let path = self.conversations.path().display().to_string();
        let numbers = [u64::from(self.connections), batch, self.seconds].map(|n| n.to_string());
        let [connections, batch, seconds] = &numbers;
        let args = [
            ["--database-url", &self.url],
            ["--conversations", &path],
            ["--connections", connections],
            ["--batch", batch],
            ["--seconds", seconds],
        ];
        let told = launch::output(&self.program, args.as_flattened(), &[])?;
        let told: Told =
            serde_json::from_str(&told).with_context(|| format!("it said {told:?}"))?;
        ensure!(told.micros > 0, "it measured nothing");
        let took = Duration::from_micros(told.micros);
        Ok(told.messages as f64 / took.as_secs_f64())
    }
}

/// The newest `store_batch-HASH` in `folder`.
fn newest(folder: &Path) -> Option<PathBuf> {
    let built = |path: &PathBuf| -> Option<SystemTime> {
        let name = path.file_name()?.to_str()?;
        let is_program = name.starts_with("store_batch-") && !name.contains('.');
        is_program.then(|| path.metadata().ok()?.modified().ok())?
    };
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries
        .filter_map(|entry| Some((built(&entry.path())?, entry.path())))
        .max()
        .map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bench_is_found_and_its_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest(folder.path()), None);
        for (name, age) in
            [("store_batch-1", 30), ("store_batch-2", 10), ("store_batch-2.d", 0), ("other-3", 0)]
        {
            let file = std::fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 - age)).unwrap();
        }
        assert_eq!(newest(folder.path()), Some(folder.path().join("store_batch-2")));
    }
}
