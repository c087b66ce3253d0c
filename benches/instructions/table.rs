//! The counts that are held: `benches/instructions.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Above every table.
const HEAD: &str = "\
# Instructions that the server's steps take, by callgrind. `cargo counts` fails where one of them takes more, by more than the
# tolerance; UPDATE_COUNTS=1 before it writes this file.

";
/// Where a table does not say.
const TOLERANCE_PERCENT: u64 = 5;
/// So much more is never a failure: a percentage of a small count is no instruction.
const SLACK: u64 = 3;

/// What `benches/instructions.toml` holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// The compiler and the processor: see [`here`].
    made_with: String,
    tolerance_percent: u64,
    counts: BTreeMap<String, u64>,
}

/// What is to be said of a count.
#[derive(PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Within the tolerance.
    Held,
    /// Less than it was, beyond the tolerance.
    Fell { from: u64, percent: u64 },
    /// More than it was, beyond the tolerance.
    Rose { from: u64, percent: u64 },
    /// The table does not have it.
    New,
    /// The table has what is not counted any more.
    Gone,
}

impl Table {
    /// The table as it is checked in.
    pub(crate) fn read() -> Self {
        let path = path();
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// True exactly when counts of this compiler and processor can be held to it.
    pub(crate) fn is_made_here(&self) -> bool {
        self.made_with == here()
    }

    /// The compiler and the processor that it was made with.
    pub(crate) fn made_with(&self) -> &str {
        &self.made_with
    }

    /// Of what it has counts.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.counts.keys().map(String::as_str)
    }

    /// How `found` instructions stand to the count of `name`.
    pub(crate) fn judge(&self, name: &str, found: u64) -> Verdict {
        let Some(&from) = self.counts.get(name) else { return Verdict::New };
        let difference = found.abs_diff(from);
        let percent = difference * 100 / from.max(1);
        if difference <= (from * self.tolerance_percent / 100).max(SLACK) {
            Verdict::Held
        } else if found > from {
            Verdict::Rose { from, percent }
        } else {
            Verdict::Fell { from, percent }
        }
    }
}

impl Verdict {
    /// True exactly when the check fails for it.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Rose { .. } | Self::New | Self::Gone)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("held"),
            Self::Fell { from, percent } => {
                write!(f, "fell from {from}, by {percent} %: let the table have it")
            }
            Self::Rose { from, percent } => write!(f, "ROSE from {from}, by {percent} %"),
            Self::New => f.write_str("NEW: the table does not have it"),
            Self::Gone => f.write_str("GONE: the table has it, and it is not counted"),
        }
    }
}

/// Writes the table of `counts`; the tolerance stays as it is.
pub(crate) fn write(counts: &BTreeMap<&str, u64>) {
    let tolerance_percent =
        if path().exists() { Table::read().tolerance_percent } else { TOLERANCE_PERCENT };
    let counts = counts.iter().map(|(&name, &count)| (name.to_owned(), count)).collect();
    let table = Table { made_with: here(), tolerance_percent, counts };
    let text = toml::to_string(&table).expect("a table of numbers is TOML");
    std::fs::write(path(), HEAD.to_owned() + &text).expect("the table can be written");
}

/// What counts depend on besides the code: the compiler, the processor's kind, and whether it has the wide registers that
/// libraries look for when they run.
#[expect(clippy::disallowed_methods, reason = "which compiler it is, cargo says there")]
pub(crate) fn here() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("-V").output().expect("rustc is there, it has built this");
    let version = String::from_utf8_lossy(&said.stdout);
    let number = version.split_whitespace().nth(1).unwrap_or("of no version");
    format!("rustc {number}, {}{}", std::env::consts::ARCH, wide_registers())
}

#[cfg(target_arch = "x86_64")]
fn wide_registers() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx2") { " with AVX2" } else { " without AVX2" }
}

#[cfg(not(target_arch = "x86_64"))]
fn wide_registers() -> &'static str {
    ""
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml")
}
