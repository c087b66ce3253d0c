//! `fortifun doctor`: what is wrong with the settings, the database and the machine, and the command that mends it.

mod finding;
mod kernel;
mod own;
mod postgres;
mod redis;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use anyhow::bail;
use rustix::process::{Resource, getrlimit};

use super::settings::{SettingArgs, load};
use super::wall_clock;
use crate::config::{ChannelKind, Config, ConfigErrors, DESCRIPTORS_RESERVED, Database};
use crate::server::{self, Engine};
use crate::time::Timestamp;
use finding::{Finding, Verdict};

/// Prints one line a check, and under those that are not well the command that mends them.
///
/// # Errors
///
/// A check failed.
pub(super) fn run(args: &SettingArgs) -> anyhow::Result<()> {
    let findings = examine(load(args))?;
    let mut out = io::stdout().lock();
    for finding in &findings {
        write!(out, "{finding}")?;
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} checks failed", findings.len()),
    }
}

fn examine(loaded: anyhow::Result<Config>) -> anyhow::Result<Vec<Finding>> {
    let limit = getrlimit(Resource::Nofile);
    let descriptors = [limit.current, limit.maximum].map(|limit| limit.unwrap_or(u64::MAX));
    let read = |path: &str| fs::read_to_string(path).ok();
    let mut findings = Vec::new();
    let connections_max = match loaded {
        Ok(config) => {
            findings.extend(own::settings(&config));
            findings.extend(database(&config));
            findings.extend(channel_layer(&config));
            config.conn.connections_max as u64
        }
        Err(error) => {
            // Anything but wrong settings says that this machine cannot even be looked at.
            let errors = error.downcast::<ConfigErrors>()?;
            let told =
                |error: &_| Finding::fail(format!("settings: {error}"), "fortifun serve --help");
            findings.extend(errors.0.iter().map(told));
            descriptors[0].saturating_sub(DESCRIPTORS_RESERVED)
        }
    };
    findings.push(own::clock(wall_clock()));
    findings.push(own::descriptors(descriptors, connections_max));
    findings.extend(kernel::examine(&read, connections_max));
    Ok(findings)
}

fn database(config: &Config) -> Vec<Finding> {
    if let Database::Memory { .. } = config.store.database {
        return vec![own::memory()];
    }
    let report = server::inspect_store(config);
    let mut findings = vec![own::store(&report)];
    match report.map(|report| report.engine) {
        Ok(Engine::Sqlite { journal_mode }) => findings.push(own::journal(&journal_mode)),
        Ok(Engine::Postgres(health)) => {
            findings.extend(postgres::examine(&health, own_connections(config), wall_clock()));
        }
        Err(_) => {}
    }
    if let Database::Sqlite(path) = &config.store.database {
        findings.extend(file(path));
    }
    findings
}

/// Connections to the database that this node keeps: of its workers, and of the channel layer where that may miss something.
fn own_connections(config: &Config) -> usize {
    let of_bus = usize::from(config.channel.kind != ChannelKind::Memory);
    config.store.write_workers + config.store.read_workers + of_bus
}

fn channel_layer(config: &Config) -> Vec<Finding> {
    match server::bus(config) {
        Ok(None) => vec![Finding::ok("channel layer: in memory, for this node alone")],
        Ok(Some(bus)) => redis::examine(&bus.examine(), config.channel.kind),
        Err(error) => vec![Finding::fail(format!("channel layer: {error:#}"), "correct it")],
    }
}

/// The disk of a database that is a file, and the clock it was written by.
fn file(path: &Path) -> Vec<Finding> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let free = rustix::fs::statvfs(folder).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let mut findings = vec![own::disk(folder, free.ok())];
    let modified = fs::metadata(path).and_then(|meta| meta.modified()).ok();
    findings.extend(modified.map(|at| own::clock_beside_file(wall_clock(), timestamp(at))));
    findings
}

fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_settings_are_findings_and_the_machine_is_still_looked_at() {
        let findings = examine(Config::from_pairs(&[("PORT", "x")]).map_err(Into::into)).unwrap();
        let fails = |part: &str| {
            findings.iter().any(|f| f.verdict == Verdict::Fail && f.what.starts_with(part))
        };
        assert!(fails("settings: PORT: ") && fails("settings: SECRET_KEY: "));
        assert!(findings.iter().any(|finding| finding.what.starts_with("clock: ")));
    }

    #[test]
    fn a_folder_of_a_database_has_its_disk_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}/chat.db", folder.path().display());
        let config = Config::from_pairs(&[("DEBUG", "1"), ("DATABASE_URL", &url)]).unwrap();
        let findings = database(&config);
        assert!(findings.iter().any(|finding| finding.what.starts_with("disk: ")));
    }

    #[test]
    fn a_database_in_memory_is_told_and_not_asked() {
        let env = [("DEBUG", "1"), ("ECHO", "1"), ("DATABASE_URL", "memory:?users=2")];
        let findings = database(&Config::from_pairs(&env).unwrap());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].verdict, Verdict::Warn);
        assert!(findings[0].what.contains("nothing is kept"), "{}", findings[0]);
    }
}
