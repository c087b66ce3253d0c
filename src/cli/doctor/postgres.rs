//! What is wrong with a Postgres server. Pure: what it said is an argument.

use super::finding::Finding;
use crate::server::Health;
use crate::time::Timestamp;

/// The oldest version that the server and its migrations work with, as `server_version_num` says it.
const VERSION_MIN: i32 = 140_000;
/// Connections of a node beside those that it keeps: one that settles what a lost connection left open, and one for `migrate` or this.
const CONNECTIONS_BESIDE: usize = 2;
/// How far two clocks may be apart, µs.
const SKEW_MICROS: i64 = 5_000_000;

/// `own` is how many connections this node keeps; `now` is this machine's clock when the server told its own.
pub(super) fn examine(health: &Health, own: usize, now: Timestamp) -> Vec<Finding> {
    vec![
        version(health.version),
        role(health.is_standby),
        durability(health),
        pages(health.full_page_writes),
        connections(health, own),
        clock(health.clock, now),
    ]
}

fn version(version: i32) -> Finding {
    let what = format!("database: Postgres {}.{}", version / 10_000, version % 10_000);
    if version < VERSION_MIN {
        Finding::fail(
            format!("{what} is too old"),
            format!("upgrade to version {} or later", VERSION_MIN / 10_000),
        )
    } else {
        Finding::ok(what)
    }
}

fn role(is_standby: bool) -> Finding {
    if is_standby {
        Finding::fail(
            "database: follows another server and cannot be written to",
            "name the primary in DATABASE_URL, or several hosts: postgres://user@a,b/name",
        )
    } else {
        Finding::ok("database: takes writes")
    }
}

/// What is told to a sender as stored must outlive a power failure.
fn durability(health: &Health) -> Finding {
    if !health.fsync {
        return Finding::fail(
            "database: fsync is off; a crash of its machine may lose or spoil everything",
            "psql -c 'ALTER SYSTEM SET fsync = on' -c 'SELECT pg_reload_conf()'",
        );
    }
    let commit = &health.synchronous_commit;
    let what = format!("database: synchronous_commit is {commit}");
    if commit == "off" {
        let what = format!("{what}; a crash loses messages that were answered as stored");
        Finding::fail(what, "psql -c 'ALTER DATABASE … RESET synchronous_commit', and of the role")
    } else {
        Finding::ok(what)
    }
}

fn pages(full_page_writes: bool) -> Finding {
    if full_page_writes {
        Finding::ok("database: full_page_writes is on")
    } else {
        Finding::warn(
            "database: full_page_writes is off; safe only where the disk never writes half a page",
            "psql -c 'ALTER SYSTEM SET full_page_writes = on' -c 'SELECT pg_reload_conf()'",
        )
    }
}

fn connections(health: &Health, own: usize) -> Finding {
    let (max, used) = (i64::from(health.connections_max), i64::from(health.connections));
    let need = (own + CONNECTIONS_BESIDE) as i64;
    let what = format!("database: {used} of {max} connections are taken, a node needs {need}");
    let mend = format!(
        "psql -c 'ALTER SYSTEM SET max_connections = {}', and restart it",
        used + need + 10
    );
    if need > max {
        Finding::fail(what, mend)
    } else if used + need > max {
        Finding::warn(format!("{what} unless it runs already"), mend)
    } else {
        Finding::ok(what)
    }
}

fn clock(theirs: Timestamp, now: Timestamp) -> Finding {
    let ahead = theirs.0 - now.0;
    if ahead.abs() <= SKEW_MICROS {
        return Finding::ok("clock: agrees with the database's");
    }
    let side = if ahead > 0 { "behind" } else { "ahead of" };
    let what = format!("clock: {} s {side} the database's", ahead.abs() / 1_000_000);
    Finding::warn(what, "timedatectl set-ntp true   # on both")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict::{self, Fail, Ok as Well, Warn};
    use super::*;

    const NOW: Timestamp = Timestamp(1_704_067_200_000_000);

    fn well() -> Health {
        Health {
            version: 150_018,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            connections_max: 97,
            connections: 20,
            is_standby: false,
            clock: NOW,
        }
    }

    #[track_caller]
    fn check(health: &Health, verdict: Verdict, part: &str) {
        let findings = examine(health, 3, NOW);
        let is_it = |finding: &&Finding| finding.verdict == verdict && finding.what.contains(part);
        let found = findings.iter().find(is_it);
        assert!(
            found.is_some_and(|found| found.mend.is_empty() == (verdict == Well)),
            "{findings:?}"
        );
        let others = findings.iter().filter(|finding| finding.verdict != Well).count();
        assert_eq!(others, usize::from(verdict != Well), "{findings:?}");
    }

    #[test]
    fn each_thing_that_is_wrong_with_a_server_is_told_by_itself() {
        check(&well(), Well, "Postgres 15.18");
        check(&Health { version: 110_022, ..well() }, Fail, "11.22 is too old");
        check(&Health { is_standby: true, ..well() }, Fail, "cannot be written to");
        check(&Health { fsync: false, ..well() }, Fail, "fsync is off");
        let lazy = Health { synchronous_commit: "off".to_owned(), ..well() };
        check(&lazy, Fail, "synchronous_commit is off");
        let replicated = Health { synchronous_commit: "remote_apply".to_owned(), ..well() };
        check(&replicated, Well, "synchronous_commit is remote_apply");
        check(&Health { full_page_writes: false, ..well() }, Warn, "full_page_writes is off");
    }

    #[test]
    fn connections_are_counted_against_those_of_a_node() {
        check(&Health { connections: 92, ..well() }, Well, "92 of 97");
        check(&Health { connections: 93, ..well() }, Warn, "93 of 97");
        check(&Health { connections_max: 5, connections: 0, ..well() }, Well, "0 of 5");
        check(&Health { connections_max: 4, connections: 0, ..well() }, Fail, "needs 5");
    }

    #[test]
    fn clocks_are_compared_both_ways() {
        check(&Health { clock: Timestamp(NOW.0 + SKEW_MICROS), ..well() }, Well, "agrees");
        check(&Health { clock: Timestamp(NOW.0 + 60_000_000), ..well() }, Warn, "60 s behind");
        check(&Health { clock: Timestamp(NOW.0 - 60_000_000), ..well() }, Warn, "60 s ahead");
    }
}
