//! The record of what clients saw committed: append-only, one line a sight, readable after the writer was killed.
//!
//! Each line is written by one system call, so that it outlives this process; whether it outlives the machine does not matter.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;

/// A committed message as a client saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sight {
    /// Where.
    pub(crate) conversation: i64,
    /// Its place there.
    pub(crate) seq: u64,
    /// Who sent it.
    pub(crate) sender: i64,
    /// The sender's own name for it; no white space.
    pub(crate) client_id: String,
    /// [`crate::wire::hash`] of what was said.
    pub(crate) content: u64,
}

/// A ledger that is being written.
pub(crate) struct Ledger(File);

impl Ledger {
    /// Opens or makes the file; what is in it stays.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(path).map(Self)
    }

    /// Appends a line.
    pub(crate) fn append(&mut self, sight: &Sight) -> io::Result<()> {
        self.0.write_all(sight.line().as_bytes())
    }
}

/// What a ledger holds.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Every sight, as written.
    pub(crate) sights: Vec<Sight>,
    /// Lines that a killed writer left half: 0 or 1 a run.
    pub(crate) torn: usize,
}

/// Reads a ledger.
///
/// # Errors
///
/// It cannot be read, or a line that is whole is not a sight.
pub(crate) fn read(path: &Path) -> anyhow::Result<Record> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> anyhow::Result<Record> {
    let mut record = Record::default();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        match line.strip_suffix('\n') {
            None => record.torn += 1,
            Some(line) => {
                let sight = Sight::parse(line)
                    .with_context(|| format!("line {} is not a sight: {line:?}", index + 1))?;
                record.sights.push(sight);
            }
        }
    }
    Ok(record)
}

impl Sight {
    fn line(&self) -> String {
        let Self { conversation, seq, sender, client_id, content } = self;
        debug_assert!(!client_id.contains(char::is_whitespace));
        format!("{conversation} {seq} {sender} {client_id} {content:016x}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let sight = Self {
            conversation: words.next()?.parse().ok()?,
            seq: words.next()?.parse().ok()?,
            sender: words.next()?.parse().ok()?,
            client_id: words.next()?.to_owned(),
            content: words
                .next()
                .filter(|hex| hex.len() == 16)
                .and_then(|hex| u64::from_str_radix(hex, 16).ok())?,
        };
        words.next().is_none().then_some(sight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(seq: u64) -> Sight {
        Sight { conversation: 7, seq, sender: 1, client_id: format!("r-{seq}"), content: seq }
    }

    #[test]
    fn what_is_written_is_read_and_a_second_writer_continues() {
        let path = std::env::temp_dir().join(format!("fortifun-ledger-{}", std::process::id()));
        for seq in [1, 2] {
            Ledger::open(&path).unwrap().append(&sight(seq)).unwrap();
        }
        let record = read(&path);
        std::fs::remove_file(&path).unwrap();
        let record = record.unwrap();
        assert_eq!((record.sights, record.torn), (vec![sight(1), sight(2)], 0));
    }

    #[test]
    fn a_torn_last_line_is_counted_and_left_out() {
        let text = format!("{}{}", sight(1).line(), sight(2).line());
        let record = parse(&text[..text.len() - 1]).unwrap();
        assert_eq!((record.sights, record.torn), (vec![sight(1)], 1));
    }

    #[test]
    fn a_whole_line_that_is_no_sight_is_an_error() {
        for line in [
            "",
            "7 1 1 c",
            "7 x 1 c 0000000000000001",
            "7 1 1 c 0000000000000001 more",
            "7 1 1 c 1",
        ] {
            assert!(parse(&format!("{line}\n")).is_err(), "{line:?}");
        }
    }
}
