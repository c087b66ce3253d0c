//! What is ours: settings, database, disk, clock, descriptors. Pure: what was read is an argument.

use std::path::Path;

use super::finding::Finding;
use crate::config::{Config, DESCRIPTORS_RESERVED};
use crate::server::StoreReport;
use crate::store::{StoreError, StoreErrorKind};
use crate::time::Timestamp;

/// Free bytes below which the database is about to stop.
const DISK_FAIL_BYTES: u64 = 100 * 1024 * 1024;
/// Free bytes below which somebody should look.
const DISK_WARN_BYTES: u64 = 1024 * 1024 * 1024;
/// 2025-01-01 and 2100-01-01: a clock outside was never set.
const CLOCK_SECONDS: std::ops::Range<i64> = 1_735_689_600..4_102_444_800;
/// How far a file may seem to come from the future, µs.
const SKEW_MICROS: i64 = 5_000_000;
/// Different bytes in a key that somebody's fingers made.
const KEY_VARIETY: usize = 12;
const NEW_KEY: &str = "export SECRET_KEY=\"$(openssl rand -base64 48)\"   # in Django too; the old one as SECRET_KEY_PREVIOUS";

pub(super) fn settings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![secret(config.auth.secret.expose())];
    if config.debug {
        findings.push(Finding::warn("DEBUG: on", "export DEBUG=false"));
    }
    if config.echo {
        findings
            .push(Finding::warn("ECHO: on; anybody may send without limits", "export ECHO=false"));
    }
    findings.push(if config.net.allowed_hosts.is_any() {
        Finding::warn(
            "ALLOWED_HOSTS: `*` lets any host and any web origin in",
            "export ALLOWED_HOSTS=chat.example.com",
        )
    } else {
        Finding::ok("ALLOWED_HOSTS: names its hosts")
    });
    findings
}

fn secret(key: &[u8]) -> Finding {
    let mut seen = [false; 256];
    for byte in key {
        seen[usize::from(*byte)] = true;
    }
    let variety = seen.iter().filter(|is_seen| **is_seen).count();
    if key.starts_with(b"django-insecure-") {
        Finding::fail("SECRET_KEY: is one that Django made for development", NEW_KEY)
    } else if key.len() < 32 {
        Finding::fail("SECRET_KEY: is shorter than 32 bytes", NEW_KEY)
    } else if variety < KEY_VARIETY {
        Finding::fail(format!("SECRET_KEY: has only {variety} different bytes"), NEW_KEY)
    } else {
        Finding::ok(format!("SECRET_KEY: {} bytes", key.len()))
    }
}

/// Whether the database answers and is current.
pub(super) fn store(report: &Result<StoreReport, StoreError>) -> Finding {
    match report {
        Ok(report) => match report.pending.as_slice() {
            [] => Finding::ok("database: opens, and its tables are current"),
            pending => {
                let names: Vec<&str> = pending.iter().map(|lacking| lacking.name).collect();
                let what = format!("database: lacks {}", names.join(", "));
                Finding::fail(what, "fortifun migrate")
            }
        },
        Err(error) => {
            let mend = match error.kind {
                StoreErrorKind::Schema => "install the version that wrote it, or: fortifun migrate",
                StoreErrorKind::NotWritable => {
                    "make the file and its folder writable, and the disk less full"
                }
                _ => "look at DATABASE_URL: fortifun check-config",
            };
            Finding::fail(format!("database: {error}"), mend)
        }
    }
}

/// A database that keeps nothing.
pub(super) fn memory() -> Finding {
    Finding::warn(
        "database: `memory:` is for benchmarks; nothing is kept when the server ends",
        "export DATABASE_URL=sqlite:///fortifun.db",
    )
}

/// SQLite's `journal_mode`.
pub(super) fn journal(mode: &str) -> Finding {
    if mode.eq_ignore_ascii_case("wal") {
        Finding::ok("database: write-ahead log")
    } else {
        let what = format!("database: journal mode `{mode}`, so that reads wait for writes");
        Finding::warn(what, "sqlite3 FILE 'PRAGMA journal_mode=WAL'")
    }
}

/// `free` is what `folder`'s disk has left for this user, bytes; `None` where it could not be asked.
pub(super) fn disk(folder: &Path, free: Option<u64>) -> Finding {
    let place = folder.display();
    let Some(free) = free else {
        return Finding::fail(
            format!("disk: {place} cannot be looked at"),
            format!("mkdir -p {place}"),
        );
    };
    let what = format!("disk: {} MiB free in {place}", free / 1024 / 1024);
    let mend = format!("df -h {place}");
    match free {
        ..DISK_FAIL_BYTES => Finding::fail(what, mend),
        DISK_FAIL_BYTES..DISK_WARN_BYTES => Finding::warn(what, mend),
        _ => Finding::ok(what),
    }
}

/// Tokens expire by this clock.
pub(super) fn clock(now: Timestamp) -> Finding {
    if CLOCK_SECONDS.contains(&now.unix_seconds()) {
        Finding::ok(format!("clock: {now}"))
    } else {
        Finding::fail(format!("clock: {now} was never set"), "timedatectl set-ntp true")
    }
}

/// `modified` is when the database was last written.
pub(super) fn clock_beside_file(now: Timestamp, modified: Timestamp) -> Finding {
    let ahead = modified.0 - now.0;
    if ahead <= SKEW_MICROS {
        Finding::ok("clock: not behind the database's last write")
    } else {
        let what = format!("clock: {} s behind the database's last write", ahead / 1_000_000);
        Finding::warn(what, "timedatectl set-ntp true")
    }
}

/// The process's soft and hard limit of descriptors; the soft one was raised already, as the server raises it.
pub(super) fn descriptors([soft, hard]: [u64; 2], connections_max: u64) -> Finding {
    let need = connections_max.saturating_add(DESCRIPTORS_RESERVED);
    let what =
        format!("descriptors: {soft} (hard limit {hard}) for CONNECTIONS_MAX {connections_max}");
    if soft < need {
        Finding::fail(
            what,
            format!("LimitNOFILE={need} in the systemd unit, or: ulimit -Hn {need}"),
        )
    } else if connections_max < 10_000 {
        Finding::warn(what, "LimitNOFILE=1048576 in the systemd unit, or: ulimit -Hn 1048576")
    } else {
        Finding::ok(what)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict::{self, Fail, Ok as Well, Warn};
    use super::*;
    use crate::server::{Engine, Pending};

    fn check(finding: &Finding, verdict: Verdict, part: &str) {
        assert_eq!(finding.verdict, verdict, "{finding}");
        assert!(finding.what.contains(part), "{finding}");
        assert_eq!(finding.mend.is_empty(), verdict == Well, "{finding}");
    }

    #[test]
    fn a_key_is_strong_or_told_to_be_weak() {
        let strong = b"k3Jx9Qm2Vb7Lp5Wz8Rt4Yn6Hs1Gd0Fc!";
        check(&secret(strong), Well, "32 bytes");
        check(&secret(&strong[..31]), Fail, "shorter");
        check(&secret(&[b'a'; 64]), Fail, "only 1 different");
        check(&secret(b"django-insecure-k3Jx9Qm2Vb7Lp5Wz8Rt4Yn6Hs1Gd0Fc"), Fail, "Django");
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = "django-insecure-not-to-be-shown-k3Jx9Qm2Vb7Lp5Wz8";
        let config = Config::from_pairs(&[("SECRET_KEY", key), ("ALLOWED_HOSTS", "*")]).unwrap();
        let text: String = settings(&config).iter().map(ToString::to_string).collect();
        assert!(text.contains("warn  ALLOWED_HOSTS") && !text.contains("not-to-be-shown"));
    }

    #[test]
    fn a_database_is_current_or_told_what_it_lacks() {
        let report = |pending: &[Pending]| {
            let engine = Engine::Sqlite { journal_mode: "wal".to_owned() };
            store(&Ok(StoreReport { pending: pending.to_vec(), engine }))
        };
        check(&report(&[]), Well, "current");
        check(&report(&[Pending { id: 2, name: "seq", what: "" }]), Fail, "lacks seq");
        check(&journal("WAL"), Well, "write-ahead");
        check(&journal("delete"), Warn, "journal mode `delete`");
        let error = StoreError { kind: StoreErrorKind::Schema, detail: "newer".to_owned() };
        check(&store(&Err(error)), Fail, "schema: newer");
    }

    #[test]
    fn the_machine_is_measured_against_its_bounds() {
        let here = Path::new(".");
        check(&disk(here, None), Fail, "cannot be looked at");
        check(&disk(here, Some(DISK_FAIL_BYTES - 1)), Fail, "99 MiB");
        check(&disk(here, Some(DISK_FAIL_BYTES)), Warn, "100 MiB");
        check(&disk(here, Some(DISK_WARN_BYTES)), Well, "1024 MiB");
        check(&clock(Timestamp(0)), Fail, "1970-01-01");
        check(&clock(Timestamp::from_unix_seconds(1_800_000_000)), Well, "2027-01-15");
        check(&clock_beside_file(Timestamp(0), Timestamp(SKEW_MICROS)), Well, "not behind");
        check(&clock_beside_file(Timestamp(0), Timestamp(60_000_000)), Warn, "60 s behind");
        check(&descriptors([1_024, 4_096], 4_000), Fail, "1024");
        check(&descriptors([1_024, 1_024], 768), Warn, "768");
        check(&descriptors([1_048_576, 1_048_576], 500_000), Well, "500000");
    }
}
